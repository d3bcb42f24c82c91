"""Renders the demo world's tunes as sound."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from retrieval.demo.instruments import BASS, DRONE, STRUCK, TIMBRES, Timbre, tone
from retrieval.demo.melody import Note, compose_accompaniment, compose_melody
from retrieval.demo.tunes import (
    Accompaniment,
    Drums,
    Dynamics,
    Room,
    Tune,
    is_held_out,
    sample_tune,
)

__all__ = ["Tune", "is_held_out", "sample_tune", "synthesize"]

PEAK = 0.8
RELEASE_SECONDS = 0.03
SWELL_SECONDS = 4.0
ACCOMPANIMENT_TIMBRES = {
    Accompaniment.DRONE: DRONE,
    Accompaniment.BASS: BASS,
    Accompaniment.CHORDS: STRUCK,
}
TONE_SECONDS = (0.5, 1.0, 2.0, 4.5)  # lengths of cached tones; a note uses the next longer one

# (start in beats, drum, loudness) of a bar of four beats; a waltz omits the fourth.
DRUM_BARS: dict[Drums, tuple[tuple[float, str, float], ...]] = {
    Drums.NONE: (),
    Drums.BEAT: (
        *((at / 2, "hat", 0.25) for at in range(8)),
        (0, "kick", 1.0),
        (1, "snare", 0.7),
        (2, "kick", 1.0),
        (3, "snare", 0.7),
    ),
    Drums.SHAKER: tuple((at / 4, "shake", 0.5 if at % 2 else 0.28) for at in range(16)),
    Drums.HAND: (
        (0, "low", 0.9),
        (0.75, "high", 0.6),
        (1, "high", 0.8),
        (1.5, "low", 0.7),
        (2, "low", 0.9),
        (2.5, "high", 0.8),
        (3, "high", 0.6),
        (3.5, "high", 0.8),
    ),
    Drums.MARCH: tuple(
        (beat + at, "snare", loudness)
        for beat in range(4)
        for at, loudness in ((0, 0.8), (0.5, 0.35), (0.75, 0.45))
    ),
}


def synthesize(tune: Tune, seconds: float, sample_rate_hz: int = 16_000) -> NDArray[np.float32]:
    """Render a tune; equal tunes sound equal.

    Args:
        tune: The tune.
        seconds: Length, more than 0.
        sample_rate_hz: Samples per second.

    Returns:
        (seconds * sample_rate_hz,) float32 mono in [-1, 1]. A longer rendering starts with the
        notes of a shorter one.

    Raises:
        ValueError: `seconds` is not positive.
    """
    if not seconds > 0:
        raise ValueError(f"a tune needs more than 0 seconds, got {seconds}")
    sound = np.zeros(round(seconds * sample_rate_hz), dtype=np.float32)
    beat_seconds = 60.0 / tune.bpm
    bars = int(np.ceil(seconds / (beat_seconds * tune.beats_per_bar)))
    _play(sound, compose_melody(tune, bars), TIMBRES[tune.instrument], beat_seconds, sample_rate_hz)
    _swell(sound, tune, sample_rate_hz)
    if tune.accompaniment is not Accompaniment.NONE:
        timbre = ACCOMPANIMENT_TIMBRES[tune.accompaniment]
        notes = compose_accompaniment(tune, bars)
        _play(sound, notes, timbre, beat_seconds, sample_rate_hz)
    _drum(sound, tune, bars, sample_rate_hz)
    sound = _reverberate(sound, tune.room, sample_rate_hz)
    loudest = float(np.abs(sound).max())
    return sound * np.float32(PEAK / loudest) if loudest > 0 else sound


def _play(
    sound: NDArray[np.float32],
    notes: list[Note],
    timbre: Timbre,
    beat_seconds: float,
    sample_rate_hz: int,
) -> None:
    """Add notes to the sound, cut at its end."""
    release = round(RELEASE_SECONDS * sample_rate_hz)
    fade = np.linspace(1, 0, release, dtype=np.float32)
    for note in notes:
        first = round(note.start_beats * beat_seconds * sample_rate_hz)
        seconds = note.length_beats * beat_seconds + RELEASE_SECONDS
        length = next((cached for cached in TONE_SECONDS if cached >= seconds), TONE_SECONDS[-1])
        cached_tone = tone(timbre, note.pitch, length, sample_rate_hz)
        samples = cached_tone[: round(seconds * sample_rate_hz)] * np.float32(note.loudness)
        samples[-release:] *= fade
        _add(sound, samples, first)


def _add(sound: NDArray[np.float32], samples: NDArray[np.float32], first: int) -> None:
    """Add samples from index `first` on, cut at the end of the sound."""
    sound[first : first + len(samples)] += samples[: max(0, len(sound) - first)]


def _drum(sound: NDArray[np.float32], tune: Tune, bars: int, sample_rate_hz: int) -> None:
    beat_samples = 60.0 / tune.bpm * sample_rate_hz
    for bar in range(bars):
        for start, name, loudness in DRUM_BARS[tune.drums]:
            if start >= tune.beats_per_bar:
                continue
            first = round((bar * tune.beats_per_bar + start) * beat_samples)
            _add(sound, np.float32(loudness) * _drum_hit(name, sample_rate_hz), first)


@lru_cache(maxsize=16)
def _drum_hit(name: str, sample_rate_hz: int) -> NDArray[np.float32]:
    """Render one stroke: a falling sine for skins, filtered noise for rattles and snares."""
    rng = np.random.default_rng(7)
    times = np.arange(round(0.3 * sample_rate_hz)) / sample_rate_hz
    noise = rng.standard_normal(len(times))
    bright = np.diff(noise, prepend=0.0)  # a first difference lifts the treble
    match name:
        case "kick":
            hit = np.sin(2 * np.pi * (50 * times - 8 * np.exp(-times * 30))) * np.exp(-12 * times)
        case "snare":
            body = 0.5 * np.sin(2 * np.pi * 190 * times) * np.exp(-25 * times)
            hit = body + 0.45 * noise * np.exp(-18 * times)
        case "hat":
            hit = 0.4 * bright * np.exp(-60 * times)
        case "shake":
            hit = 0.5 * bright * np.minimum(1, times / 0.02) * np.exp(-35 * times)
        case _:
            hz = 110.0 if name == "low" else 260.0
            hit = np.sin(2 * np.pi * hz * times * (1 + 0.15 * np.exp(-times * 40)))
            hit *= np.exp(-14 * times)
    stroke: NDArray[np.float32] = (0.35 * hit).astype(np.float32)
    return stroke


def _swell(sound: NDArray[np.float32], tune: Tune, sample_rate_hz: int) -> None:
    """Modulate the loudness of a swelling melody."""
    if tune.dynamics is Dynamics.SWELLING:
        times = np.arange(len(sound), dtype=np.float32) / sample_rate_hz
        sound *= 0.55 - 0.45 * np.cos(2 * np.pi / SWELL_SECONDS * times)


def _reverberate(
    sound: NDArray[np.float32], room: Room, sample_rate_hz: int
) -> NDArray[np.float32]:
    """Add three distinct echoes, or the dense ones of a hall."""
    if room is Room.DRY:
        return sound
    if room is Room.ECHO:
        delays, gains = np.arange(1, 4) * 0.31, 0.55 ** np.arange(1, 4)
    else:
        rng = np.random.default_rng(11)
        delays = np.sort(rng.uniform(0.01, 1.4, 40))
        gains = 0.3 * np.exp(-2.2 * delays) * rng.choice([-1, 1], 40)
    wet = sound.copy()
    for delay, gain in zip(delays, gains, strict=True):
        shift = round(float(delay) * sample_rate_hz)
        if shift < len(sound):
            wet[shift:] += np.float32(gain) * sound[: len(sound) - shift]
    return wet
