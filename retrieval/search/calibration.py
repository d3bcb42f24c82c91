"""Calibrates scores with the best scores of unrelated queries.

Inner products of two spaces are not comparable, and neither are the best scores of a small and a
large collection. When an index is built, the best scores of queries without an answer are measured
per space, medium and query type. A calibrated score counts standard deviations above their mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from retrieval.types import Medium

MIN_DEVIATION = 1e-3
"""Rounding to float16 alone makes scores differ by this much."""


class QueryType(StrEnum):
    """Text and media queries; in a cross-modal space their scores differ."""

    TEXT = "text"
    MEDIA = "media"


LIKELY_DEVIATIONS = {QueryType.TEXT: 2.0, QueryType.MEDIA: 0.0}
"""Deviations above the mean at which a hit is likely. Probe texts have no answer, so a hit must
exceed their scores. Sampled media have true neighbours, so a hit must only reach their scores."""


@dataclass(frozen=True, slots=True)
class ScoreStatistics:
    """Statistics of the best scores of unrelated queries; an entry of `calibration` in card.json.

    Attributes:
        query: Type of the queries.
        medium: Medium of the rows.
        mean: Mean best score.
        deviation: Standard deviation, above 0.
        threshold: Hits with a lower score are unlikely.
        count: Number of queries with a result.
        best: Best score of each text query, so that statistics of several collections can be
            combined exactly; empty for media queries, which every collection samples itself.

    Raises:
        ValueError: A number is not finite, or the deviation is not above 0.
    """

    query: QueryType
    medium: Medium
    mean: float
    deviation: float
    threshold: float
    count: int = 1
    best: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        values = (self.mean, self.deviation, self.threshold, *self.best)
        if not all(map(math.isfinite, values)) or self.deviation <= 0:
            raise ValueError(f"invalid score statistics of {self.query} and {self.medium}")

    @classmethod
    def of(
        cls, best_scores: NDArray[np.floating], query: QueryType, medium: Medium
    ) -> ScoreStatistics | None:
        """Measure best scores; those of queries without any result are -inf and ignored.

        Returns:
            None for fewer than two scores.
        """
        scores = best_scores[np.isfinite(best_scores)].astype(np.float64)
        if len(scores) < 2:
            return None
        best: tuple[float, ...] = ()
        if query is QueryType.TEXT and len(scores) == len(best_scores):
            best = tuple(scores.tolist())
        mean, deviation = float(scores.mean()), float(scores.std())
        return cls._with_threshold(query, medium, mean, deviation, len(scores), best)

    @classmethod
    def _with_threshold(
        cls,
        query: QueryType,
        medium: Medium,
        mean: float,
        deviation: float,
        count: int,
        best: tuple[float, ...] = (),
    ) -> ScoreStatistics:
        deviation = max(MIN_DEVIATION, deviation)
        threshold = mean + LIKELY_DEVIATIONS[query] * deviation
        return cls(query, medium, mean, deviation, threshold, count, best)

    @classmethod
    def pool(cls, statistics: Sequence[ScoreStatistics]) -> ScoreStatistics:
        """Combine the statistics of several collections for one query type and medium.

        The best score of a text query is the best one of all collections. Without the scores of
        each query, the mean and the deviation of all scores count.
        """
        query, medium = statistics[0].query, statistics[0].medium
        if len(statistics) == 1:
            return statistics[0]
        scores = [entry.best for entry in statistics]
        if scores[0] and len({len(best) for best in scores}) == 1:
            pooled = cls.of(np.max(scores, axis=0), query, medium)
            assert pooled is not None  # all scores are finite
            return pooled
        counts = [entry.count for entry in statistics]
        means = np.array([entry.mean for entry in statistics])
        mean = float(np.average(means, weights=counts))
        squares = [entry.deviation**2 + entry.mean**2 for entry in statistics]
        variance = float(np.average(squares, weights=counts)) - mean**2
        return cls._with_threshold(query, medium, mean, max(0.0, variance) ** 0.5, sum(counts))


class Calibration:
    """Score statistics of one space by query type and medium.

    Scores without statistics stay as they are, and every such hit is likely.

    Args:
        statistics: Later entries replace earlier ones of the same query type and medium.
    """

    def __init__(self, statistics: Iterable[ScoreStatistics] = ()) -> None:
        self._statistics = {(entry.query, entry.medium): entry for entry in statistics}

    @classmethod
    def pool(cls, calibrations: Sequence[Calibration]) -> Calibration:
        """Combine the calibrations of several collections, as if they were one."""
        entries: dict[tuple[QueryType, Medium], list[ScoreStatistics]] = {}
        for calibration in calibrations:
            for key, entry in calibration._statistics.items():
                entries.setdefault(key, []).append(entry)
        return cls(ScoreStatistics.pool(each) for each in entries.values())

    def of_type(self, query: QueryType) -> list[ScoreStatistics]:
        """Return the statistics of a query type."""
        return [entry for entry in self._statistics.values() if entry.query is query]

    def calibrated(self, score: float, query: QueryType, medium: Medium) -> float:
        """Convert a score to standard deviations above the mean."""
        entry = self._statistics.get((query, medium))
        return score if entry is None else (score - entry.mean) / entry.deviation

    def likely(self, score: float, query: QueryType, medium: Medium) -> bool:
        """Whether a hit of this score is likely an answer."""
        entry = self._statistics.get((query, medium))
        return score >= (-1.0 if entry is None else entry.threshold)
