import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, XCLIPModel

from retrieval.embedding.options import EmbedOptions, open_spaces
from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.x_clip import XClipEncoder
from retrieval.errors import WeightsNotAvailableError
from retrieval.protocols import reads_clips
from retrieval.types import ClipFrames, ImageGeometry, Medium


def load(folder: Path) -> XClipEncoder:
    encoder = load_encoder(f"xclip:{folder}", device="cpu")
    assert isinstance(encoder, XClipEncoder)
    return encoder


def clips(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, 8, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def encoder(small_x_clip: Path) -> XClipEncoder:
    return load(small_x_clip)


def test_properties_come_from_the_model(encoder: XClipEncoder) -> None:
    assert (encoder.slug, encoder.dim, encoder.media) == ("small-x-clip", 24, (Medium.VIDEO,))
    assert encoder.geometry == ImageGeometry(32, 32, "bilinear", "shortest")
    assert encoder.clip_frames == ClipFrames(8)
    assert reads_clips(encoder)
    assert encoder.windows is None


def test_vectors_are_those_of_transformers(encoder: XClipEncoder, small_x_clip: Path) -> None:
    model = XCLIPModel.from_pretrained(small_x_clip).eval()
    processor = AutoImageProcessor.from_pretrained(small_x_clip)
    pixels = clips(5)
    prepared = processor([list(clip) for clip in pixels], return_tensors="pt")["pixel_values"]
    tokens = encoder._tokenizer.tokenizer(
        ["a dog", "a running cat"], padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        want = model.get_video_features(pixel_values=prepared).pooler_output
        want_text = model.get_text_features(**tokens).pooler_output
    for got, wanted in (
        (encoder.encode_clips(pixels), want),
        (encoder.encode_text(["a dog", "a running cat"]), want_text),
    ):
        unit = torch.nn.functional.normalize(wanted, dim=-1).numpy()
        np.testing.assert_allclose(got, unit, atol=1e-5)
        assert got.dtype == np.float32


def test_the_order_of_frames_matters(encoder: XClipEncoder) -> None:
    pixels = clips(1)
    assert np.abs(encoder.encode_clips(pixels) - encoder.encode_clips(pixels[:, ::-1])).max() > 1e-4


def test_empty_batches_and_long_texts(encoder: XClipEncoder) -> None:
    assert encoder.encode_clips(clips(0)).shape == (0, 24)
    rows = encoder.encode_text(["a" * 100_000, "a" * 500, "\ud800", "?"])
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)
    np.testing.assert_allclose(rows[2], rows[3], atol=1e-6)


def test_unsupported_inputs_fail(encoder: XClipEncoder) -> None:
    with pytest.raises(ValueError, match=r"reads uint8 \(8, 32, 32, 3\), got uint8 \(1, 4, 32"):
        encoder.encode_clips(clips(1)[:, :4])
    with pytest.raises(ValueError, match="does not embed images"):
        encoder.encode_images(np.zeros((1, 32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="does not embed audio"):
        encoder.encode_audio(np.zeros((1, 8), np.float32), np.zeros(1))


def test_digest_covers_the_preprocessing(encoder: XClipEncoder, small_x_clip: Path, tmp_path: Path):
    folder = Path(shutil.copytree(small_x_clip, tmp_path / "copy"))
    assert load(folder).digest == encoder.digest
    path = folder / "preprocessor_config.json"
    path.write_text(path.read_text().replace('"resample": 2', '"resample": 3'))
    assert load(folder).geometry.interpolation == "bicubic"
    assert load(folder).digest != encoder.digest
    path.unlink()
    with pytest.raises(WeightsNotAvailableError, match=r"readable preprocessor_config\.json"):
        load(folder)


def test_its_caution_is_logged(small_x_clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    open_spaces(None, EmbedOptions(models=(f"xclip:{small_x_clip}",), device="cpu"))
    assert f"xclip:{small_x_clip}: an action recognition model" in caplog.text
