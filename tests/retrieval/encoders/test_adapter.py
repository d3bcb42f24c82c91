import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from retrieval.encoders.adapter import AdapterConfig, AdapterEncoder, AdapterPair
from retrieval.encoders.catalogue import load_encoder, resolve
from retrieval.encoders.spaces import make_space
from retrieval.errors import (
    SpaceMismatchError,
    UnknownModelError,
    WeightsFormatError,
    WeightsNotAvailableError,
)
from retrieval.protocols import Encoder
from retrieval.types import Sampling

TEXTS = ["a red circle", "a blue star", "nothing of the kind"]
PICTURES = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def base() -> Encoder:
    return load_encoder("tiny-image", device="cpu")


def write(folder: Path, config: AdapterConfig, *, seed: int | None = 0) -> Path:
    """Write an adapter with random weights; seed None writes a new one."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(seed or 0)
    pair = AdapterPair(config)
    if seed is not None:
        for parameter in pair.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    save_file(pair.state_dict(), folder / "adapter.safetensors")
    (folder / "adapter.json").write_text(json.dumps(asdict(config)))
    return folder


@pytest.fixture
def config(base: Encoder) -> AdapterConfig:
    return AdapterConfig("tiny-image", base.digest, 256, 64, 0.2)


def test_a_new_adapter_changes_nothing(
    base: Encoder, config: AdapterConfig, tmp_path: Path
) -> None:
    encoder = AdapterEncoder.load(write(tmp_path / "a", config, seed=None), device="cpu")
    np.testing.assert_allclose(encoder.encode_text(TEXTS), base.encode_text(TEXTS), atol=1e-6)
    want = base.encode_images(PICTURES)
    np.testing.assert_allclose(encoder.encode_images(PICTURES), want, atol=1e-6)


def test_vectors_are_mixed_as_in_the_paper(
    base: Encoder, config: AdapterConfig, tmp_path: Path
) -> None:
    encoder = AdapterEncoder.load(write(tmp_path / "a", config), device="cpu")
    rows, adapter = base.encode_text(TEXTS), encoder.pair.text
    weights = {name: tensor.detach().numpy() for name, tensor in adapter.named_parameters()}
    hidden = np.maximum(rows @ weights["down.weight"].T + weights["down.bias"], 0)
    mixed = 0.8 * rows + 0.2 * (hidden @ weights["up.weight"].T + weights["up.bias"])
    want = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    np.testing.assert_allclose(encoder.encode_text(TEXTS), want, atol=1e-5)
    assert encoder.encode_text([]).shape == (0, 256)
    assert encoder.encode_images(PICTURES).dtype == np.float32


def test_normalization_is_fitted_before_training(config: AdapterConfig) -> None:
    adapter = AdapterPair(config).text
    rows = torch.randn(50, 256) * torch.linspace(0, 2, 256) + 3
    adapter.fit_normalization(rows)
    torch.testing.assert_close(adapter.mean, rows.mean(dim=0))
    assert adapter.deviation[-1] == pytest.approx(2, abs=0.6)
    assert adapter.deviation[0] == pytest.approx(0.1, abs=0.03)  # not zero: a tenth of the mean


def test_digest_covers_base_configuration_and_weights(
    config: AdapterConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digest(folder: Path) -> str:
        return AdapterEncoder.load(folder, device="cpu").digest

    first = digest(write(tmp_path / "a", config))
    assert digest(write(tmp_path / "b", config)) == first
    assert digest(write(tmp_path / "c", config, seed=1)) != first
    assert digest(write(tmp_path / "d", replace(config, ratio=0.3))) != first
    encoder = AdapterEncoder.load(tmp_path / "a", device="cpu")
    monkeypatch.setattr(encoder, "base", type("Other", (), {"digest": "0" * 64})())
    assert encoder.digest != first


def test_the_catalogue_loads_it_and_a_space_is_made(config: AdapterConfig, tmp_path: Path) -> None:
    write(tmp_path / "My Words", config, seed=None)
    (spec,) = resolve(f"adapter:{tmp_path}/My Words")
    encoder = load_encoder(spec, device="cpu")
    assert (encoder.spec, encoder.slug) == (f"adapter:{tmp_path}/My Words", "my-words")
    space = make_space(encoder, sampling=Sampling(), windows=None)
    assert space.name.startswith("my-words-")
    assert space.media == ("image", "video")


def test_another_base_than_in_training_fails(config: AdapterConfig, tmp_path: Path) -> None:
    write(tmp_path / "a", replace(config, base_digest="0" * 64))
    with pytest.raises(SpaceMismatchError, match=r"digest 00000000.*train the adapter again"):
        load_encoder(f"adapter:{tmp_path}/a", device="cpu")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not an adapter configuration"),
        ("[]", "not an adapter configuration"),
        ('{"base": "tiny-image"}', "not an adapter configuration.*missing"),
        (
            '{"base": 3, "base_digest": "x", "dim": 1, "hidden": 1, "ratio": 1}',
            "base: .*valid string, got 3",
        ),
        ('{"base": "a", "base_digest": "x", "dim": 9, "hidden": 1, "ratio": 0}', "0 < ratio <= 1"),
        (
            '{"base": "adapter:x", "base_digest": "x", "dim": 1, "hidden": 1, "ratio": 1}',
            "its base is an adapter itself",
        ),
    ],
)
def test_a_bad_configuration_fails(
    config: AdapterConfig, tmp_path: Path, text: str, message: str
) -> None:
    write(tmp_path / "a", config)
    (tmp_path / "a" / "adapter.json").write_text(text)
    with pytest.raises(WeightsFormatError, match=message) as caught:
        AdapterEncoder.load(tmp_path / "a", device="cpu")
    assert "\n" not in str(caught.value)


def test_fault_18_weights_of_other_sizes_fail(config: AdapterConfig, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", config)
    save_file({"media.up.bias": torch.zeros(3)}, folder / "adapter.safetensors")
    with pytest.raises(WeightsFormatError, match=r"does not fit adapter\.json: .*Missing key"):
        AdapterEncoder.load(folder, device="cpu")


def test_missing_files_fail(config: AdapterConfig, tmp_path: Path) -> None:
    with pytest.raises(WeightsNotAvailableError, match=r"contains no adapter\.safetensors"):
        AdapterEncoder.load(tmp_path, device="cpu")
    (write(tmp_path / "a", config) / "adapter.json").unlink()
    with pytest.raises(WeightsNotAvailableError, match=r"adapter.json is missing"):
        AdapterEncoder.load(tmp_path / "a", device="cpu")
    with pytest.raises(UnknownModelError, match="expected adapter:FOLDER"):
        resolve("adapter")
