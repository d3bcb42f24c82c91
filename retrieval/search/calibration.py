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

LIKELY_DEVIATIONS = 2.0
"""A hit this far above the mean of unrelated queries is likely an answer: about 1 in 40 is not."""

LEAST_DEVIATION = 1e-3
"""Scores of float16 vectors differ by as much for no reason."""


class QueryKind(StrEnum):
    """Text and media lie apart in every cross-modal space, so their scores differ."""

    TEXT = "text"
    MEDIA = "media"


@dataclass(frozen=True, slots=True)
class Background:
    """Mean and deviation of unrelated queries' best scores."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, best_scores: NDArray[np.floating]) -> Background:
        """Measure; fewer than two scores tell nothing and give a background of zero and one."""
        finite = best_scores[np.isfinite(best_scores)]
        if len(finite) < 2:
            return cls(0.0, 1.0)
        return cls(float(finite.mean()), max(LEAST_DEVIATION, float(finite.std())))


NOTHING_KNOWN = Background(0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Backgrounds of one space by kind of query and medium of the row."""

    backgrounds: Mapping[tuple[QueryKind, Medium], Background]

    def background(self, kind: QueryKind, medium: Medium) -> Background:
        """The background of a kind and medium; zero and one where none was measured."""
        return self.backgrounds.get((kind, medium), NOTHING_KNOWN)

    def calibrated(self, score: float, kind: QueryKind, medium: Medium) -> float:
        """Deviations of a score above the background's mean."""
        background = self.background(kind, medium)
        return (score - background.mean) / background.deviation

    def likely(self, score: float, kind: QueryKind, medium: Medium) -> bool:
        """Whether a hit of this score is likely an answer; where nothing was measured, it is."""
        if (kind, medium) not in self.backgrounds:
            return True
        return self.calibrated(score, kind, medium) >= LIKELY_DEVIATIONS
