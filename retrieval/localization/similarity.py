"""Moments without training: spans where the query's score rises above the item's background.

A video made of scenes gives a curve of steps: high where the query is shown, low elsewhere, mixed
where a segment straddles a border. The curve is cut half-way between its background and each peak
(the full width at half maximum of spectroscopy), the strongest peak first; a mixed segment at a
border says by its height how much of it belongs inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.localization.spans import without_overlaps
from retrieval.types import Medium, MomentQuery, ScoredSpan, Space, TimedRows


@dataclass(frozen=True, slots=True)
class SimilarityLocalizer:
    """Finds spans in one item's score curve; implements `retrieval.protocols.Localizer`.

    Attributes:
        max_spans: Spans returned at most.
        least_rise: A further peak counts when it rises this share of the first above the
            background.
        gap_segments: Dips of so many segments inside a span are bridged.
        max_items: Items it looks into.
        reads_frames: It reads segments, which are less noisy than frames.
        gives_probabilities: Its scores are inner products.
        likely_score: Not used: the space's calibration judges inner products.
    """

    max_spans: int = 10
    least_rise: float = 0.5
    gap_segments: int = 1
    max_items: int = 20
    reads_frames: bool = False
    gives_probabilities: bool = False
    likely_score: float = 0.0

    def can_answer(self, query: MomentQuery, space: Space, medium: Medium) -> bool:
        """Always: every query has a vector in the space of the rows."""
        return True

    def localize(self, query: MomentQuery, items: Sequence[TimedRows]) -> list[list[ScoredSpan]]:
        """Find the spans that answer the query, scored by their mean inner product with it."""
        return [
            self.spans_of(item.vectors @ query.vector, item.start_seconds, item.end_seconds)
            for item in items
        ]

    def spans_of(
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
            if spans and rise < self.least_rise * first_rise:
                break
            first, last = self._run(curve, free, peak, background + rise / 2)
            start, end = _borders(scores, start_seconds, end_seconds, first, last, background)
            spans.append((start, end, float(scores[first : last + 1].mean())))
            free[first : last + 1] = False
            if first_rise <= 0:
                break
        return without_overlaps(spans, limit=self.max_spans)

    def _run(
        self, curve: NDArray[np.float64], free: NDArray[np.bool_], peak: int, level: float
    ) -> tuple[int, int]:
        """First and last segment around a peak that stay above a level, short dips bridged."""

        def reach(step: int) -> int:
            edge = position = peak
            while 0 <= position + step < len(curve) and free[position + step]:
                position += step
                if curve[position] >= level:
                    edge = position
                elif abs(position - edge) > self.gap_segments:
                    break
            return edge

        return reach(-1), reach(1)


def _smooth(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of three: a single odd segment neither makes nor breaks a span; steps stay sharp."""
    if len(scores) < 5:
        return scores
    padded = np.concatenate([scores[:1], scores, scores[-1:]])
    smooth: NDArray[np.float64] = np.median(
        np.lib.stride_tricks.sliding_window_view(padded, 3), axis=1
    )
    return smooth


def _background(curve: NDArray[np.float64]) -> float:
    """Level of the segments that do not answer: the median of the lower part of the curve."""
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
    """Start and end with the mixed segments at both borders counted by their height."""
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


def _share(scores: NDArray[np.float32], place: int, background: float, inside: float) -> float:
    """How much of a segment lies inside, by its height; small deviations are noise."""
    if inside <= background:
        return 1.0
    share = (float(scores[place]) - background) / (inside - background)
    if share < 0.2:
        return 0.0
    return 1.0 if share > 0.8 else share
