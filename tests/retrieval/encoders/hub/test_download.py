from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.encoders.hub.cache import repository_folder
from retrieval.encoders.hub.download import RemoteFile, cached_path, digest, download
from support.hub.client import use
from support.hub.faults import Fault
from support.hub.repository import Repository, describe
from support.hub.server import Hub, serve

REPO = "maker/model"
CONTENT = bytes(range(256)) * 400
SMALL = b'{"a": 1}'


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    repository = Repository.from_files({"model.safetensors": CONTENT, "config.json": SMALL})
    with serve(Hub({REPO: repository})) as running:
        use(running, tmp_path / "cache", monkeypatch)
        yield running


def large(hub: Hub) -> tuple[str, RemoteFile]:
    commit = hub.repositories[REPO].refs["main"]
    return commit, RemoteFile(
        "model.safetensors", len(CONTENT), describe(CONTENT).sha256, by_git=False
    )


def test_downloads_use_the_cache_layout_of_huggingface_hub(hub: Hub) -> None:
    from huggingface_hub import try_to_load_from_cache

    commit, file = large(hub)
    path = download(REPO, commit, file)
    assert path.read_bytes() == CONTENT
    assert path == cached_path(REPO, commit, file)
    assert try_to_load_from_cache(REPO, file.name, revision=commit) == str(path)
    assert path.resolve() == repository_folder(REPO) / "blobs" / file.digest
    assert not list((repository_folder(REPO) / "retrieval").iterdir())  # no partial file, no lock


def test_row_8_a_new_run_resumes_an_interrupted_download(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, file = large(hub)
    hub.faults = [Fault("*/model.safetensors", "drop", after_bytes=60_000, method="GET", times=1)]
    with monkeypatch.context() as patch:
        patch.setattr("time.sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            download(REPO, commit, file)
    (partial,) = (repository_folder(REPO) / "retrieval").glob("*.partial")
    received = partial.stat().st_size
    assert partial.read_bytes() == CONTENT[:received]
    assert received > 0
    hub.requests.clear()
    assert download(REPO, commit, file).read_bytes() == CONTENT
    ranges = [r.headers.get("range") for r in hub.requests if r.method == "GET"]
    assert f"bytes={received}-" in ranges
    assert not partial.exists()


def interrupt(seconds: float) -> None:
    raise KeyboardInterrupt


def test_a_lost_connection_is_resumed_within_the_run(hub: Hub) -> None:
    commit, file = large(hub)
    hub.faults = [Fault("*/model.safetensors", "drop", after_bytes=9_000, method="GET", times=9)]
    assert download(REPO, commit, file).read_bytes() == CONTENT
    starts = [r.headers["range"] for r in hub.requests if "range" in r.headers and r.host == "lfs"]
    assert len(starts) == 9


def test_a_partial_file_with_wrong_bytes_is_downloaded_again(hub: Hub) -> None:
    commit, file = large(hub)
    partial = repository_folder(REPO) / "retrieval" / f"{file.digest}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"x" * 10_000)
    assert download(REPO, commit, file).read_bytes() == CONTENT


def test_a_host_that_ignores_ranges_sends_the_whole_file(hub: Hub) -> None:
    commit, file = large(hub)
    partial = repository_folder(REPO) / "retrieval" / f"{file.digest}.partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT[:10_000])
    hub.faults = [Fault("*/model.safetensors", "ignore_range", method="GET")]
    assert download(REPO, commit, file).read_bytes() == CONTENT


def test_digests_are_those_of_the_hub(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert digest(tmp_path / "empty", by_git=True) == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert digest(tmp_path / "empty", by_git=False).startswith("e3b0c44298fc1c149afbf4c8996fb924")
