"""Localizes moments without training: spans where the query's score exceeds the background.

The score curve of a video with several scenes is a sequence of steps: high where the query is
shown, low elsewhere, intermediate for segments that straddle a border. Peaks are processed by
height and cut at half height above the background (full width at half maximum, as in
spectroscopy). The height of an intermediate segment determines how much of it belongs to the span.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.localization.spans import suppress_overlaps
from retrieval.types import Medium, MomentQuery, ScoredSpan, Space, TimedRows


@dataclass(frozen=True, slots=True)
class SimilarityLocalizer:
    """Implements `retrieval.protocols.Localizer` by cutting the score curve of an item.

    Attributes:
        max_spans: Maximum number of spans to return.
        min_rise: Minimum height of further peaks above the background, as a share of the first
            peak's.
        gap_segments: Maximum length in segments of dips inside a span.
        max_items: Maximum number of items to read.
        reads_frames: False: segments are less noisy than frames.
        gives_probabilities: False: scores are inner products.
        likely_score: Unused: the calibration of the space judges inner products.
    """

    max_spans: int = 10
    min_rise: float = 0.5
    gap_segments: int = 1
    max_items: int = 20
    reads_frames: bool = False
    gives_probabilities: bool = False
    likely_score: float = 0.0

    def can_answer(self, query: MomentQuery, space: Space, medium: Medium) -> bool:
        """Return True: every query has a vector in the space of the rows."""
        return True

    def localize(self, query: MomentQuery, items: Sequence[TimedRows]) -> list[list[ScoredSpan]]:
        """Return the spans of each item, scored by their mean inner product with the query."""
        return [
            self.rank_spans(item.vectors @ query.vector, item.start_seconds, item.end_seconds)
            for item in items
        ]

    def rank_spans(
        self,
        scores: NDArray[np.float32],
        start_seconds: NDArray[np.float64],
        end_seconds: NDArray[np.float64],
    ) -> list[ScoredSpan]:
        """Cut a score curve (n,) over ascending segments into ranked spans."""
        if not len(scores):
            return []
        curve = _smooth(scores.astype(np.float64))
        background = _background(curve)
        first_rise = float(curve.max()) - background
        free = np.ones(len(curve), dtype=bool)
        spans: list[ScoredSpan] = []
        while free.any() and len(spans) < self.max_spans:
            peak = int(np.where(free, curve, -np.inf).argmax())
            rise = float(curve[peak]) - background
            if spans and rise < self.min_rise * first_rise:
                break
            first, last = self._extend(curve, free, peak, background + rise / 2)
            start, end = _borders(scores, start_seconds, end_seconds, first, last, background)
            spans.append((start, end, float(scores[first : last + 1].mean())))
            free[first : last + 1] = False
            if first_rise <= 0:
                break
        return suppress_overlaps(spans, limit=self.max_spans)

    def _extend(
        self, curve: NDArray[np.float64], free: NDArray[np.bool_], peak: int, level: float
    ) -> tuple[int, int]:
        """Return the first and last segment around a peak above a level, bridging short dips."""

        def extend(step: int) -> int:
            edge = position = peak
            while 0 <= position + step < len(curve) and free[position + step]:
                position += step
                if curve[position] >= level:
                    edge = position
                elif abs(position - edge) > self.gap_segments:
                    break
            return edge

        return extend(-1), extend(1)


def _smooth(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply a median filter of width three, which removes single outliers and preserves steps."""
    if len(scores) < 5:
        return scores
    extended = np.concatenate([scores[:1], scores, scores[-1:]])
    smooth: NDArray[np.float64] = np.median(
        np.lib.stride_tricks.sliding_window_view(extended, 3), axis=1
    )
    return smooth


def _background(curve: NDArray[np.float64]) -> float:
    """Return the score of unrelated segments: the median of the lower half of the value range."""
    middle = (curve.max() + curve.min()) / 2
    return float(np.median(curve[curve <= middle]))


def _borders(
    scores: NDArray[np.float32],
    start_seconds: NDArray[np.float64],
    end_seconds: NDArray[np.float64],
    first: int,
    last: int,
    background: float,
) -> tuple[float, float]:
    """Return start and end in seconds, moved within the border segments by their height."""
    inside = float(np.median(scores[first : last + 1]))
    before = _share(scores, first - 1, background, inside) if first > 0 else 0.0
    after = _share(scores, last + 1, background, inside) if last + 1 < len(scores) else 0.0
    own_first = _share(scores, first, background, inside)
    own_last = _share(scores, last, background, inside)
    start, end = float(start_seconds[first]), float(end_seconds[last])
    length = float(end_seconds[first] - start_seconds[first])
    start += (1 - own_first) * length if own_first < 1 else -before * length
    length = float(end_seconds[last] - start_seconds[last])
    end -= (1 - own_last) * length if own_last < 1 else -after * length
    if end <= start:
        return float(start_seconds[first]), float(end_seconds[last])
    return max(start, float(start_seconds[0])), min(end, float(end_seconds[-1]))


def _share(scores: NDArray[np.float32], position: int, background: float, inside: float) -> float:
    """Return the share of a segment inside the span by its height; ignores small deviations."""
    if inside <= background:
        return 1.0
    share = (float(scores[position]) - background) / (inside - background)
    if share < 0.2:
        return 0.0
    return 1.0 if share > 0.8 else share
