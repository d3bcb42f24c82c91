"""The local hub, used by huggingface_hub as the real one."""

import hashlib
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import HfApi, errors, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.file_download import http_get

from support.hub.client import environment, use
from support.hub.faults import Fault
from support.hub.repository import Repository, git_name
from support.hub.server import Hub, serve

REPO = "maker/model"
PULL = "16c8cc3159a3c8a31e8ff5ef1f66b0d9ab3667db"
SMALL = b'{"a": 1}\n'
LARGE = bytes(range(256)) * 64
CARD = b"---\ntags:\n- music\nlicense: apache-2.0\n---\n# A model\n"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    files = {"README.md": CARD, "config.json": SMALL, "weights.bin": LARGE, "1/a/b.txt": b"deep"}
    repository = Repository.from_files(files).with_revision(
        "refs/pr/2", PULL, {"config.json": SMALL, "model.safetensors": LARGE[::-1]}
    )
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between huggingface_hub's attempts
    # It keeps whole chunks of what a broken connection has sent; its own are of 10 MB.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100)
    with serve(Hub({REPO: repository, "legacy": repository})) as running:
        use(running, tmp_path / "cache", monkeypatch)
        yield running
    left = [thread.name for thread in threading.enumerate() if "serve" in thread.name]
    left += [thread.name for thread in threading.enumerate() if "request" in thread.name]
    assert left == []


def main_commit(hub: Hub) -> str:
    return hub.repositories[REPO].refs["main"]


def test_a_model_is_described(hub: Hub) -> None:
    info = HfApi().model_info(REPO, files_metadata=True)
    assert (info.id, info.sha, info.gated, info.private) == (REPO, main_commit(hub), False, False)
    assert info.card_data is not None
    assert info.card_data.license == "apache-2.0"
    known = {file.rfilename: file for file in info.siblings or []}
    assert list(known) == ["README.md", "config.json", "weights.bin", "1/a/b.txt"]
    small, large = known["config.json"], known["weights.bin"]
    assert (small.size, small.blob_id, small.lfs) == (len(SMALL), git_name(SMALL), None)
    assert large.size == len(LARGE)
    assert large.lfs is not None
    assert (large.lfs.sha256, large.lfs.size) == (hashlib.sha256(LARGE).hexdigest(), len(LARGE))
    bare = HfApi().model_info(REPO).siblings or []
    assert {file.size for file in bare} == {None}


@pytest.mark.parametrize("revision", ["refs/pr/2", PULL])
def test_other_revisions(hub: Hub, revision: str) -> None:
    info = HfApi().model_info(REPO, revision=revision)
    assert info.sha == PULL
    assert [file.rfilename for file in info.siblings or []] == ["config.json", "model.safetensors"]
    path = hf_hub_download(REPO, "model.safetensors", revision=revision)
    assert Path(path).read_bytes() == LARGE[::-1]
    assert PULL in Path(path).parts


def test_refs_are_listed(hub: Hub) -> None:
    refs = HfApi().list_repo_refs(REPO, include_pull_requests=True)
    assert [(b.name, b.ref, b.target_commit) for b in refs.branches] == [
        ("main", "refs/heads/main", main_commit(hub))
    ]
    assert [(p.ref, p.target_commit) for p in refs.pull_requests or []] == [("refs/pr/2", PULL)]
    assert HfApi().list_repo_refs(REPO).pull_requests is None


def test_the_tree_is_listed(hub: Hub) -> None:
    top = {entry.path: entry for entry in HfApi().list_repo_tree(REPO)}
    assert sorted(top) == ["1", "README.md", "config.json", "weights.bin"]
    assert [entry.path for entry in HfApi().list_repo_tree(REPO, "1/a")] == ["1/a/b.txt"]
    everything = [entry.path for entry in HfApi().list_repo_tree(REPO, recursive=True)]
    assert everything == ["1", "1/a", "1/a/b.txt", "README.md", "config.json", "weights.bin"]
    (large,) = HfApi().get_paths_info(REPO, ["weights.bin", "none"])
    assert large.lfs.sha256 == hashlib.sha256(LARGE).hexdigest()  # type: ignore[union-attr]


