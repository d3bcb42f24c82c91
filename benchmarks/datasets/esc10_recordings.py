"""Recordings of 30 to 120 s joined from clips of ESC-10, with the borders of every sound known.

A recording is a row of moments, each of another class. A moment holds clips of its class, one
after the other in random order, until a length drawn beforehand is reached; there the last one is
cut. Many clips are padded with digital silence or end in it, and nobody can hear where a silence
begins to be a sneeze's: so a clip's quiet ends are cut off first. Pauses inside a clip stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.esc10 import Clip
from retrieval.localization.spans import Span

TOTAL_SECONDS: Final = (30.0, 105.0)
"""A recording ends with the moment that reaches a length drawn from here: after 30 to 120 s."""

MOMENT_SECONDS: Final = (4.0, 15.0)
QUIET: Final = 0.02
"""Ends of a clip that stay below this share of its loudest sample, -34 dB, are cut off."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a class is heard; `span` in seconds."""

    label: int
    span: Span


@dataclass(frozen=True, slots=True)
class Recording:
    """A joined recording.

    Attributes:
        sound: (n,) float32 mono, within -1 … 1.
        moments: From the first sample to the last, no class twice.
    """

    sound: NDArray[np.float32]
    moments: tuple[Moment, ...]


def without_quiet_ends(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut off what lies before the first loud sample and behind the last one."""
    loud = np.flatnonzero(np.abs(sound) > QUIET * np.abs(sound).max(initial=0.0))
    return sound[loud[0] : loud[-1] + 1] if len(loud) else sound


def join_clips(clips: Sequence[Clip], sample_rate_hz: int, rng: np.random.Generator) -> Recording:
    """Draw one recording.

    Args:
        clips: Without quiet ends; some of every class.
        sample_rate_hz: Of their sound.
        rng: Decides everything.
    """
    total = round(sample_rate_hz * rng.uniform(*TOTAL_SECONDS))
    pieces: list[NDArray[np.float32]] = []
    moments: list[Moment] = []
    end = 0
    for label in rng.permutation(np.unique([clip.label for clip in clips])).tolist():
        length = round(sample_rate_hz * rng.uniform(*MOMENT_SECONDS))
        pieces.append(_joined([clip.sound for clip in clips if clip.label == label], length, rng))
        moments.append(Moment(label, (end / sample_rate_hz, (end + length) / sample_rate_hz)))
        end += length
        if end >= total:
            break
    sound = np.concatenate(pieces)
    return Recording(sound / max(1.0, float(np.abs(sound).max())), tuple(moments))


def _joined(
    sounds: Sequence[NDArray[np.float32]], length: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """(length,) sounds in random order, each once before any comes again."""
    order = [sounds[number] for number in rng.permutation(len(sounds))]
    return np.resize(np.concatenate(order), length)
