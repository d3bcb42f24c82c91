"""The adapter against a stand-in with the package's interface: weights are not ours to ship."""

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from retrieval.embed_options import EmbedOptions, open_spaces
from retrieval.encoders.catalogue import load_encoder
from retrieval.errors import InvalidVectorError, WeightsFormatError


class StandIn(torch.nn.Module):
    """`model(wavs=(n, samples))` and `model(texts=[...])`, each (n, 512), as muq's."""

    @classmethod
    def from_pretrained(cls, folder: str) -> "StandIn":
        assert Path(folder, "model.safetensors").is_file()
        return cls()

    def forward(self, wavs: torch.Tensor | None = None, texts: list[str] | None = None):
        if wavs is not None:
            return wavs[:, :512] + wavs[:, -512:]
        seeds = [torch.Generator().manual_seed(len(text)) for text in texts or []]
        return torch.stack([torch.randn(512, generator=seed) for seed in seeds])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    module = ModuleType("muq")
    module.__spec__ = ModuleSpec("muq", None)
    module.MuQMuLan = StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "muq", module)
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def test_texts_and_windows_become_unit_vectors(folder: Path) -> None:
    encoder = load_encoder(f"muq:{folder}", device="cpu")
    assert encoder.windows is not None
    assert (encoder.slug, encoder.dim, encoder.windows.sample_rate_hz) == ("muq-mulan", 512, 24_000)
    assert len(encoder.digest) == 64
    sound = np.random.default_rng(0).standard_normal((2, 240_000), np.float32)
    for rows in (encoder.encode_audio(sound, np.full(2, 10.0)), encoder.encode_text(["a", "bc"])):
        assert rows.shape == (2, 512)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_a_short_window_is_repeated(folder: Path) -> None:
    encoder = load_encoder(f"muq:{folder}", device="cpu")
    sound = np.random.default_rng(0).standard_normal((1, 240_000), np.float32)
    sound[:, 48_000:] = 0
    short = encoder.encode_audio(sound, np.array([2.0]))
    repeated = encoder.encode_audio(np.tile(sound[:, :48_000], 5), np.array([10.0]))
    np.testing.assert_array_equal(short, repeated)


def test_nan_and_pickles_fail(folder: Path) -> None:
    encoder = load_encoder(f"muq:{folder}", device="cpu")
    with pytest.raises(InvalidVectorError, match="NaN or infinite samples"):
        encoder.encode_audio(np.full((1, 240_000), np.nan, np.float32), np.array([10.0]))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(WeightsFormatError, match=r"pytorch_model\.bin, a pickle"):
        load_encoder(f"muq:{folder}")


def test_its_licence_is_told_when_it_is_chosen(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_spaces(None, EmbedOptions(models=(f"muq:{folder}",), device="cpu"))
    assert f"muq:{folder}: its weights are CC-BY-NC-4.0: not for commercial use" in caplog.text