def test_a_snapshot_passes_the_check_of_huggingface_hub(hub: Hub) -> None:
    folder = Path(huggingface_hub.snapshot_download(REPO))
    assert folder.name == main_commit(hub)
    sent = hub.repositories[REPO].revisions[folder.name]
    assert {path: (folder / path).read_bytes() for path in sent} == sent
    assert sorted(hub.downloaded) == sorted(sent)
    assert not HfApi().verify_repo_checksums(REPO).mismatches
    hub.downloaded.clear()
    assert huggingface_hub.snapshot_download(REPO) == str(folder)
    assert hub.downloaded == []


def test_large_files_come_from_the_other_host_without_the_token(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_valid")
    hub.token = "hf_valid"
    hf_hub_download(REPO, "weights.bin")
    (sent,) = [request for request in hub.requests if request.host == "lfs"]
    assert sent.path.endswith("/weights.bin")
    assert "authorization" not in sent.headers
    assert hub.requests[0].headers["authorization"] == "Bearer hf_valid"
    known = get_hf_file_metadata(hf_hub_url(REPO, "weights.bin"))
    assert (known.etag, known.size) == (hashlib.sha256(LARGE).hexdigest(), len(LARGE))
    assert known.location.startswith(hub.lfs_endpoint)
    small = get_hf_file_metadata(hf_hub_url(REPO, "config.json"))
    assert (small.etag, small.commit_hash) == (git_name(SMALL), main_commit(hub))


def test_bare_names_and_moved_names(hub: Hub, tmp_path: Path) -> None:
    assert Path(hf_hub_download("legacy", "config.json")).read_bytes() == SMALL
    hub.moved["roberta"] = REPO
    assert HfApi().model_info("roberta").id == REPO
    for name in ("config.json", "weights.bin"):
        assert "models--roberta" in hf_hub_download("roberta", name)


@pytest.mark.parametrize(
    ("asked", "want"),
    [
        ("bytes=3-5", slice(3, 6)),
        ("bytes=16000-", slice(16000, None)),
        ("bytes=-9", slice(-9, None)),
    ],
)
def test_parts_of_files_are_sent(hub: Hub, asked: str, want: slice) -> None:
    url = get_hf_file_metadata(hf_hub_url(REPO, "weights.bin")).location
    part = huggingface_hub.get_session().get(url, headers={"Range": asked})
    assert (part.status_code, part.content) == (206, LARGE[want])
    beyond = huggingface_hub.get_session().get(url, headers={"Range": f"bytes={len(LARGE)}-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(LARGE)}")


def test_a_dropped_download_resumes_where_it_broke_off(hub: Hub) -> None:
    hub.faults = [Fault("*/weights.bin", "drop", times=2, after_bytes=5_000)]
    assert Path(hf_hub_download(REPO, "weights.bin")).read_bytes() == LARGE
    sent = [request.headers.get("range") for request in hub.requests if request.host == "lfs"]
    assert sent == [None, "bytes=5000-", "bytes=10000-"]


def test_a_range_may_be_ignored(hub: Hub) -> None:
    hub.faults = [Fault("/lfs/*", "ignore_range")]
    into = io.BytesIO(b"half")
    into.seek(4)
    http_get(get_hf_file_metadata(hf_hub_url(REPO, "weights.bin")).location, into, resume_size=4)
    assert into.getvalue() == LARGE


def test_a_stalled_download_times_out(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    hub.faults = [Fault("/lfs/*", "stall", times=1, after_bytes=100)]
    assert Path(hf_hub_download(REPO, "weights.bin")).read_bytes() == LARGE
    assert [r.headers.get("range") for r in hub.requests if r.host == "lfs"] == [None, "bytes=100-"]


def test_other_bytes_of_the_same_length(hub: Hub) -> None:
    hub.faults = [Fault("*/config.json", "wrong_digest", times=1)]
    content = Path(hf_hub_download(REPO, "config.json")).read_bytes()
    assert len(content) == len(SMALL)
    assert content != SMALL
    assert HfApi().verify_repo_checksums(REPO).mismatches


def test_missing_repositories_revisions_and_files(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(errors.RepositoryNotFoundError) as caught:
        HfApi().model_info("maker/none")
    assert caught.value.response.status_code == 401  # the response without a token
    with pytest.raises(errors.RevisionNotFoundError):
        HfApi().model_info(REPO, revision="refs/pr/9")
    with pytest.raises(errors.RemoteEntryNotFoundError):
        hf_hub_download(REPO, "model.safetensors")
    monkeypatch.setenv("HF_TOKEN", "hf_any")
    with pytest.raises(errors.RepositoryNotFoundError) as caught:
        hf_hub_download("maker/none", "config.json")
    assert caught.value.response.status_code == 404


def test_tokens_and_private_repositories(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token = "hf_valid"
    hub.repositories[REPO].private = True
    with pytest.raises(errors.RepositoryNotFoundError):
        hf_hub_download(REPO, "config.json")
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    with pytest.raises(errors.HfHubHTTPError, match="Invalid credentials") as caught:
        HfApi().model_info("legacy")
    assert not isinstance(caught.value, errors.RepositoryNotFoundError)
    monkeypatch.setenv("HF_TOKEN", "hf_valid")
    assert Path(hf_hub_download(REPO, "config.json")).read_bytes() == SMALL


def test_a_gated_repository_is_described_and_not_sent(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories[REPO].gated = True
    assert HfApi().model_info(REPO).gated == "manual"
    for token, status in ((None, 401), ("hf_any", 403)):
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(errors.GatedRepoError) as caught:
            hf_hub_download(REPO, "weights.bin")
        assert caught.value.response.status_code == status


@pytest.mark.parametrize("status", ["401", "403", "500", "503"])
def test_refusals(hub: Hub, status: str) -> None:
    hub.faults = [Fault("/api/*", status)]
    with pytest.raises(errors.HfHubHTTPError) as caught:
        HfApi().model_info(REPO)
    assert caught.value.response.status_code == int(status)


def test_a_rate_limit_says_how_long_to_wait(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    hub.faults = [Fault("/lfs/*", "429", times=2, retry_after=7)]
    assert Path(hf_hub_download(REPO, "weights.bin")).read_bytes() == LARGE
    assert waits == [8, 8]  # huggingface_hub adds a second


def test_a_web_page_instead_of_the_hub(hub: Hub) -> None:
    hub.faults = [Fault("*", "html")]
    with pytest.raises(ValueError, match="Expecting value"):  # no JSON
        HfApi().model_info(REPO)
    with pytest.raises(errors.LocalEntryNotFoundError, match="does not seem to be served by"):
        hf_hub_download(REPO, "config.json")


def test_a_connection_without_an_answer(hub: Hub) -> None:
    hub.faults = [Fault("/api/*", "drop", times=1)]
    with pytest.raises(Exception, match="disconnected"):
        HfApi().model_info(REPO)
    assert HfApi().model_info(REPO).id == REPO


def test_an_unknown_fault_fails() -> None:
    with pytest.raises(ValueError, match="no effect of fault '418'"):
        Fault("*", "418")


def test_other_processes_use_the_hub(hub: Hub, tmp_path: Path) -> None:
    code = f"import huggingface_hub as h; print(h.hf_hub_download({REPO!r}, 'weights.bin'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(hub, tmp_path / "home"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    assert path.is_relative_to(tmp_path / "home" / "hub")
    assert path.read_bytes() == LARGE
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_a_folder_becomes_a_repository(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.json").write_bytes(SMALL)
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = Repository.from_folder(tmp_path, commit=commit)
    assert repository.revisions == {commit: {"a/b.json": tmp_path / "a/b.json"}}
    assert repository.commit("main") == repository.commit(commit) == commit
    assert repository.commit("none") is None
