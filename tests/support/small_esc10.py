"""A miniature of ESC-10: ten classes of tones, and sizes of a MuLan that learns them in seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.suites.esc10 import RESNET

RATE = 16_000
SMALL = replace(RESNET, window_seconds=1.0, audio=replace(RESNET.audio, width=8, blocks=(1, 1)))
"""Sizes that learn within seconds."""


def tone(hertz: float, seconds: float, seed: int) -> NDArray[np.float32]:
    """A pitch in a little noise."""
    times = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).normal(0, 0.02, len(times))
    return (0.5 * np.sin(2 * np.pi * hertz * times) + noise).astype(np.float32)


def write_tones(base: Path) -> Path:
    """Ten classes, told apart by pitch; two clips of each in every fold."""
    (base / "README.md").write_text("not a class")
    for label in range(10):
        place = base / f"{label + 1:03} - Tone {chr(97 + label)}"
        place.mkdir()
        for fold in range(1, 6):
            for take in "AB":
                seed = 100 * label + 10 * fold + ord(take)
                sound = tone(150 * 1.45**label * (1 + 0.01 * fold), 1.0, seed)
                soundfile.write(place / f"{fold}-{seed}-{take}.wav", sound, RATE)
    return base
