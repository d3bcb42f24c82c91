"""MuQ-MuLan with the package `muq` and a small model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2ConformerConfig
from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import (
    Wav2Vec2ConformerEncoder,
)

from indexes.errors import InvalidVectorError
from retrieval.embedding.options import EmbedOptions, open_spaces
from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.muq_mulan import record_hidden_states
from retrieval.errors import WeightsFormatError


@pytest.fixture
def folder(small_muq_mulan: Path, tmp_path: Path) -> Path:
    """Copy the model for changes."""
    return Path(shutil.copytree(small_muq_mulan, tmp_path / "model"))


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


def test_the_digest_covers_the_tokenizer(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    tower = Path(shutil.copytree(config["text_model"]["name"], tmp_path / "xlm-roberta-base"))
    config["text_model"]["name"] = str(tower)
    (folder / "config.json").write_text(json.dumps(config))
    before = load_encoder(f"muq:{folder}", device="cpu").digest
    assert load_encoder(f"muq:{folder}", device="cpu").digest == before
    content = json.loads((tower / "tokenizer.json").read_text())
    first, second = content["model"]["vocab"][5:7]
    first[0], second[0] = second[0], first[0]
    (tower / "tokenizer.json").write_text(json.dumps(content))
    assert load_encoder(f"muq:{folder}", device="cpu").digest != before


def test_nan_and_pickles_fail(folder: Path) -> None:
    encoder = load_encoder(f"muq:{folder}", device="cpu")
    with pytest.raises(InvalidVectorError, match="NaN or infinite samples"):
        encoder.encode_audio(np.full((1, 240_000), np.nan, np.float32), np.array([10.0]))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(WeightsFormatError, match=r"pytorch_model\.bin, a pickle"):
        load_encoder(f"muq:{folder}")


def test_its_licence_is_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    open_spaces(None, EmbedOptions(models=(f"muq:{folder}",), device="cpu"))
    assert f"muq:{folder}: its weights are CC-BY-NC-4.0: not for commercial use" in caplog.text


def test_hidden_states_of_all_layers() -> None:
    """As in transformers 4: the inputs of the layers, then the normalized last output."""
    config = Wav2Vec2ConformerConfig(
        num_hidden_layers=3,
        hidden_size=16,
        num_attention_heads=2,
        intermediate_size=16,
        conv_depthwise_kernel_size=3,
    )
    torch.manual_seed(0)
    encoder = Wav2Vec2ConformerEncoder(config).eval()
    record_hidden_states(encoder)
    given = torch.randn(1, 9, 16)
    for _ in range(2):
        output = encoder(given, output_hidden_states=True)
        assert len(output["hidden_states"]) == 4
        assert torch.equal(output["hidden_states"][0], given)
        assert torch.equal(output["hidden_states"][3], output["last_hidden_state"])
        positions = encoder.embed_positions(given)
        second = encoder.layers[0](given, relative_position_embeddings=positions)
        assert torch.equal(output["hidden_states"][1], second)
