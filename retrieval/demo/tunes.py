"""Samples the facts of the demo world's tunes."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from retrieval.demo.choices import pick


class Instrument(StrEnum):
    """Instrument of the melody."""

    PIANO = "piano"
    ORGAN = "organ"
    FLUTE = "flute"
    STRINGS = "strings"
    GUITAR = "guitar"
    HARPSICHORD = "harpsichord"
    MARIMBA = "marimba"
    BELLS = "bells"
    TRUMPET = "trumpet"
    CHIP = "chip"
    CHOIR = "choir"
    ACCORDION = "accordion"
    THEREMIN = "theremin"
    SYNTHESIZER = "synthesizer"


class Tempo(StrEnum):
    """Tempo; the ranges of beats per minute are disjoint."""

    SLOW = "slow"
    MEDIUM = "medium"
    FAST = "fast"


class Mode(StrEnum):
    """Scale, always on C."""

    MAJOR = "major"
    MINOR = "minor"
    PENTATONIC = "pentatonic"
    BLUES = "blues"
    WHOLE_TONE = "whole-tone"


class Register(StrEnum):
    """Register of the melody."""

    LOW = "low"
    MIDDLE = "middle"
    HIGH = "high"


class Rhythm(StrEnum):
    """Rhythm of the melody."""

    STEADY = "steady"
    SYNCOPATED = "syncopated"
    SWUNG = "swung"
    WALTZ = "waltz"
    ARPEGGIO = "arpeggio"
    HELD = "held"
    STACCATO = "staccato"


class Drums(StrEnum):
    """Percussion."""

    NONE = "none"
    BEAT = "beat"
    SHAKER = "shaker"
    HAND = "hand"
    MARCH = "march"


class Accompaniment(StrEnum):
    """Accompaniment of the melody."""

    NONE = "none"
    DRONE = "drone"
    BASS = "bass"
    CHORDS = "chords"


class Room(StrEnum):
    """Reverberation of the sound."""

    DRY = "dry"
    ECHO = "echo"
    HALL = "hall"


class Dynamics(StrEnum):
    """Course of the loudness."""

    EVEN = "even"
    SWELLING = "swelling"


@dataclass(frozen=True, slots=True)
class Tune:
    """The facts of a tune; `seed` determines the melody and accents.

    Attributes:
        bpm: Beats per minute, in the range of `tempo`.
    """

    instrument: Instrument
    tempo: Tempo
    bpm: float
    mode: Mode
    register: Register
    rhythm: Rhythm
    drums: Drums
    accompaniment: Accompaniment
    room: Room
    dynamics: Dynamics
    seed: int

    @property
    def beats_per_bar(self) -> int:
        """Three for a waltz, otherwise four."""
        return 3 if self.rhythm is Rhythm.WALTZ else 4


BPM = {Tempo.SLOW: (58.0, 70.0), Tempo.MEDIUM: (100.0, 116.0), Tempo.FAST: (164.0, 188.0)}
_HELD_OUT_PERIOD = 5  # one combination in five


def is_held_out(instrument: Instrument, mode: Mode, register: Register) -> bool:
    """Return whether training excludes a combination.

    Training still includes every instrument, mode and register, and most pairs of them.
    """
    return zlib.crc32(f"{instrument} {mode} {register}".encode()) % _HELD_OUT_PERIOD == 0


def sample_tune(rng: np.random.Generator, *, unseen: bool = False) -> Tune:
    """Draw a tune.

    Args:
        rng: Source of all random choices.
        unseen: Whether the combination of instrument, mode and register is a held-out one.
    """
    instrument, mode, register = _draw_combination(rng)
    while is_held_out(instrument, mode, register) is not unseen:
        instrument, mode, register = _draw_combination(rng)
    tempo = pick(rng, Tempo)
    return Tune(
        instrument=instrument,
        tempo=tempo,
        bpm=float(rng.uniform(*BPM[tempo])),
        mode=mode,
        register=register,
        rhythm=pick(rng, Rhythm),
        drums=pick(rng, Drums),
        accompaniment=pick(rng, Accompaniment),
        room=pick(rng, Room),
        dynamics=pick(rng, Dynamics),
        seed=int(rng.integers(2**63)),
    )


def _draw_combination(rng: np.random.Generator) -> tuple[Instrument, Mode, Register]:
    return pick(rng, Instrument), pick(rng, Mode), pick(rng, Register)
