"""Joins clips of ESC-10 to recordings of 30 to 120 s with known sound boundaries.

A recording is a sequence of spans, each of another class. A span holds clips of its class in random
order up to a random length, where the last clip is cut. Many clips begin or end with digital
silence, which has no audible class, so quiet ends are removed first. Pauses within a clip remain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.esc10 import SoundClip
from retrieval.localization.spans import Span

TOTAL_SECONDS: Final = (30.0, 105.0)
"""Range of target lengths; a recording ends with the first span that reaches it, by 120 s."""

SPAN_SECONDS: Final = (4.0, 15.0)
QUIET: Final = 0.02
"""Ends of a clip below this share of its peak, -34 dB, are removed."""


@dataclass(frozen=True, slots=True)
class LabelledSpan:
    """A span in seconds with the number of its class."""

    label: int
    span: Span


@dataclass(frozen=True, slots=True)
class Recording:
    """A joined recording.

    Attributes:
        sound: (n,) float32 mono in -1 … 1.
        spans: Adjacent spans that cover the recording; no class occurs twice.
    """

    sound: NDArray[np.float32]
    spans: tuple[LabelledSpan, ...]


def without_quiet_ends(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Remove the samples before the first and after the last loud sample."""
    loud = np.flatnonzero(np.abs(sound) > QUIET * np.abs(sound).max(initial=0.0))
    return sound[loud[0] : loud[-1] + 1] if len(loud) else sound


def join_clips(
    clips: Sequence[SoundClip], sample_rate_hz: int, rng: np.random.Generator
) -> Recording:
    """Generate one recording.

    Args:
        clips: Clips of every class, without quiet ends.
        sample_rate_hz: Sample rate of the clips.
        rng: Source of all random choices.
    """
    total = round(sample_rate_hz * rng.uniform(*TOTAL_SECONDS))
    pieces: list[NDArray[np.float32]] = []
    spans: list[LabelledSpan] = []
    end = 0
    for label in rng.permutation(np.unique([clip.label for clip in clips])).tolist():
        length = round(sample_rate_hz * rng.uniform(*SPAN_SECONDS))
        pieces.append(_joined([clip.sound for clip in clips if clip.label == label], length, rng))
        seconds = (end / sample_rate_hz, (end + length) / sample_rate_hz)
        spans.append(LabelledSpan(label, seconds))
        end += length
        if end >= total:
            break
    sound = np.concatenate(pieces)
    return Recording(sound / max(1.0, float(np.abs(sound).max())), tuple(spans))


def _joined(
    sounds: Sequence[NDArray[np.float32]], length: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Concatenate sounds in random order and repeat them up to `length` samples."""
    order = [sounds[number] for number in rng.permutation(len(sounds))]
    return np.resize(np.concatenate(order), length)
