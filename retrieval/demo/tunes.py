"""What a tune of the demo world is: the facts that captions name, and how they are drawn."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np

Kind = TypeVar("Kind", bound=StrEnum)


class Instrument(StrEnum):
    """The timbre of the melody."""

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
    """How fast the beat goes; the three ranges do not touch."""

    SLOW = "slow"
    MEDIUM = "medium"
    FAST = "fast"


class Mode(StrEnum):
    """The scale, always on C: a mode is heard as the set of its pitches."""

    MAJOR = "major"
    MINOR = "minor"
    PENTATONIC = "pentatonic"
    BLUES = "blues"
    WHOLE_TONE = "whole-tone"


class Register(StrEnum):
    """Where the melody lies."""

    LOW = "low"
    MIDDLE = "middle"
    HIGH = "high"


class Rhythm(StrEnum):
    """How the melody's notes follow each other."""

    STEADY = "steady"
    SYNCOPATED = "syncopated"
    SWUNG = "swung"
    WALTZ = "waltz"
    ARPEGGIO = "arpeggio"
    HELD = "held"
    STACCATO = "staccato"


class Drums(StrEnum):
    """The percussion."""

    NONE = "none"
    BEAT = "beat"
    SHAKER = "shaker"
    HAND = "hand"
    MARCH = "march"


class Accompaniment(StrEnum):
    """What plays under the melody."""

    NONE = "none"
    DRONE = "drone"
    BASS = "bass"
    CHORDS = "chords"


class Place(StrEnum):
    """The room around the sound."""

    DRY = "dry"
    ECHO = "echo"
    HALL = "hall"


class Dynamics(StrEnum):
    """How the loudness moves."""

    EVEN = "even"
    SWELLING = "swelling"


@dataclass(frozen=True, slots=True)
class Tune:
    """A tune by its facts; everything else about it (melody, accents) follows from `seed`.

    `bpm` is beats per minute, inside the range of `tempo`.
    """

    instrument: Instrument
    tempo: Tempo
    bpm: float
    mode: Mode
    register: Register
    rhythm: Rhythm
    drums: Drums
    accompaniment: Accompaniment
    place: Place
    dynamics: Dynamics
    seed: int

    @property
    def beats_per_bar(self) -> int:
        """Three for a waltz, else four."""
        return 3 if self.rhythm is Rhythm.WALTZ else 4


BPM = {Tempo.SLOW: (58.0, 70.0), Tempo.MEDIUM: (100.0, 116.0), Tempo.FAST: (164.0, 188.0)}
_HELD_OUT_SHARE = 5  # one combination in five


def is_held_out(instrument: Instrument, mode: Mode, register: Register) -> bool:
    """Tell whether training never hears this combination.

    Every instrument, mode and register, and most pairs of them, occur in training all the same.
    """
    return zlib.crc32(f"{instrument} {mode} {register}".encode()) % _HELD_OUT_SHARE == 0


def sample_tune(rng: np.random.Generator, *, unseen: bool = False) -> Tune:
    """Draw a tune.

    Args:
        rng: Where every choice comes from.
        unseen: Draw only combinations of instrument, mode and register that are held out;
            without it such a combination never occurs.
    """
    instrument, mode, register = _draw_combination(rng)
    while is_held_out(instrument, mode, register) is not unseen:
        instrument, mode, register = _draw_combination(rng)
    tempo = _choice(rng, Tempo)
    return Tune(
        instrument=instrument,
        tempo=tempo,
        bpm=float(rng.uniform(*BPM[tempo])),
        mode=mode,
        register=register,
        rhythm=_choice(rng, Rhythm),
        drums=_choice(rng, Drums),
        accompaniment=_choice(rng, Accompaniment),
        place=_choice(rng, Place),
        dynamics=_choice(rng, Dynamics),
        seed=int(rng.integers(2**63)),
    )


def _draw_combination(rng: np.random.Generator) -> tuple[Instrument, Mode, Register]:
    return _choice(rng, Instrument), _choice(rng, Mode), _choice(rng, Register)


def _choice(rng: np.random.Generator, kind: type[Kind]) -> Kind:
    members = list(kind)
    return members[int(rng.integers(len(members)))]
