"""Synthesises the tones of instruments, additively and with noise.

A tone is a sum of partials with individual strength and decay, under a common attack. Tones are
cached, because tunes share them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from retrieval.demo.tunes import Instrument


@dataclass(frozen=True, slots=True)
class Timbre:
    """Synthesis parameters of an instrument.

    Attributes:
        partials: Strength of each partial.
        ratios: Frequency of each partial relative to the fundamental; if empty, harmonics.
        attack_seconds: Time to full loudness.
        decay_per_second: Decay rate of the fundamental; 0 sustains.
        damping: Increase of the decay rate per partial.
        vibrato_hz: Rate of the pitch modulation; `vibrato_depth` is relative to the pitch.
        tremolo_hz: Rate of the loudness modulation; `tremolo_depth` is its amplitude.
        voices: Detuned copies, spread by `detune` relative to the pitch.
        noise: Loudness of added noise.
        formants_hz: Centres of the resonances.
        sweep_per_second: Rate at which a low-pass filter closes.
    """

    partials: tuple[float, ...]
    ratios: tuple[float, ...] = ()
    attack_seconds: float = 0.005
    decay_per_second: float = 0.0
    damping: float = 0.0
    vibrato_hz: float = 5.0
    vibrato_depth: float = 0.0
    tremolo_hz: float = 6.0
    tremolo_depth: float = 0.0
    voices: int = 1
    detune: float = 0.0
    noise: float = 0.0
    formants_hz: tuple[float, ...] = ()
    sweep_per_second: float = 0.0


def _falling(count: int, power: float) -> tuple[float, ...]:
    return tuple(1 / n**power for n in range(1, count + 1))


def _odd(count: int) -> tuple[float, ...]:
    return tuple(1 / n if n % 2 else 0.0 for n in range(1, count + 1))


TIMBRES = {
    Instrument.PIANO: Timbre(_falling(10, 1.3), decay_per_second=1.6, damping=0.35),
    Instrument.ORGAN: Timbre(
        (1.0, 0.9, 0.1, 0.8, 0.0, 0.5, 0.0, 0.6), attack_seconds=0.012, ratios=()
    ),
    Instrument.FLUTE: Timbre(
        (1.0, 0.25, 0.06), attack_seconds=0.06, vibrato_depth=0.004, noise=0.06
    ),
    Instrument.STRINGS: Timbre(
        _falling(14, 0.9), attack_seconds=0.14, vibrato_depth=0.004, voices=3, detune=0.006
    ),
    Instrument.GUITAR: Timbre(
        tuple(abs(np.sin(0.22 * np.pi * n)) / n**1.1 for n in range(1, 11)),
        attack_seconds=0.002,
        decay_per_second=2.6,
        damping=0.9,
    ),
    Instrument.HARPSICHORD: Timbre(
        _falling(18, 0.25), attack_seconds=0.001, decay_per_second=3.0, damping=0.06
    ),
    Instrument.MARIMBA: Timbre(
        (1.0, 0.45, 0.2), (1.0, 3.93, 9.2), attack_seconds=0.002, decay_per_second=9.0, damping=1.0
    ),
    Instrument.BELLS: Timbre(
        (0.5, 1.0, 0.7, 0.5, 0.6, 0.4, 0.3),
        (0.5, 1.0, 1.19, 1.56, 2.0, 2.74, 4.07),
        attack_seconds=0.001,
        decay_per_second=1.3,
        damping=0.25,
    ),
    Instrument.TRUMPET: Timbre(
        (0.5, 0.8, 1.0, 0.95, 0.8, 0.6, 0.45, 0.3, 0.2), attack_seconds=0.045, vibrato_depth=0.003
    ),
    Instrument.CHIP: Timbre(_odd(21), attack_seconds=0.001),
    Instrument.CHOIR: Timbre(
        _falling(24, 0.3),
        attack_seconds=0.1,
        vibrato_hz=5.5,
        vibrato_depth=0.008,
        voices=3,
        detune=0.008,
        noise=0.02,
        formants_hz=(650.0, 1080.0, 2650.0),
    ),
    Instrument.ACCORDION: Timbre(
        _falling(14, 0.55), attack_seconds=0.03, tremolo_hz=7.0, tremolo_depth=0.45
    ),
    Instrument.THEREMIN: Timbre(
        (1.0, 0.04), attack_seconds=0.05, vibrato_hz=6.5, vibrato_depth=0.035
    ),
    Instrument.SYNTHESIZER: Timbre(
        _falling(24, 0.6), attack_seconds=0.004, voices=2, detune=0.01, sweep_per_second=7.0
    ),
}
BASS = Timbre((1.0, 0.6, 0.35, 0.15), attack_seconds=0.004, decay_per_second=2.5, damping=0.3)
STRUCK = Timbre(_falling(5, 1.6), attack_seconds=0.015, decay_per_second=1.5, damping=0.3)
DRONE = Timbre(_falling(8, 0.7), attack_seconds=0.02, voices=2, detune=0.006)


@lru_cache(maxsize=768)
def tone(timbre: Timbre, pitch: int, seconds: float, sample_rate_hz: int) -> NDArray[np.float32]:
    """Render one note.

    Args:
        timbre: The instrument.
        pitch: MIDI number; 69 is 440 Hz.
        seconds: Length.
        sample_rate_hz: Samples per second; partials near half of it and above are omitted.

    Returns:
        (seconds * sample_rate_hz,) read-only float32 with a root mean square of 0.1 over the first
        0.3 seconds.
    """
    rng = np.random.default_rng(pitch)
    hz = 440.0 * 2 ** ((pitch - 69) / 12)
    times = (np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz).astype(np.float32)
    spread = np.linspace(-0.5, 0.5, timbre.voices) if timbre.voices > 1 else np.zeros(1)
    wave = np.zeros_like(times)
    for offset in spread:
        wave += _voice(timbre, hz * (1 + timbre.detune * offset), times, rng, sample_rate_hz)
    if timbre.noise:
        wave += timbre.noise * rng.standard_normal(len(times)).astype(np.float32)
    if timbre.tremolo_depth:
        wobble = np.cos(2 * np.pi * timbre.tremolo_hz * times)
        wave *= 1 - timbre.tremolo_depth * (0.5 - 0.5 * wobble)
    wave *= np.minimum(1.0, times / timbre.attack_seconds)
    loudness = np.sqrt(np.mean(np.square(wave[: round(0.3 * sample_rate_hz)])))
    wave *= 0.1 / max(float(loudness), 1e-9)
    wave.setflags(write=False)
    return wave


def _voice(
    timbre: Timbre,
    hz: float,
    times: NDArray[np.float32],
    rng: np.random.Generator,
    sample_rate_hz: int,
) -> NDArray[np.float32]:
    """Sum the partials of one voice, with random phases."""
    # float32 is too imprecise for phases of thousands of cycles.
    cycles = hz * times.astype(np.float64)
    if timbre.vibrato_depth:
        swing = timbre.vibrato_depth * hz / (2 * np.pi * timbre.vibrato_hz)
        start = rng.uniform(0, 2 * np.pi)
        cycles += swing * np.sin(2 * np.pi * timbre.vibrato_hz * times + start)
    ratios = timbre.ratios or tuple(range(1, len(timbre.partials) + 1))
    wave = np.zeros_like(times)
    for number, (strength, ratio) in enumerate(zip(timbre.partials, ratios, strict=True)):
        if not strength or hz * ratio >= 0.48 * sample_rate_hz:
            continue
        phase = (cycles * ratio + rng.random()) % 1.0
        partial = np.sin((2 * np.pi * phase).astype(np.float32))
        strength *= _resonance(timbre.formants_hz, hz * ratio)
        decay = timbre.decay_per_second * (1 + timbre.damping * number)
        decay += timbre.sweep_per_second * number / 6
        if decay:
            partial *= np.exp(-np.float32(decay) * times)
        wave += np.float32(strength) * partial
    return wave


def _resonance(formants_hz: tuple[float, ...], hz: float) -> float:
    """Return the gain of the formants at a frequency; 1 without formants."""
    if not formants_hz:
        return 1.0
    return 0.04 + sum(math.exp(-(((hz - centre) / 160.0) ** 2)) for centre in formants_hz)
