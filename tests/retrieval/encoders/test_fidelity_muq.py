"""Vectors compared with the package `muq` on the same weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.muq_mulan import MuqMulanEncoder
from support.fidelity import TEXTS, assert_faithful, decoded_windows, plain_sound, write_sounds

RATE = 24_000


@pytest.fixture(scope="module")
def plain(small_muq_mulan: Path) -> Any:
    from muq import MuQMuLan

    model = MuQMuLan.from_pretrained(str(small_muq_mulan)).eval()
    # As it runs with transformers 4; the model reads the last state alone.
    conformer = model.mulan.audio.model.model.conformer
    conformer.config._attn_implementation = "eager"
    forward = conformer.forward

    def as_in_transformers_4(x: Any, output_hidden_states: bool) -> dict[str, Any]:
        last = forward(x).last_hidden_state
        return {"last_hidden_state": last, "hidden_states": (last,)}

    conformer.forward = as_in_transformers_4
    return model


@pytest.fixture(scope="module")
def encoder(small_muq_mulan: Path) -> MuqMulanEncoder:
    encoder = load_encoder(f"muq:{small_muq_mulan}", device="cpu")
    assert isinstance(encoder, MuqMulanEncoder)
    return encoder


def test_texts(encoder: MuqMulanEncoder, plain: Any) -> None:
    """The package averages over padding, so that a longer text changes others of its batch."""
    short = [text for text in TEXTS if len(text) < 500]
    with torch.inference_mode():
        want = np.concatenate([plain(texts=[text]).numpy() for text in short])
        together = plain(texts=short).numpy()
    assert_faithful(encoder.encode_text(short), want)
    assert np.sum(together * want, axis=1).min() < 0.9999


def test_a_text_is_cut_at_the_context_length(encoder: MuqMulanEncoder, plain: Any) -> None:
    """The package itself fails on long texts."""
    long = "b" * 5_000
    with pytest.raises((IndexError, RuntimeError)), torch.inference_mode():
        plain(texts=[long])
    tokens = plain.mulan.text.tokenizer.model_max_length
    cut = "b" * (tokens - 3)  # the marks at both ends and the one of a word's beginning
    assert_faithful(encoder.encode_text([long]), encoder.encode_text([cut]))
    assert encoder.encode_text(TEXTS).shape == (len(TEXTS), 512)


def test_audio_windows(encoder: MuqMulanEncoder, plain: Any, tmp_path: Path) -> None:
    """The package fills the last 10 s of a long recording from its beginning, and averages; the
    engine repeats the rest itself, and keeps every window."""
    assert encoder.windows is not None
    got, want = [], []
    for path in write_sounds(tmp_path).values():
        whole = plain_sound(path, RATE)
        samples, _, seconds = decoded_windows(path, encoder.windows)
        got.append(encoder.encode_audio(samples, seconds))
        for n in range(len(seconds)):
            cut = whole[10 * RATE * n : 10 * RATE * (n + 1)]
            with torch.inference_mode():
                want.append(plain(wavs=torch.from_numpy(np.resize(cut, 10 * RATE))[None]).numpy())
    assert_faithful(np.concatenate(got), np.concatenate(want))
