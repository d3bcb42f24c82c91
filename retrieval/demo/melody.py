"""Composes the notes of a tune by a random grammar of phrases, bars and steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retrieval.demo.tunes import Accompaniment, Mode, Register, Rhythm, Tune

SCALES = {
    Mode.MAJOR: (0, 2, 4, 5, 7, 9, 11),
    Mode.MINOR: (0, 2, 3, 5, 7, 8, 10),
    Mode.PENTATONIC: (0, 2, 4, 7, 9),
    Mode.BLUES: (0, 3, 5, 6, 7, 10),
    Mode.WHOLE_TONE: (0, 2, 4, 6, 8, 10),
}
CHORDS = {  # semitones above C
    Mode.MAJOR: ((0, 4, 7), (5, 9, 12), (7, 11, 14), (9, 12, 16)),
    Mode.MINOR: ((0, 3, 7), (5, 8, 12), (7, 10, 14), (8, 12, 15)),
    Mode.PENTATONIC: ((0, 4, 7), (2, 7, 9), (4, 9, 12), (7, 9, 14)),
    Mode.BLUES: ((0, 3, 7), (5, 10, 15), (7, 10, 12), (3, 6, 10)),
    Mode.WHOLE_TONE: ((0, 4, 8), (2, 6, 10), (4, 8, 12), (6, 10, 14)),
}
RANGES = {Register.LOW: (43, 55), Register.MIDDLE: (62, 74), Register.HIGH: (81, 93)}
"""Lowest and highest MIDI pitch of the melody; the ranges leave a gap of seven semitones."""

# The bars of a rhythm, as (start, length) in beats.
BARS: dict[Rhythm, tuple[tuple[tuple[float, float], ...], ...]] = {
    Rhythm.STEADY: (
        ((0, 1), (1, 1), (2, 1), (3, 1)),
        ((0, 1), (1, 1), (2, 0.5), (2.5, 0.5), (3, 1)),
        ((0, 0.5), (0.5, 0.5), (1, 1), (2, 1), (3, 1)),
    ),
    Rhythm.SYNCOPATED: (
        ((0, 0.75), (0.75, 0.75), (1.5, 1), (2.5, 1), (3.5, 0.5)),
        ((0.5, 1), (1.5, 1), (2.5, 0.75), (3.25, 0.75)),
        ((0, 0.75), (0.75, 1.5), (2.25, 0.5), (2.75, 0.75), (3.5, 0.5)),
    ),
    Rhythm.SWUNG: (
        tuple((beat + at, n) for beat in range(4) for at, n in ((0, 2 / 3), (2 / 3, 1 / 3))),
        ((0, 1), (1, 2 / 3), (5 / 3, 1 / 3), (2, 1), (3, 2 / 3), (11 / 3, 1 / 3)),
        ((0, 2 / 3), (2 / 3, 1 / 3), (1, 1), (2, 2 / 3), (8 / 3, 1 / 3), (3, 1)),
    ),
    Rhythm.WALTZ: (
        ((0, 2), (2, 1)),
        ((0, 1.5), (1.5, 0.5), (2, 1)),
        ((0, 1), (1, 1), (2, 1)),
        ((0, 2), (2, 0.5), (2.5, 0.5)),
    ),
    Rhythm.ARPEGGIO: (tuple((at / 4, 0.25) for at in range(16)),),
    Rhythm.HELD: (((0, 4),), ((0, 2), (2, 2)), ((0, 3), (3, 1))),
    Rhythm.STACCATO: (
        tuple((at / 2, 0.16) for at in range(8)),
        ((0, 0.16), (0.5, 0.16), (1, 0.16), (2, 0.16), (2.5, 0.16), (3, 0.16)),
        ((0, 0.16), (1, 0.16), (1.5, 0.16), (2, 0.16), (3, 0.16), (3.5, 0.16)),
    ),
}


@dataclass(frozen=True, slots=True)
class Note:
    """One note: MIDI pitch, start and length in beats, loudness 0 … 1."""

    pitch: int
    start_beats: float
    length_beats: float
    loudness: float


def compose_melody(tune: Tune, bars: int) -> list[Note]:
    """Compose the melody of phrases A A' B A, with more steps than leaps."""
    rng = np.random.default_rng([tune.seed, 1])
    pitches = _pitches_between(tune.mode, *RANGES[tune.register])
    phrases = {name: _phrase(tune, rng, pitches) for name in "AB"}
    notes: list[Note] = []
    for bar in range(0, bars, 2):
        phrase = phrases["AABA"[(bar // 2) % 4]]
        varied = _vary(phrase, rng, pitches) if bar else phrase
        notes += [_shift(note, bar * tune.beats_per_bar) for note in varied]
    return notes


def compose_accompaniment(tune: Tune, bars: int) -> list[Note]:
    """Compose the accompaniment: one chord per bar, as bass notes, struck chords or a drone."""
    rng = np.random.default_rng([tune.seed, 2])
    order = [0, *rng.integers(0, 4, 3).tolist()]
    notes: list[Note] = []
    for bar in range(bars):
        chord = CHORDS[tune.mode][order[bar % 4]]
        notes += [_shift(note, bar * tune.beats_per_bar) for note in _accompany_bar(tune, chord)]
    return notes


def _accompany_bar(tune: Tune, chord: tuple[int, ...]) -> list[Note]:
    beats = tune.beats_per_bar
    match tune.accompaniment:
        case Accompaniment.NONE:
            return []
        case Accompaniment.DRONE:
            return [Note(pitch, 0, beats, 0.7) for pitch in (36, 43, 48)]
        case Accompaniment.BASS:
            line = (chord[0], chord[0], chord[2], chord[1])
            return [Note(33 + (line[beat] + 3) % 12, beat, 0.9, 0.9) for beat in range(beats)]
        case Accompaniment.CHORDS:
            strikes = (1, 2) if tune.rhythm is Rhythm.WALTZ else (0, 2)
            upper = [Note(55 + (tone - 7) % 12, at, 1.0, 0.55) for at in strikes for tone in chord]
            return [Note(36 + chord[0] % 12, 0, 1.0, 0.6), *upper]


def _phrase(tune: Tune, rng: np.random.Generator, pitches: NDArray[np.int64]) -> list[Note]:
    """Compose two bars as a random walk over the scale's pitches."""
    bars = BARS[tune.rhythm]
    step = int(rng.integers(len(pitches)))
    direction = int(rng.choice([-1, 1]))
    notes: list[Note] = []
    for bar in range(2):
        for position, (start, length) in enumerate(bars[int(rng.integers(len(bars)))]):
            if tune.rhythm is Rhythm.ARPEGGIO:
                step, direction = _climb(step, direction, len(pitches))
            else:
                step = _walk(rng, step, len(pitches))
            loudness = (1.0 if position == 0 else 0.8) * rng.uniform(0.85, 1.0)
            start += bar * tune.beats_per_bar
            notes.append(Note(int(pitches[step]), start, length, float(loudness)))
    return notes


def _walk(rng: np.random.Generator, step: int, count: int) -> int:
    """Move mostly by one step, sometimes by a leap, and reflect at the ends of the range."""
    move = int(rng.choice([-3, -2, -1, 0, 1, 2, 3], p=[0.07, 0.13, 0.25, 0.1, 0.25, 0.13, 0.07]))
    return min(max(step + move, 0), count - 1) if 0 <= step + move < count else step - move


def _climb(step: int, direction: int, count: int) -> tuple[int, int]:
    """Move up and down in thirds."""
    if not 0 <= step + 2 * direction < count:
        direction = -direction
    return min(max(step + 2 * direction, 0), count - 1), direction


def _vary(phrase: list[Note], rng: np.random.Generator, pitches: NDArray[np.int64]) -> list[Note]:
    """Change a fifth of a phrase's pitches to a neighbour in the scale."""
    varied = []
    for note in phrase:
        pitch = note.pitch
        if rng.random() < 0.2:
            step = int(np.searchsorted(pitches, pitch)) + int(rng.choice([-1, 1]))
            pitch = int(pitches[min(max(step, 0), len(pitches) - 1)])
        varied.append(replace(note, pitch=pitch))
    return varied


def _shift(note: Note, beats: float) -> Note:
    return replace(note, start_beats=note.start_beats + beats)


def _pitches_between(mode: Mode, lowest: int, highest: int) -> NDArray[np.int64]:
    pitches = np.arange(lowest, highest + 1)
    return pitches[np.isin(pitches % 12, SCALES[mode])]
