"""Blind baselines for moment metrics: the best constant window for all queries.

Annotated moments cluster in typical positions, so a constant window is correct surprisingly often
(Otani et al., BMVC 2020). Compare a moment score with this baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.localization.spans import Span

WHOLE_VIDEO: Final[Span] = (0.0, 1.0)
"""The whole video as fractions of its duration."""


def best_constant_window(
    windows: Sequence[Sequence[Span]], durations: Sequence[float], iou: float, *, steps: int = 40
) -> tuple[Span, float]:
    """Return the window, as fractions of the duration, that is correct for most queries.

    The result is slightly optimistic, because the window is fitted to the evaluated queries.

    Args:
        windows: For each query its true windows, at least one, in seconds; the one with the
            largest overlap counts.
        durations: For each query the length of its video in seconds.
        iou: Minimum intersection over union of a correct window.
        steps: Resolution: borders are multiples of 1 / `steps`.

    Returns:
        The window as fractions (start, end), and the share of queries for which it is correct.
        Among equal windows, the one with the smallest start, then end.
    """
    true = _fractions(windows, durations)
    best: tuple[Span, float] = (WHOLE_VIDEO, -1.0)
    for first in range(steps):
        for last in range(first + 1, steps + 1):
            window = (first / steps, last / steps)
            score = float(np.mean(_overlaps(window, true) >= iou))
            if score > best[1]:
                best = (window, score)
    return best


def scale_window(window: Span, durations: Sequence[float]) -> list[Span]:
    """Convert a window of fractions to seconds of each video."""
    return [(window[0] * duration, window[1] * duration) for duration in durations]


def _fractions(
    windows: Sequence[Sequence[Span]], durations: Sequence[float]
) -> NDArray[np.float64]:
    """Return (queries, windows, 2) fractions of the duration, padded with the empty (0, 0)."""
    true = np.zeros((len(windows), max(map(len, windows)), 2))
    for row, spans in zip(true, windows, strict=True):
        row[: len(spans)] = spans
    fractions: NDArray[np.float64] = true / np.asarray(durations, np.float64)[:, None, None]
    return fractions


def _overlaps(window: Span, true: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (queries,) intersection over union with the true window of largest overlap."""
    starts, ends = true[..., 0], true[..., 1]
    shared = np.maximum(np.minimum(ends, window[1]) - np.maximum(starts, window[0]), 0)
    union = ends - starts + window[1] - window[0] - shared
    best: NDArray[np.float64] = (shared / union).max(axis=1)
    return best
