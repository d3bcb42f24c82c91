"""Search effort of an approximate index."""

from __future__ import annotations

import math
from dataclasses import dataclass

TUNED_K = 10
"""Number of answers that an effort is tuned for."""

FIXED_FACTOR = 6
"""A fixed number of lists has the recall of a margin if it is up to this many times as large as the
mean number of lists with the margin (docs/explanation/indexing.md)."""

MAX_CANDIDATES = 4_096
"""Maximum number of re-ranked rows per query. Longer answers use exact search."""


@dataclass(frozen=True, slots=True)
class Effort:
    """Search effort of an approximate part, tuned for ten answers.

    Higher values increase both recall and search time.

    Attributes:
        visited: Lists scanned in an IVF index (`nprobe`), or size of a graph's search queue
            (`efSearch`). With a margin, the mean number of lists.
        candidates: Number of rows re-ranked with exact scores.
        margin: Decides which lists a query visits (`indexes.routing`). None: all queries visit the
            same number of lists.
    """

    visited: int
    candidates: int
    margin: float | None = None

    @property
    def fixed_visited(self) -> int:
        """Number of lists with at least the same recall if all queries visit the same number."""
        return self.visited if self.margin is None else FIXED_FACTOR * self.visited

    def candidates_for(self, k: int) -> int:
        """Return the number of rows to re-rank for k answers; it grows with the square root."""
        return max(k, min(MAX_CANDIDATES, round(self.candidates * self.scale_for(k))))

    def scale_for(self, k: int) -> float:
        """Return the factor of candidates and of lists with a margin for k answers."""
        return math.sqrt(max(1.0, k / TUNED_K))
