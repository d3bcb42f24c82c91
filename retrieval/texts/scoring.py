"""Scores passages: BM25, and the share of a query's information that they contain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

K1, B = 1.2, 0.75
"""Parameters of BM25, those of tantivy."""

PRIOR_INFORMATION = 1.5
"""Information, in nats, that a match needs before it counts: a word of every fifth text has it."""

VIRTUAL_PASSAGES = 10
"""Passages that are added when the information of a word is computed. They keep the words of a
collection with few texts informative."""


@dataclass(frozen=True, slots=True)
class TermScores:
    """Scores passages for the terms of one query.

    Attributes:
        frequencies: By term of the query, the number of passages that contain it.
        passages: Number of all passages.
        mean_length: Mean number of terms of a passage.
    """

    frequencies: Mapping[str, int]
    passages: int
    mean_length: float

    def inverse_frequency(self, term: str) -> float:
        """Return the weight of a term in BM25, ln(1 + (N - n + 0.5) / (n + 0.5))."""
        frequency = self.frequencies[term]
        return math.log1p((self.passages - frequency + 0.5) / (frequency + 0.5))

    def bm25(self, counts: Mapping[str, int], length: int) -> float:
        """Return the BM25 score of a passage.

        Args:
            counts: Occurrences of each term of the query that the passage contains.
            length: Number of terms of the passage.
        """
        norm = K1 * (1 - B + B * length / max(self.mean_length, 1e-9))
        return math.fsum(
            self.inverse_frequency(term) * count * (K1 + 1) / (count + norm)
            for term, count in counts.items()
        )

    def max_bm25(self) -> float:
        """Return the limit of the BM25 score of a passage."""
        return (K1 + 1) * math.fsum(map(self.inverse_frequency, self.frequencies))

    def information(self, term: str) -> float:
        """Return the information of a term in nats; about 0 for a term of nearly all passages."""
        frequency = min(self.frequencies[term], self.passages)
        absent = self.passages + VIRTUAL_PASSAGES - frequency
        return math.log1p((absent + 0.5) / (frequency + 0.5))

    def coverage(self, matched: AbstractSet[str]) -> float:
        """Return the share of the query's information that matched terms have, in 0 … 1.

        `PRIOR_INFORMATION` is added to the query's information, so that terms of many passages
        alone cover little.
        """
        total = math.fsum(map(self.information, self.frequencies)) + PRIOR_INFORMATION
        return math.fsum(map(self.information, matched)) / total

    def max_coverage(self) -> float:
        """Return the coverage of a passage with all terms that occur in any passage."""
        return self.coverage({term for term, count in self.frequencies.items() if count})

    def rare_terms(self, max_share: float, max_passages: int) -> Sequence[str]:
        """Return the terms by which passages are found, the rarest first.

        Terms of more than `max_share` of the passages, and of more than `max_passages`, are left
        out where rarer ones exist: they only slow a search.
        """
        existing = sorted((n, term) for term, n in self.frequencies.items() if n)
        limit = max(max_passages, max_share * self.passages)
        rare = [term for n, term in existing if n <= limit]
        return rare or [term for _, term in existing]
