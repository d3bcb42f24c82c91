import json
from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.open_clip import OpenClipEncoder
from retrieval.encoders.pooling import unit_rows
from retrieval.encoders.text_first import MAX_TEXTS, TextFirstEncoder
from retrieval.encoders.video_text import VideoTextEncoder
from retrieval.errors import ModelError, WeightsFormatError, WeightsNotAvailableError
from retrieval.protocols import reads_clips
from retrieval.training.pairs.new_model import create_video_model
from retrieval.training.tensors import write_tensors
from retrieval.types import ClipFrames, Medium

TEXTS = ["a red circle moving left", "first a star, then a ring", ""]


def load(folder: Path) -> VideoTextEncoder:
    encoder = load_encoder(f"video-text:{folder}", device="cpu")
    assert isinstance(encoder, VideoTextEncoder)
    return encoder


def clips(count: int, seed: int = 0) -> np.ndarray:
    """Make frames of one colour each, because the image tower does not distinguish noise."""
    colours = np.random.default_rng(seed).integers(0, 256, (count, 16, 1, 1, 3), dtype=np.uint8)
    return np.broadcast_to(colours, (count, 16, 64, 64, 3)).copy()


@pytest.fixture(scope="module")
def images() -> OpenClipEncoder:
    encoder = load_encoder("tiny-image", device="cpu")
    assert isinstance(encoder, OpenClipEncoder)
    return encoder


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untrained")
    create_video_model(folder, "tiny-image", seed=0)
    return folder


@pytest.fixture(scope="module")
def stirred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Load a model whose towers change the vectors."""
    folder = tmp_path_factory.mktemp("stirred")
    create_video_model(folder, "tiny-image", seed=0)
    own = load(folder).model.own
    for tower in (own.video, own.text):
        torch.nn.init.normal_(tower.project.weight, std=0.05)
    write_tensors(folder / "model.safetensors", own.state_dict())
    return folder


def test_properties_come_from_the_model(untrained: Path) -> None:
    encoder = load(untrained)
    assert (encoder.dim, encoder.media) == (256, (Medium.VIDEO,))
    assert encoder.clip_frames == ClipFrames(16, 7.0)
    assert reads_clips(encoder)
    assert encoder.windows is None
    assert encoder.logit_scale == pytest.approx(14.3, abs=0.1)


def test_an_untrained_model_is_almost_the_mean_of_the_own_frames(
    untrained: Path, images: OpenClipEncoder
) -> None:
    encoder, pixels = load(untrained), clips(2)
    pixels[:, 8] = pixels[:, 7]
    frames = images.encode_images(pixels[:, 7:9].reshape(-1, 64, 64, 3)).reshape(2, 2, -1)
    want = unit_rows(frames.mean(axis=1), "")
    assert (encoder.encode_clips(pixels) * want).sum(axis=1).min() > 0.98
    assert (encoder.encode_text(TEXTS) * images.encode_text(TEXTS)).sum(axis=1).min() > 0.98


def test_order_context_and_words_affect_vectors(stirred: Path) -> None:
    encoder, pixels = load(stirred), clips(1)
    rows = encoder.encode_clips(pixels)
    assert np.abs(rows - encoder.encode_clips(pixels[:, ::-1].copy())).max() > 1e-3
    other = pixels.copy()
    other[:, 0] = 255 - other[:, 0]
    assert np.abs(rows - encoder.encode_clips(other)).max() > 1e-3
    # Padding is masked: a longer text in the batch changes nothing.
    alone = encoder.encode_text(TEXTS[:1])
    np.testing.assert_allclose(encoder.encode_text(TEXTS)[:1], alone, atol=1e-5)


def test_texts_do_not_load_the_image_tower(
    stirred: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load_encoder("tiny-image", device="cpu", text_first=True)  # remembers its text tower
    complete = load(stirred)
    light = load_encoder(f"video-text:{stirred}", device="cpu", text_first=True)
    assert isinstance(light, VideoTextEncoder)
    texts = [*TEXTS, "ring " * 100]
    vectors, expected = light.encode_text(texts), complete.encode_text(texts)
    assert np.linalg.norm(vectors - expected, axis=1).max() <= 1e-5
    assert light.encode_text([]).shape == (0, 256)
    assert isinstance(light._images, TextFirstEncoder)
    assert light._images._complete is None
    many = [f"{n} circles" for n in range(MAX_TEXTS + 1)]
    np.testing.assert_array_equal(light.encode_text(many), complete.encode_text(many))
    np.testing.assert_array_equal(light.encode_clips(clips(2)), complete.encode_clips(clips(2)))
    for name in ("digest", "dim", "geometry", "logit_scale"):
        assert getattr(light, name) == getattr(complete, name)


def test_shared_frames_are_embedded_once(stirred: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load(stirred)
    pixels = clips(20).reshape(-1, 64, 64, 3)[:30]
    overlapping = np.stack([pixels[first : first + 16] for first in range(0, 14, 2)])
    want = np.concatenate([load(stirred).encode_clips(clip[None]) for clip in overlapping])
    seen = []
    embed = encoder.images.encode_images

    def counted(frames: np.ndarray) -> np.ndarray:
        seen.append(len(frames))
        return embed(frames)

    monkeypatch.setattr(encoder.images, "encode_images", counted)
    got = np.concatenate(
        [encoder.encode_clips(overlapping[:4]), encoder.encode_clips(overlapping[4:])]
    )
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert seen == [22, 6]


def test_unsupported_inputs_fail(untrained: Path) -> None:
    encoder = load(untrained)
    assert encoder.encode_clips(clips(0)).shape == (0, 256)
    with pytest.raises(ValueError, match=r"reads uint8 \(16, 64, 64, 3\), got uint8 \(1, 4, 64"):
        encoder.encode_clips(clips(1)[:, :4])
    with pytest.raises(ValueError, match="does not embed images"):
        encoder.encode_images(np.zeros((1, 64, 64, 3), np.uint8))
    with pytest.raises(ValueError, match="does not embed audio"):
        encoder.encode_audio(np.zeros((1, 8), np.float32), np.zeros(1))


def test_another_image_model_is_refused(untrained: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((untrained / name).read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["images_digest"] = "0" * 64
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsFormatError, match="needs tiny-image with digest 00000000"):
        load(tmp_path)
    config["images"] = "tiny-music"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsFormatError, match="needs an image-text model of open_clip"):
        load(tmp_path)


def test_damaged_folders_are_refused(untrained: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsNotAvailableError, match=r"config\.json is missing"):
        load(tmp_path)
    (tmp_path / "config.json").write_bytes((untrained / "config.json").read_bytes())
    (tmp_path / "model.bin").write_bytes(b"pickle")
    with pytest.raises(WeightsFormatError, match="a pickle"):
        load(tmp_path)
    (tmp_path / "model.bin").unlink()
    whole = (untrained / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(WeightsFormatError, match="not a valid safetensors file"):
        load(tmp_path)
    write_tensors(tmp_path / "model.safetensors", {"other": torch.zeros(1)})
    with pytest.raises(WeightsFormatError, match=r"does not fit its config\.json"):
        load(tmp_path)
    (tmp_path / "config.json").write_text('{"images": 3}')
    with pytest.raises(WeightsFormatError, match="not a video-text configuration"):
        load(tmp_path)


def test_only_open_clip_models_are_accepted(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="image-text model of open_clip"):
        create_video_model(tmp_path, "tiny-music", seed=0)
