"""Blind floors: what a moment score reaches without a look at video or query.

Moments lie where people cut and describe videos, so one window for all of them is right
surprisingly often (Otani et al., BMVC 2020). A moment score means what it adds to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.localization.spans import Span

WHOLE: Final[Span] = (0.0, 1.0)
"""The whole video, as fractions of it."""


def best_constant_window(
    windows: Sequence[Sequence[Span]], durations: Sequence[float], iou: float, *, steps: int = 40
) -> tuple[Span, float]:
    """The one window, as fractions of the duration, that is right most often.

    Its trap: chosen on the truth that it is scored on, it is a little better than anything that
    is chosen before.

    Args:
        windows: For each query its true windows, at least one, in seconds; the window that
            overlaps most counts.
        durations: For each query the length of its video in seconds.
        iou: Least intersection over union of a right window.
        steps: The window begins and ends at multiples of one `steps`-th.

    Returns:
        The window as fractions (start, end), and the share of queries that it is right for. Among
        equals the one that begins, then ends, first.
    """
    true = _fractions(windows, durations)
    best: tuple[Span, float] = (WHOLE, -1.0)
    for first in range(steps):
        for last in range(first + 1, steps + 1):
            window = (first / steps, last / steps)
            score = float(np.mean(_overlaps(window, true) >= iou))
            if score > best[1]:
                best = (window, score)
    return best


def placed(window: Span, durations: Sequence[float]) -> list[Span]:
    """A window of fractions in seconds of each video."""
    return [(window[0] * duration, window[1] * duration) for duration in durations]


def _fractions(
    windows: Sequence[Sequence[Span]], durations: Sequence[float]
) -> NDArray[np.float64]:
    """(queries, windows, 2) in fractions of the duration; (0, 0), which overlaps none, fills up."""
    true = np.zeros((len(windows), max(map(len, windows)), 2))
    for row, spans in zip(true, windows, strict=True):
        row[: len(spans)] = spans
    fractions: NDArray[np.float64] = true / np.asarray(durations, np.float64)[:, None, None]
    return fractions


def _overlaps(window: Span, true: NDArray[np.float64]) -> NDArray[np.float64]:
    """(queries,) intersection over union with the true window that overlaps most."""
    starts, ends = true[..., 0], true[..., 1]
    shared = np.maximum(np.minimum(ends, window[1]) - np.maximum(starts, window[0]), 0)
    union = ends - starts + window[1] - window[0] - shared
    best: NDArray[np.float64] = (shared / union).max(axis=1)
    return best
