"""Vectors compared with transformers' CLAP on the same weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import ClapModel, ClapProcessor

from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.clap import ClapEncoder
from support.fidelity import TEXTS, assert_faithful, decoded_windows, plain_sound, write_sounds
from support.hub.layouts import RealLayouts

RATE = 48_000
CONVERTED = {"laion/larger_clap_general": "refs/pr/2"}
FUSED = "fused"
"""A CLAP with fusion, which reads four spectrograms of a window; not in the catalogue."""


@pytest.fixture(scope="module", params=[*CONVERTED, FUSED])
def folder(
    request: pytest.FixtureRequest,
    real_layouts: RealLayouts,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    if request.param == FUSED:
        fused: Path = request.getfixturevalue("small_clap")
        return fused
    to = tmp_path_factory.mktemp("copy") / "model"
    return real_layouts.copy(request.param, to, CONVERTED[request.param])


@pytest.fixture(scope="module")
def encoder(folder: Path) -> ClapEncoder:
    encoder = load_encoder(f"clap:{folder}", device="cpu")
    assert isinstance(encoder, ClapEncoder)
    return encoder


@pytest.fixture(scope="module")
def plain(folder: Path) -> tuple[Any, Any]:
    return ClapModel.from_pretrained(folder).eval(), ClapProcessor.from_pretrained(folder)


def test_texts(encoder: ClapEncoder, plain: tuple[Any, Any]) -> None:
    model, processor = plain
    # Without truncation the plain model fails on more tokens than it has positions.
    inputs = processor(text=list(TEXTS), return_tensors="pt", padding=True, truncation=True)
    with torch.inference_mode():
        want = model.get_text_features(**inputs).pooler_output.numpy()
    assert_faithful(encoder.encode_text(TEXTS), want)


def test_audio_windows(encoder: ClapEncoder, plain: tuple[Any, Any], tmp_path: Path) -> None:
    """The extractor crops more than 10 s at random; the engine reads all windows in order."""
    model, processor = plain
    assert encoder.windows is not None
    got, want = [], []
    fused = encoder._model.config.audio_config.enable_fusion
    paths = list(write_sounds(tmp_path).values())[: 2 if fused else None]
    for path in paths:
        whole = plain_sound(path, RATE)
        samples, starts, seconds = decoded_windows(path, encoder.windows)
        assert starts.tolist() == [10.0 * number for number in range(len(starts))]
        assert seconds.sum() == pytest.approx(len(whole) / RATE, abs=1e-3)
        got.append(encoder.encode_audio(samples, seconds))
        cut = [whole[10 * RATE * n : 10 * RATE * (n + 1)] for n in range(len(starts))]
        inputs = processor(audio=cut, sampling_rate=RATE, return_tensors="pt")
        # One window at random is marked as longer by an extractor that fuses; none is.
        inputs["is_longer"] = torch.zeros_like(inputs["is_longer"], dtype=torch.bool)
        with torch.inference_mode():
            want.append(model.get_audio_features(**inputs).pooler_output.numpy())
    assert [len(rows) for rows in got] == [1, 1, 1, 1, 2, 7][: len(paths)]
    assert_faithful(np.concatenate(got), np.concatenate(want))
