import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.hub.cache import availability, find_snapshot
from retrieval.encoders.hub.download import digest
from retrieval.encoders.hub.fetch import fetch, fetch_repository
from retrieval.encoders.hub.plan import plan_downloads
from retrieval.errors import (
    StorageError,
    UnknownModelError,
    WeightsFormatError,
    WeightsNotAvailableError,
)
from support.hub.client import use
from support.hub.faults import Fault
from support.hub.repository import Content, Repository
from support.hub.server import Hub, serve

REPO, SPEC = "maker/small-clap", "clap:maker/small-clap"


def files_of(folder: Path) -> dict[str, Content]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


@pytest.fixture
def hub(small_clap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    others: dict[str, Content] = {
        "README.md": b"# A model",
        "pytorch_model.bin": b"\x80\x04pickle",
        "modeling.py": b"import os",
        "onnx/model.safetensors": b"elsewhere",
    }
    with serve(Hub({REPO: Repository.from_files(files_of(small_clap) | others)})) as running:
        use(running, tmp_path / "cache", monkeypatch)
        yield running


def renamed(weights: bytes) -> bytes:
    """Change the bytes of weights, not their values, by a key in the header."""
    from safetensors.torch import load, save

    return save(load(weights), metadata={"format": "pt", "other": "1"})


def names_sent(hub: Hub) -> list[str]:
    return [path.rpartition("/")[2] for path in hub.downloaded]


def test_a_model_is_fetched_checked_and_used_without_a_network(
    hub: Hub, small_clap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not availability(SPEC).usable
    files = fetch(SPEC)
    wanted = sorted(path.name for path in small_clap.iterdir())
    assert sorted(names_sent(hub)) == wanted  # no pickle, no code, nothing twice
    assert files[0].path.name == "model.safetensors"
    assert availability(SPEC).usable
    size = sum(path.stat().st_size for path in small_clap.iterdir())
    assert availability(SPEC).bytes == size
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("socket.socket", None)
    want = load_encoder(f"clap:{small_clap}", device="cpu").digest
    assert load_encoder(SPEC, device="cpu").digest == want


def test_the_commit_and_the_digests_are_recorded_next_to_the_snapshot(hub: Hub) -> None:
    fetch(SPEC)
    folder = find_snapshot(REPO)
    assert folder is not None
    record = json.loads((folder.parents[1] / "retrieval" / f"{folder.name}.json").read_text())
    assert record["commit"] == hub.repositories[REPO].refs["main"] == folder.name
    for name, file in record["files"].items():
        assert digest(folder / name, by_git=False) == file["sha256"]
        assert (folder / name).stat().st_size == file["bytes"]


def test_complete_files_are_not_fetched_again(hub: Hub) -> None:
    fetch(SPEC)
    hub.downloaded.clear()
    assert len(fetch(SPEC)) > 3
    assert hub.downloaded == []


def test_planning_downloads_nothing_and_files_arrive_one_by_one(hub: Hub, small_clap: Path) -> None:
    (planned,) = plan_downloads([SPEC])
    assert hub.downloaded == []
    size = sum(path.stat().st_size for path in small_clap.iterdir())
    assert planned.bytes == planned.missing_bytes == size
    assert (planned.repo, planned.licence) == (REPO, "not stated")
    assert next(fetch_repository(planned)).path.name == "model.safetensors"
    assert names_sent(hub) == ["model.safetensors"]
    assert planned.missing_bytes == size - (small_clap / "model.safetensors").stat().st_size


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_with_another_digest_fails_and_leaves_the_cache(hub: Hub, name: str) -> None:
    hub.faults = [Fault(f"*/{name}", "wrong_digest", method="GET")]
    with pytest.raises(WeightsFormatError, match=f"{REPO}: {name} has another digest"):
        fetch(SPEC)
    with pytest.raises(WeightsNotAvailableError, match="fetch the model first"):
        load_encoder(SPEC)
    hub.faults.clear()
    fetch(SPEC)
    assert load_encoder(SPEC, device="cpu").dim == 24


def test_a_cached_file_that_has_changed_on_disk_fails(hub: Hub) -> None:
    weights = next(file.path for file in fetch(SPEC) if file.path.name == "model.safetensors")
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.resolve().write_bytes(damaged)
    with pytest.raises(WeightsFormatError, match="another digest"):
        fetch(SPEC)
    assert not weights.exists()


def test_an_interrupted_fetch_leaves_the_older_model_current(
    hub: Hub, small_clap: Path, small_clap_general: Path
) -> None:
    fetch(SPEC)
    before = load_encoder(SPEC, device="cpu").digest
    newer = files_of(small_clap_general)
    newer["model.safetensors"] = renamed((small_clap_general / "model.safetensors").read_bytes())
    hub.repositories = {REPO: hub.repositories[REPO].with_revision("main", "1" * 40, newer)}
    hub.faults = [Fault("*/model.safetensors", "500", method="GET")]
    with pytest.raises(WeightsNotAvailableError, match="server failed"):
        fetch(SPEC)
    assert load_encoder(SPEC, device="cpu").digest == before
    hub.faults.clear()
    fetch(SPEC)
    assert find_snapshot(REPO).name == "1" * 40  # type: ignore[union-attr]
    assert load_encoder(SPEC, device="cpu").digest != before


def test_no_such_repository_fails(hub: Hub) -> None:
    with pytest.raises(WeightsNotAvailableError, match=r"maker/none: the hub has no such model"):
        fetch("clap:maker/none")
    with pytest.raises(WeightsNotAvailableError, match="neither a folder nor a repository"):
        fetch("clap:a/b/c")
    with pytest.raises(UnknownModelError, match="no model 'nothing'"):
        fetch("nothing")


def test_a_cache_that_cannot_be_written_fails(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match=r"cannot write .*file"):
        fetch(SPEC)


def test_offline_it_fails_without_a_socket(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("socket.socket", None)
    with pytest.raises(WeightsNotAvailableError, match="HF_HUB_OFFLINE is set, so nothing is"):
        fetch(SPEC)


@pytest.mark.parametrize("model", ["tiny", "mulan:some/folder"])
def test_local_models_cannot_be_fetched(model: str) -> None:
    with pytest.raises(WeightsNotAvailableError, match=f"{model}: nothing to fetch"):
        fetch(model)
