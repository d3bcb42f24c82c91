import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from retrieval.encoders.catalogue import CATALOGUE, load_encoder
from retrieval.encoders.hub.fetch import (
    OPEN_CLIP_REPOSITORIES,
    HubSource,
    choose_files,
    fetch,
    hub_sources,
)
from retrieval.encoders.inventory import bytes_here
from retrieval.errors import (
    StorageError,
    UnknownModelError,
    WeightsFormatError,
    WeightsNotAvailableError,
)
from support.fake_hub import FakeHub, serve

REPO, SPEC = "maker/small-clap", "clap:maker/small-clap"


def use(endpoint: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point huggingface_hub to another hub and an empty cache, and let it online."""
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def hub(small_clap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    files = {path.name: path.read_bytes() for path in small_clap.iterdir()}
    others = {
        "README.md": b"# A model",
        "pytorch_model.bin": b"\x80\x04pickle",
        "modeling.py": b"import os",
        "onnx/model.safetensors": b"elsewhere",
    }
    with serve(FakeHub({REPO: files | others})) as running:
        use(running.endpoint, tmp_path / "cache", monkeypatch)
        yield running


def test_a_model_is_fetched_checked_and_used_without_a_network(
    hub: FakeHub, small_clap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bytes_here(SPEC) is None
    told: list[str] = []
    files = fetch(SPEC, on_file=lambda file: told.append(file.path.name))
    wanted = sorted(path.name for path in small_clap.iterdir())
    assert sorted(hub.downloaded) == wanted  # no pickle, no code, nothing twice
    assert told == [file.path.name for file in files]
    assert (told[0], told[-1]) == ("model.safetensors", "config.json")
    assert bytes_here(SPEC) == sum(path.stat().st_size for path in small_clap.iterdir())
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("socket.socket", None)
    want = load_encoder(f"clap:{small_clap}", device="cpu").digest
    assert load_encoder(SPEC, device="cpu").digest == want


def test_what_is_whole_is_not_fetched_again(hub: FakeHub) -> None:
    fetch(SPEC)
    hub.downloaded.clear()
    assert len(fetch(SPEC)) > 3
    assert hub.downloaded == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_with_another_digest_fails_and_leaves_the_cache(hub: FakeHub, name: str) -> None:
    content = bytearray(hub.repositories[REPO][name])
    content[-2] ^= 1
    hub.served[name] = bytes(content)
    with pytest.raises(WeightsFormatError, match=f"{REPO}: {name} has arrived with another digest"):
        fetch(SPEC)
    with pytest.raises(WeightsNotAvailableError, match=f"`retrieval models fetch {SPEC}`"):
        load_encoder(SPEC)
    hub.served.clear()
    fetch(SPEC)
    assert load_encoder(SPEC, device="cpu").dim == 24


def test_a_cached_file_that_has_changed_on_disk_fails(hub: FakeHub) -> None:
    weights = next(file.path for file in fetch(SPEC) if file.path.name == "model.safetensors")
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.resolve().write_bytes(damaged)
    with pytest.raises(WeightsFormatError, match="another digest"):
        fetch(SPEC)
    assert not weights.exists()


def test_a_repository_of_pickles_fails_before_a_download(hub: FakeHub) -> None:
    del hub.repositories[REPO]["model.safetensors"]
    with pytest.raises(
        WeightsFormatError, match=r"publishes its weights as a pickle \(pytorch_mod"
    ):
        fetch(SPEC)
    assert hub.downloaded == []


def test_no_such_repository_fails(hub: FakeHub) -> None:
    with pytest.raises(WeightsNotAvailableError, match=r"maker/none: the hub has no such model"):
        fetch("clap:maker/none")
    with pytest.raises(WeightsNotAvailableError, match="neither a folder nor a name on the hub"):
        fetch("clap:a/b/c")
    with pytest.raises(UnknownModelError, match="no model 'nothing'"):
        fetch("nothing")


def test_without_a_network_it_fails_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use("http://127.0.0.1:9", tmp_path, monkeypatch)  # nobody listens there
    with pytest.raises(
        WeightsNotAvailableError, match=r"cannot be reached.*--model tiny"
    ) as caught:
        fetch(SPEC)
    assert "\n" not in str(caught.value)


def test_a_cache_that_cannot_be_written_fails(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match=r"the hub.s cache cannot be written: .*file"):
        fetch(SPEC)


def test_offline_it_fails_without_a_socket(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("socket.socket", None)
    with pytest.raises(WeightsNotAvailableError, match="HF_HUB_OFFLINE is set, so nothing is"):
        fetch(SPEC)


@pytest.mark.parametrize("model", ["tiny", "mulan:some/folder"])
def test_models_of_this_machine_need_no_fetching(model: str) -> None:
    with pytest.raises(WeightsNotAvailableError, match=f"{model}: nothing to fetch"):
        fetch(model)


def test_sources_of_open_clip_are_weights_and_tokenizer() -> None:
    weights = re.compile(r"open_clip_model\.safetensors")
    siglip = HubSource("timm/ViT-B-32-SigLIP2-256", weights)
    assert hub_sources("open_clip:ViT-B-32-SigLIP2-256/webli") == [siglip]
    assert hub_sources("open_clip:PE-Core-B-16/meta") == [HubSource("timm/PE-Core-B-16", weights)]
    with_text = hub_sources("open_clip:roberta-ViT-B-32/laion2b_s12b_b32k")
    assert with_text[1:] == [HubSource("roberta-base", None)]
    with pytest.raises(WeightsNotAvailableError, match="holds no safetensors under that name"):
        hub_sources("open_clip:ViT-B-32/nothing")


def test_the_table_says_what_open_clip_says(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [spec for entry in CATALOGUE.values() for spec in entry.encoders]
    specs = {spec for spec in listed if spec.startswith("open_clip:")}
    assert set(OPEN_CLIP_REPOSITORIES) == specs
    known = {spec: hub_sources(spec) for spec in specs}
    monkeypatch.setattr("retrieval.encoders.fetch.OPEN_CLIP_REPOSITORIES", {})
    assert known == {spec: hub_sources(spec) for spec in specs}


def test_weights_in_parts_come_with_their_index() -> None:
    parts = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = "model.safetensors.index.json"
    names = ["config.json", index, *parts[::-1], "vocab.txt", "README.md"]
    assert choose_files(HubSource("a/b"), names) == [*parts, index, "vocab.txt", "config.json"]
    whole = choose_files(HubSource("a/b"), [*names, "model.safetensors"])
    assert whole[0] == "model.safetensors"
    assert not set(parts) & set(whole)
    assert choose_files(HubSource("a/b", None), ["pytorch_model.bin", "vocab.txt"]) == ["vocab.txt"]
