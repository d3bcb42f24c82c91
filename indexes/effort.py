"""How hard an approximate index looks: what tuning finds, cards keep and searches use."""

from __future__ import annotations

import math
from dataclasses import dataclass

TUNED_K = 10
"""Answers for which an effort is meant."""

MAX_CANDIDATES = 4_096
"""Candidates that the approximate part hands to re-ranking; longer answers are scanned exactly."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard an approximate part looks for ten answers; more finds more and takes longer.

    Attributes:
        visited: Lists that an IVF index scans (`nprobe`), or rows that a graph keeps in view
            (`efSearch`).
        candidates: Rows handed to exact re-ranking.
    """

    visited: int
    candidates: int

    def candidates_for(self, k: int) -> int:
        """Candidates for k answers: of a longer answer the last ones are harder to find."""
        grown = self.candidates * math.sqrt(max(1.0, k / TUNED_K))
        return max(k, min(MAX_CANDIDATES, round(grown)))
