"""The real class of transformers, built from its configuration at reduced size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BlipForImageTextRetrieval, BlipImageProcessor

from retrieval.collection import Collection
from retrieval.errors import UnknownModelError, WeightsFormatError, WeightsNotAvailableError
from retrieval.search.reranking.blip import BlipReranker
from retrieval.search.reranking.reranker import load_reranker
from retrieval.types import ImageGeometry
from support.small_models.blip import SIDE, save_blip


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved BLIP of a few thousand random weights."""
    return save_blip(tmp_path_factory.mktemp("blip"))


def pictures(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.random((n, SIDE, SIDE, 3)) * rng.random((n, 1, 1, 3)) * 255).astype(np.uint8)


def test_probabilities_are_those_of_transformers(blip: Path) -> None:
    reranker = load_reranker(f"blip:{blip}", device="cpu")
    assert isinstance(reranker, BlipReranker)
    assert reranker.geometry == ImageGeometry(SIDE, SIDE, "bicubic", "squash")
    model = BlipForImageTextRetrieval.from_pretrained(blip).eval()
    processor = BlipImageProcessor.from_pretrained(blip)
    pixels = pictures(13)
    inputs = processor(list(pixels), return_tensors="pt")
    tokens = reranker._tokens.tokenizer(["a red circle left of a circle"] * 13, return_tensors="pt")
    assert tokens.input_ids[0].tolist() == [1, 5, 6, 7, 8, 9, 5, 7, 2]
    with torch.inference_mode():
        want = model(tokens.input_ids, inputs.pixel_values, attention_mask=tokens.attention_mask)
    got = reranker.probabilities("a red circle left of a circle", pixels)
    np.testing.assert_allclose(got, want.itm_score.softmax(dim=1)[:, 1].numpy(), atol=1e-5)
    assert np.ptp(got) > 0.01
    assert reranker.probabilities("a circle", pixels[:0]).shape == (0,)


def test_fault_31_a_long_text_is_cut_at_the_context(blip: Path) -> None:
    reranker = load_reranker(f"blip:{blip}", device="cpu")
    long, cut = ("red " * 5_000, "red " * 14)
    np.testing.assert_allclose(
        reranker.probabilities(long, pictures(2)), reranker.probabilities(cut, pictures(2))
    )


def test_it_ranks_the_pictures_of_a_collection(blip: Path, indexed: Collection) -> None:
    hits = indexed.search("a red circle", to=["image"], k=24, rerank=f"blip:{blip}")
    judged = [hit for hit in hits if hit.first_stage_score is not None]
    assert len(judged) == 20
    assert all(0 < hit.score < 1 for hit in judged)
    assert [hit.score for hit in judged] == sorted((hit.score for hit in judged), reverse=True)


def test_fault_17_a_pickle_in_place_of_weights_fails(blip: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((blip / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(WeightsFormatError, match=r"pytorch_model\.bin, a pickle"):
        load_reranker(f"blip:{tmp_path}", device="cpu")


def test_fault_18_missing_tensors_fail(blip: Path, tmp_path: Path) -> None:
    for path in blip.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    weights = {name: tensor for name, tensor in weights.items() if not name.startswith("itm_head")}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsFormatError, match=r"2 tensors: itm_head\.bias is missing"):
        load_reranker(f"blip:{tmp_path}", device="cpu")


@pytest.mark.parametrize("spec", ["bleep", "blip", "blip:"])
def test_an_unknown_kind_fails(spec: str) -> None:
    with pytest.raises(UnknownModelError, match="known: tiny, tiny:FOLDER, blip:"):
        load_reranker(spec)


def test_a_model_that_is_not_cached_fails() -> None:
    with pytest.raises(WeightsNotAvailableError, match="nobody/nothing is missing"):
        load_reranker("blip:nobody/nothing", device="cpu")
