"""Moment metrics, one definition each, and the blind floor that every score stands beside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.localization.spans import Span, overlap


def recall_at_1(predicted: Sequence[Span | None], true: Sequence[Span], iou: float) -> float:
    """Share of queries whose first predicted span overlaps the true one with at least `iou`.

    Papers print this as R1@iou. None stands for a query without a prediction, and is a miss.
    """
    hits = [
        span is not None and overlap(span, truth) >= iou
        for span, truth in zip(predicted, true, strict=True)
    ]
    return float(np.mean(hits))


def best_constant_window(
    true: Sequence[Span], durations: Sequence[float], iou: float, *, steps: int = 40
) -> tuple[Span, float]:
    """The blind floor: the one window, as fractions of the duration, that scores best.

    It is chosen on the truth itself and has seen neither video nor query.

    Returns:
        The window as fractions (start, end), and its R1 at `iou`.
    """
    spans: NDArray[np.float64] = np.asarray(true, np.float64)
    lengths: NDArray[np.float64] = np.asarray(durations, np.float64)
    starts, ends = spans[:, 0] / lengths, spans[:, 1] / lengths
    best: tuple[Span, float] = ((0.0, 1.0), -1.0)
    for first in range(steps):
        for last in range(first + 1, steps + 1):
            window = (first / steps, last / steps)
            shared = np.minimum(ends, window[1]) - np.maximum(starts, window[0])
            union = ends - starts + window[1] - window[0] - np.maximum(shared, 0)
            score = float(np.mean(np.maximum(shared, 0) / union >= iou))
            if score > best[1]:
                best = (window, score)
    return best
