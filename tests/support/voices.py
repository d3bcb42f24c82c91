"""Synthetic voices, which the detector of speech takes for speech."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16_000

VOWELS = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
)
"""Formants in Hz."""


def voice(seconds: float, *, seed: int = 0, pitch_hz: float = 130.0) -> NDArray[np.float32]:
    """Make (n,) float32 of vowels with moving pitch and short noises between them."""
    rng = np.random.default_rng(seed)
    parts: list[NDArray[np.float64]] = []
    length = round(seconds * RATE_HZ)
    while sum(map(len, parts)) < length:
        vowel = VOWELS[rng.integers(len(VOWELS))]
        parts.append(_vowel(vowel, pitch_hz * rng.uniform(0.8, 1.3), rng.uniform(0.1, 0.25)))
        if rng.random() < 0.5:
            noise = 0.1 * rng.normal(size=round(0.06 * RATE_HZ))
            parts.append(noise * np.hanning(len(noise)))
    return (0.4 * np.concatenate(parts)[:length]).astype(np.float32)


def _vowel(formants: tuple[int, ...], pitch_hz: float, seconds: float) -> NDArray[np.float64]:
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.1 * np.sin(2 * np.pi * 3 * times))) / RATE_HZ
    sound = np.zeros(len(times))
    for harmonic in range(1, int(5_000 / pitch_hz)):
        hertz = harmonic * pitch_hz
        gain = sum(1 / (1 + ((hertz - formant) / 90) ** 2) for formant in formants)
        sound += (gain + 0.01) / harmonic**0.5 * np.sin(harmonic * phase)
    return sound / np.abs(sound).max() * np.hanning(len(times)) ** 0.5


def silence(seconds: float) -> NDArray[np.float32]:
    """Make (n,) float32 of faint noise."""
    noise = np.random.default_rng(0).normal(0, 1e-4, round(seconds * RATE_HZ))
    return noise.astype(np.float32)
