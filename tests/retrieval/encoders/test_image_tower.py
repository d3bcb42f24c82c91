import copy
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from retrieval.encoders import image_tower as module
from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.image_tower import (
    MIN_PICTURES,
    first_token_features,
    has_bfloat16,
    image_tower,
    reads_first_token,
    reduced_tower,
)
from retrieval.encoders.open_clip import OpenClipEncoder
from retrieval.encoders.packed_layers import PackedLinear
from retrieval.media.images.fitting import fit

SIZE = (64, 64)

needs_bfloat16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN lacks bfloat16 here"
)


@pytest.fixture
def reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use bfloat16 for towers of any size, also where it is slow."""
    monkeypatch.setattr(module, "has_bfloat16", lambda: True)
    monkeypatch.setattr(module, "MIN_PARAMETERS", 0)


def noise(n: int, side: int) -> Tensor:
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(0))


def pictures(n: int, side: int) -> np.ndarray:
    """Return pictures of coloured patches: random towers exaggerate differences of mere noise."""
    coarse = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    return np.stack([Image.fromarray(each).resize((side, side)) for each in coarse])


def cosines(a: np.ndarray | Tensor, b: np.ndarray | Tensor) -> Tensor:
    return functional.cosine_similarity(torch.as_tensor(a).float(), torch.as_tensor(b).float())


# ---------------------------------------------------------------- the first token


@pytest.mark.parametrize("layer_scale", [None, 0.3])
@torch.inference_mode()
def test_the_first_token_alone_gives_the_features_of_the_tower(layer_scale: float | None) -> None:
    torch.manual_seed(0)
    vision = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 3}
    tower = open_clip.CLIP(
        embed_dim=24,
        vision_cfg=vision | {"ls_init_value": layer_scale},
        text_cfg={"width": 32, "heads": 2, "layers": 1},
    ).visual.eval()
    assert reads_first_token(tower)
    inputs = noise(5, 32)
    for _ in range(2):
        found = first_token_features(tower, inputs)
        assert found.shape == tower(inputs).shape
        torch.testing.assert_close(found, tower(inputs), atol=1e-5, rtol=1e-5)
        tower.proj = None


def test_towers_that_read_all_tokens_run_unchanged() -> None:
    vision = {"image_size": 32, "patch_size": 16, "width": 64, "layers": 1}
    text = {"width": 32, "heads": 2, "layers": 1}
    for options in ({"pool_type": "avg"}, {"attentional_pool": True}, {"output_tokens": True}):
        tower = open_clip.CLIP(embed_dim=24, vision_cfg=vision | options, text_cfg=text).visual
        assert not reads_first_token(tower.eval())
        with torch.inference_mode():
            want = tower(noise(2, 32))
            found = image_tower(tower)(noise(2, 32))
        assert torch.equal(found, want[0] if isinstance(want, tuple) else want)


# ---------------------------------------------------------------- bfloat16


@needs_bfloat16
@pytest.mark.usefixtures("reduced")
@pytest.mark.parametrize("model", ["small_clip", "small_siglip2", "small_pe_core"])
def test_vectors_in_bfloat16_agree_with_float32(
    model: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder: Path = request.getfixturevalue(model)
    encoder = load_encoder(f"open_clip:{folder}", device="cpu")
    assert isinstance(encoder, OpenClipEncoder)
    before = copy.deepcopy(encoder._model.state_dict())
    pixels = pictures(MIN_PICTURES, encoder.geometry.height)
    found = encoder.encode_images(pixels)
    text = encoder.encode_text(["a red circle"])
    after = encoder._model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    monkeypatch.setattr(module, "has_bfloat16", lambda: False)
    exact = load_encoder(f"open_clip:{folder}", device="cpu")
    want = exact.encode_images(pixels)
    assert not np.array_equal(found, want)
    assert cosines(found, want).min() >= 0.999
    # Queries are exact.
    np.testing.assert_array_equal(text, exact.encode_text(["a red circle"]))
    np.testing.assert_array_equal(
        encoder.encode_images(pixels[:7]), exact.encode_images(pixels[:7])
    )


@needs_bfloat16
@pytest.mark.usefixtures("reduced")
def test_photographs_have_the_same_neighbours_in_bfloat16(
    real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoders = [load_encoder("tiny-image", device="cpu") for _ in range(2)]
    geometry = encoders[0].geometry
    assert geometry is not None
    paths = sorted((real_data / "photos").glob("*.jpg"))
    pixels = np.stack([fit(Image.open(path).convert("RGB"), geometry) for path in paths])
    found = encoders[0].encode_images(pixels)
    monkeypatch.setattr(module, "has_bfloat16", lambda: False)
    want = encoders[1].encode_images(pixels)
    assert not np.array_equal(found, want)
    assert cosines(found, want).min() >= 0.999
    others = 2 * np.eye(len(want), dtype=np.float32)
    np.testing.assert_array_equal(
        (found @ want.T - others).argmax(axis=1), (want @ want.T - others).argmax(axis=1)
    )


@needs_bfloat16
@pytest.mark.usefixtures("reduced")
def test_new_weights_of_a_model_are_used(small_clip: Path) -> None:
    encoder = load_encoder(f"open_clip:{small_clip}", device="cpu")
    assert isinstance(encoder, OpenClipEncoder)
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    before = encoder.encode_images(pixels)
    encoder.model.visual.proj.data.neg_()
    np.testing.assert_array_equal(encoder.encode_images(pixels), -before)


class Outlier(nn.Module):
    """Adds and subtracts a number beside which bfloat16 loses the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, pictures: Tensor) -> Tensor:
        return (pictures * self.weight + 1_000 - 1_000).flatten(1)


