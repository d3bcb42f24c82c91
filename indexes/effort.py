"""Search effort of an approximate index."""

from __future__ import annotations

import math
from dataclasses import dataclass

TUNED_K = 10
"""Number of answers that an effort is tuned for."""

MAX_CANDIDATES = 4_096
"""Maximum number of re-ranked rows per query. Longer answers use exact search."""


@dataclass(frozen=True, slots=True)
class Effort:
    """Search effort of an approximate part, tuned for ten answers.

    Higher values increase both recall and search time.

    Attributes:
        visited: Lists scanned in an IVF index (`nprobe`), or size of a graph's search queue
            (`efSearch`).
        candidates: Number of rows re-ranked with exact scores.
    """

    visited: int
    candidates: int

    def candidates_for(self, k: int) -> int:
        """Return the number of rows to re-rank for k answers; it grows with the square root."""
        scaled = self.candidates * math.sqrt(max(1.0, k / TUNED_K))
        return max(k, min(MAX_CANDIDATES, round(scaled)))
