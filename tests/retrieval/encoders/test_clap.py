import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import ClapFeatureExtractor, ClapModel

from indexes.errors import InvalidVectorError
from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.clap import ClapEncoder
from retrieval.encoders.spaces import make_space
from retrieval.errors import (
    CollapsedEncoderError,
    ModelError,
    WeightsFormatError,
    WeightsNotAvailableError,
)
from retrieval.types import AudioWindows, Medium, Sampling

RATE = 48_000
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def load(folder: Path, device: str = "cpu") -> ClapEncoder:
    encoder = load_encoder(f"clap:{folder}", device=device)
    assert isinstance(encoder, ClapEncoder)
    return encoder


def windows(n: int, seconds: float = 10.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    return 0.1 * rng.standard_normal((n, round(RATE * seconds)), np.float32)


@pytest.fixture(scope="module")
def encoder(small_clap: Path) -> ClapEncoder:
    return load(small_clap)


def test_properties_come_from_the_model(encoder: ClapEncoder, small_clap: Path) -> None:
    assert encoder.spec == f"clap:{small_clap}"
    assert encoder.slug == "small-clap"
    assert encoder.dim == 24
    assert encoder.media == (Medium.AUDIO,)
    assert encoder.geometry is None
    assert encoder.windows == AudioWindows(RATE, 10.0, 10.0)


@pytest.mark.parametrize("device", DEVICES)
def test_vectors_are_those_of_transformers(small_clap: Path, device: str) -> None:
    encoder = load(small_clap, device)
    model = ClapModel.from_pretrained(small_clap).eval()
    extractor = ClapFeatureExtractor.from_pretrained(small_clap)
    sound, tolerance = windows(2), 1e-5 if device == "cpu" else 3e-2
    features = extractor(list(sound), sampling_rate=RATE, return_tensors="pt")["input_features"]
    with torch.inference_mode():
        want = model.get_audio_features(features, torch.zeros((2, 1), dtype=torch.bool))
        tokens = encoder._tokenizer.tokenizer(
            ["a low drum", "b"], padding=True, return_tensors="pt"
        )
        want_text = model.get_text_features(**tokens)
    got = encoder.encode_audio(sound, np.array([10.0, 10.0]))
    np.testing.assert_allclose(got, want.pooler_output.numpy(), atol=tolerance)
    got = encoder.encode_text(["a low drum", "b"])
    np.testing.assert_allclose(got, want_text.pooler_output.numpy(), atol=tolerance)


def test_vectors_of_windows_are_independent_of_the_batch(encoder: ClapEncoder) -> None:
    """Feature extractors of fused models mark a random window as longer; ours must not."""
    sound, seconds = windows(5), np.full(5, 10.0)
    rows = encoder.encode_audio(sound, seconds)
    assert rows.shape == (5, 24)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(rows, encoder.encode_audio(sound, seconds))
    np.testing.assert_allclose(encoder.encode_audio(sound[3:4], seconds[:1]), rows[3:4], atol=1e-5)


@pytest.mark.parametrize("kind", ["small_clap", "small_clap_general"])
def test_cropping_is_deterministic(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both extractors crop or stack longer windows at random; none is longer."""
    encoder = load(request.getfixturevalue(kind))
    space = make_space(encoder, sampling=Sampling(), windows=None)
    assert space.windows == AudioWindows(RATE, 10.0, 10.0)
    sound, seconds = windows(3), np.array([10.0, 9.99, 0.5])
    drawn = []
    for number in (0, 2):  # fusion draws one, for a window that it takes to be long
        monkeypatch.setattr(np.random, "randint", lambda *_, number=number: number)
        monkeypatch.setattr(np.random, "choice", None)
        drawn.append(encoder.encode_audio(sound, seconds))
    np.testing.assert_array_equal(*drawn)
    with pytest.raises(ModelError, match="reads at most 10 s at a time, got windows of 11 s"):
        make_space(encoder, sampling=Sampling(), windows=AudioWindows(RATE, 11.0, 11.0))


def test_a_collapsed_text_tower_is_refused(small_clap: Path, tmp_path: Path) -> None:
    """Collapse a text tower as in `laion/larger_clap_music`."""
    folder = Path(shutil.copytree(small_clap, tmp_path / "copy"))
    weights = load_file(folder / "model.safetensors")
    weights["text_projection.linear2.weight"] *= 0.01
    weights["text_projection.linear2.bias"] += 1.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        CollapsedEncoderError, match=r"50 unrelated texts have a mean cosine of 1\.0"
    ):
        make_space(load(folder), sampling=Sampling(), windows=None)


def test_short_audio_is_repeated_without_its_padding(encoder: ClapEncoder) -> None:
    sound = windows(1)
    sound[:, 2 * RATE :] = 0
    short = encoder.encode_audio(sound, np.array([2.0]))
    repeated = encoder.encode_audio(np.tile(sound[:, : 2 * RATE], 5), np.array([10.0]))
    np.testing.assert_allclose(short, repeated, atol=1e-6)
    cut = encoder.encode_audio(sound[:, : 2 * RATE], np.array([2.0]))  # windows of 2 s
    np.testing.assert_allclose(short, cut, atol=1e-6)


def test_silence_and_empty_batches(encoder: ClapEncoder) -> None:
    assert np.isfinite(encoder.encode_audio(np.zeros((1, RATE), np.float32), np.zeros(1))).all()
    assert encoder.encode_audio(windows(0), np.empty(0)).shape == (0, 24)
    assert encoder.encode_text([]).shape == (0, 24)


def test_texts_are_cut_at_the_context_length(encoder: ClapEncoder) -> None:
    rows = encoder.encode_text(["a" * 100_000, "a" * 200, "\ud800", "?", ""])
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)
    np.testing.assert_allclose(rows[2], rows[3], atol=1e-6)


def test_invalid_audio_fails(encoder: ClapEncoder) -> None:
    with pytest.raises(ValueError, match=r"windows of up to 480000 samples, got \(1, 528000\)"):
        encoder.encode_audio(windows(1, 11.0), np.array([11.0]))
    with pytest.raises(ValueError, match="does not embed images"):
        encoder.encode_images(np.zeros((1, 8, 8, 3), np.uint8))
    broken = windows(2)
    broken[1, 7] = np.nan
    with pytest.raises(InvalidVectorError, match="NaN or infinite samples"):
        encoder.encode_audio(broken, np.full(2, 10.0))


def test_its_space(encoder: ClapEncoder) -> None:
    space = make_space(encoder, sampling=Sampling(), windows=AudioWindows(RATE, 5.0, 2.5))
    assert space.name.startswith("small-clap-")
    assert space.windows == AudioWindows(RATE, 5.0, 2.5)


def test_digest_covers_weights_preprocessing_and_tokenizer(
    encoder: ClapEncoder, small_clap: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(small_clap, tmp_path / "copy"))
    assert load(folder).digest == encoder.digest
    preprocessing = folder / "preprocessor_config.json"
    original = preprocessing.read_text()
    preprocessing.write_text(original.replace("14000", "12000"))
    changed = {encoder.digest, load(folder).digest}
    preprocessing.write_text(original)
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(
        tokenizer.read_text()
        .replace('"trim_offsets": true', '"trim_offsets": false')
        .replace('"!": 5', '"!": 6', 1)
        .replace('"\\"": 6', '"\\"": 5', 1)
    )
    changed.add(load(folder).digest)
    assert len(changed) == 3


def test_a_model_that_is_not_in_the_cache_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket", None)
    with pytest.raises(
        WeightsNotAvailableError,
        match=r"maker/nothing is missing .* or use the model tiny",
    ):
        load_encoder("clap:maker/nothing")
    with pytest.raises(
        WeightsNotAvailableError, match="neither a folder nor a repository of the hub"
    ):
        load_encoder("clap:a/b/c")


def test_fault_17_a_pickle_alone_fails(small_clap: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_clap, tmp_path / "copy"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(WeightsFormatError, match=r"pytorch_model\.bin, a pickle"):
        load(folder)


def test_safetensors_with_missing_keys_and_wrong_shapes_fails(
    small_clap: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(small_clap, tmp_path / "copy"))
    weights = load_file(folder / "model.safetensors")
    del weights["text_projection.linear1.bias"]
    weights["audio_projection.linear2.bias"] = torch.zeros(7)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsFormatError) as caught:
        load(folder)
    message = str(caught.value)
    assert "text_projection.linear1.bias is missing" in message
    assert "audio_projection.linear2.bias is (7,), expected (24,)" in message


def test_a_folder_of_another_kind_fails(small_clap: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsNotAvailableError, match=r"contains no model\.safetensors"):
        load(tmp_path)
    folder = Path(shutil.copytree(small_clap, tmp_path / "copy"))
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsNotAvailableError, match=r"preprocessor_config\.json"):
        load(folder)