class Float32Only(nn.Module):
    """Refuses bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.flatten(1) @ torch.ones(pictures[0].numel(), 3)


@pytest.mark.usefixtures("reduced")
@pytest.mark.parametrize("tower", [Outlier(), Float32Only()])
def test_a_tower_that_bfloat16_changes_or_breaks_stays_in_float32(
    tower: nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "retrieval")
    made = reduced_tower(tower, SIZE, spec="a model")
    assert torch.equal(made(noise(4, 64)), tower(noise(4, 64)))
    assert "a model: float32, because bfloat16" in caplog.text


def test_small_towers_and_other_processors_stay_in_float32(
    monkeypatch: pytest.MonkeyPatch, small_siglip2: Path
) -> None:
    encoder = load_encoder(f"open_clip:{small_siglip2}", device="cpu")
    assert isinstance(encoder, OpenClipEncoder)
    tower, inputs = encoder.model.visual, noise(2, 224)
    with torch.inference_mode():
        want = tower(inputs)
        for bfloat16, least in ((True, 20_000_000), (False, 0)):
            monkeypatch.setattr(module, "has_bfloat16", lambda known=bfloat16: known)
            monkeypatch.setattr(module, "MIN_PARAMETERS", least)
            made = reduced_tower(tower, (224, 224), spec="model")
            assert torch.equal(made(inputs), want)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({}, False),  # other architectures
    ],
)
def test_bfloat16_needs_instructions_of_the_processor(
    capabilities: dict[str, bool], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert has_bfloat16() == expected


@needs_bfloat16
def test_layers_of_the_copy_are_packed(small_siglip2: Path) -> None:
    encoder = load_encoder(f"open_clip:{small_siglip2}", device="cpu")
    assert isinstance(encoder, OpenClipEncoder)
    copied = module._in_bfloat16(encoder.model.visual)
    module.pack_layers(copied)
    packed = [module for module in copied.modules() if isinstance(module, PackedLinear)]
    assert len(packed) == 2 * 13  # 12 blocks, and the pooling
    assert {parameter.dtype for parameter in copied.parameters()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in encoder.model.parameters()} == {torch.float32}
