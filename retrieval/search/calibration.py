"""How good a score is: measured against what unrelated queries reach in the same rows.

Inner products of two spaces have nothing in common, and neither have the best scores of a small
and a large collection. So the scores of queries that nothing answers are measured when an index is
built, per space, medium and kind of query; a calibrated score counts deviations above their mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from retrieval.types import Medium

LEAST_DEVIATION = 1e-3
"""Scores of float16 vectors differ by as much for no reason."""


class QueryKind(StrEnum):
    """Text and media lie apart in every cross-modal space, so their scores differ."""

    TEXT = "text"
    MEDIA = "media"


LIKELY_DEVIATIONS = {QueryKind.TEXT: 2.0, QueryKind.MEDIA: 0.0}
"""How far above the mean a likely hit is. Probe texts ask for what is not there, so a hit must
stand out from theirs; sampled media have real neighbours, so a hit must come as near as those."""


@dataclass(frozen=True, slots=True)
class Background:
    """What unrelated queries reach: mean and deviation of their best scores.

    Attributes:
        mean: Mean best score.
        deviation: Its standard deviation, never 0.
        threshold: Below this score a hit is unlikely to be an answer.
    """

    mean: float
    deviation: float
    threshold: float

    @classmethod
    def of(cls, best_scores: NDArray[np.floating], kind: QueryKind) -> Background | None:
        """Measure; scores of queries that found nothing are -inf and left out.

        Returns:
            None where fewer than two scores are left: they tell nothing.
        """
        found = best_scores[np.isfinite(best_scores)].astype(np.float64)
        if len(found) < 2:
            return None
        mean, deviation = float(found.mean()), max(LEAST_DEVIATION, float(found.std()))
        return cls(mean, deviation, mean + LIKELY_DEVIATIONS[kind] * deviation)


NOTHING_KNOWN = Background(mean=0.0, deviation=1.0, threshold=-1.0)
"""Where nothing was measured a score stays as it is, and every hit is likely."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Backgrounds of one space by kind of query and medium of the row."""

    backgrounds: Mapping[tuple[QueryKind, Medium], Background]

    def background(self, kind: QueryKind, medium: Medium) -> Background:
        """The background of a kind and medium, `NOTHING_KNOWN` where none was measured."""
        return self.backgrounds.get((kind, medium), NOTHING_KNOWN)

    def calibrated(self, score: float, kind: QueryKind, medium: Medium) -> float:
        """Deviations of a score above the background's mean."""
        background = self.background(kind, medium)
        return (score - background.mean) / background.deviation

    def likely(self, score: float, kind: QueryKind, medium: Medium) -> bool:
        """Whether a hit of this score is likely an answer."""
        return score >= self.background(kind, medium).threshold
