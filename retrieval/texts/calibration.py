"""Calibrates text scores with unrelated queries, so that they compare with vector scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LIKELY_DEVIATIONS = 2.0
"""A text counts from this calibrated score on, as a vector does."""

MIN_THRESHOLD, MAX_THRESHOLD = 0.5, 0.7
"""Limits of the coverage from which a text counts. The lower one is the floor of the deviation: a
text with less than half of a query's information never counts."""

MAX_MEAN = 0.6
"""Limit of the mean coverage, below `MAX_THRESHOLD`."""


MIN_DEVIATION = 0.02
"""Floor of the deviation where the mean is high."""


@dataclass(frozen=True, slots=True)
class TextCalibration:
    """The best coverage of unrelated queries; `calibration` in the card of a text index.

    Attributes:
        probes: Number of unrelated queries; their coverage is 0 without a match.
        mean: Mean coverage, at most `MAX_MEAN`.
        deviation: Deviation of the coverage, with the floor and the limit that `MIN_THRESHOLD` and
            `MAX_THRESHOLD` imply.

    Raises:
        ValueError: A number is out of its range.
    """

    probes: int = 0
    mean: float = 0.0
    deviation: float = MIN_THRESHOLD / LIKELY_DEVIATIONS

    def __post_init__(self) -> None:
        in_range = 0 <= self.mean <= MAX_MEAN and 0 < self.deviation < 1 and self.probes >= 0
        if not in_range or not math.isfinite(self.deviation):
            raise ValueError("invalid statistics of unrelated queries")

    @classmethod
    def of(cls, coverages: Sequence[float]) -> TextCalibration:
        """Measure the best coverages of unrelated queries."""
        if not coverages:
            return cls()
        mean = min(float(np.mean(coverages)), MAX_MEAN)
        floor = (MIN_THRESHOLD - mean) / LIKELY_DEVIATIONS
        limit = (MAX_THRESHOLD - mean) / LIKELY_DEVIATIONS
        deviation = max(float(np.std(coverages)), floor, MIN_DEVIATION)
        return cls(len(coverages), mean, min(deviation, limit))

    @property
    def threshold(self) -> float:
        """Coverage from which a text counts."""
        return self.mean + LIKELY_DEVIATIONS * self.deviation

    def calibrated(self, coverage: float) -> float:
        """Convert a coverage to deviations above the mean."""
        return (coverage - self.mean) / self.deviation

    def likely(self, coverage: float) -> bool:
        """Whether a text of this coverage counts."""
        return coverage > self.threshold
