import pytest

from retrieval.encoders.catalogue import CATALOGUE
from retrieval.encoders.hub.plan import choose_files
from retrieval.encoders.hub.repositories import (
    CONFIG,
    KNOWN,
    REPOSITORY_BY_SPEC,
    TOKENIZER,
    HubSource,
    list_sources,
)
from retrieval.encoders.weights import MODEL_WEIGHTS, OPEN_CLIP_WEIGHTS
from retrieval.errors import WeightsFormatError, WeightsNotAvailableError


def nothing(repo: str, name: str) -> None:
    """Read nothing: an empty cache."""


def test_every_repository_of_the_catalogue_is_known_without_open_clip() -> None:
    for entry in CATALOGUE.values():
        for spec in entry.encoders:
            if ":" in spec:
                assert KNOWN[REPOSITORY_BY_SPEC[spec]].spec == spec
                assert list_sources(spec, nothing)[0].repo in KNOWN


@pytest.mark.parametrize(
    "spec", [spec for spec in REPOSITORY_BY_SPEC if spec.startswith("open_clip:")]
)
def test_known_repositories_agree_with_open_clip(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = list_sources(spec, nothing)
    monkeypatch.setattr("retrieval.encoders.hub.repositories.REPOSITORY_BY_SPEC", {})
    assert list_sources(spec, nothing) == known


def test_sources_of_open_clip_are_weights_and_tokenizer() -> None:
    siglip = HubSource("timm/ViT-B-32-SigLIP2-256", (TOKENIZER,), OPEN_CLIP_WEIGHTS)
    assert list_sources("open_clip:ViT-B-32-SigLIP2-256/webli", nothing) == [siglip]
    older = list_sources("open_clip:ViT-B-16-SigLIP-384/webli", nothing)
    assert older[1:] == [HubSource("timm/ViT-B-16-SigLIP", (TOKENIZER,), None)]
    with_text = list_sources("open_clip:roberta-ViT-B-32/laion2b_s12b_b32k", nothing)
    assert with_text[1:] == [HubSource("roberta-base", (TOKENIZER, CONFIG), None)]
    with pytest.raises(WeightsNotAvailableError, match="open_clip publishes no weights of that"):
        list_sources("open_clip:ViT-B-32/nothing", nothing)


def test_a_configuration_names_further_repositories() -> None:
    def config(repo: str, name: str) -> dict[str, object]:
        return {"model_cfg": {"text_cfg": {"hf_tokenizer_name": "a/tokens"}}}

    sources = list_sources("open_clip:hf-hub:a/model", config)
    assert [source.repo for source in sources] == ["a/model", "a/tokens"]
    muq = list_sources("muq:OpenMuQ/MuQ-MuLan-large", nothing)
    assert [source.repo for source in muq] == [
        "OpenMuQ/MuQ-MuLan-large",
        "OpenMuQ/MuQ-large-msd-iter",
        "xlm-roberta-base",
    ]


def test_sharded_weights_come_with_their_index() -> None:
    parts = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = "model.safetensors.index.json"
    names = ["config.json", index, *parts[::-1], "vocab.txt", "README.md"]
    chosen = choose_files(HubSource("a/b", (CONFIG,)), names)
    assert chosen == [*parts, "config.json", index, "vocab.txt"]
    whole = choose_files(HubSource("a/b", (CONFIG,)), [*names, "model.safetensors"])
    assert whole[0] == "model.safetensors"
    assert not set(parts) & set(whole)
    pickles = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    listed = [*pickles[::-1], "pytorch_model.bin.index.json"]
    assert choose_files(HubSource("a/b", ()), listed)[:2] == pickles
    assert choose_files(HubSource("a/b", (), None), ["pytorch_model.bin", "vocab.txt"]) == [
        "vocab.txt"
    ]


def test_sentence_pieces_are_read_where_no_other_tokenizer_is() -> None:
    source = HubSource("a/b", (TOKENIZER,), None)
    assert choose_files(source, ["spiece.model"]) == ["spiece.model"]
    assert choose_files(source, ["spiece.model", "tokenizer.json"]) == ["tokenizer.json"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["config.json", MODEL_WEIGHTS], "no tokenizer: expected tokenizer.json or vocab.json"),
        (["tokenizer.json", MODEL_WEIGHTS], "no configuration: expected config.json"),
        (["tokenizer.json", "config.json"], "neither model.safetensors nor pytorch_model.bin"),
    ],
)
def test_an_incomplete_repository_fails(names: list[str], message: str) -> None:
    with pytest.raises(
        WeightsFormatError, match=f"a/b: publishes {message.removeprefix('publishes ')}"
    ):
        choose_files(HubSource("a/b", (CONFIG, TOKENIZER)), names)
