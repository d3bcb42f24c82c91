"""Scores passages: BM25, and the share of a query's information that they contain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

K1, B = 1.2, 0.75
"""Parameters of BM25, those of tantivy."""

PRIOR_INFORMATION = 1.5
"""Information, in nats, that a match needs before it counts: a word of every fifth text has it."""

VIRTUAL_PASSAGES = 10
"""Passages that are added when the information of a word is computed. They keep the words of a
collection with few texts informative."""


class TermScores:
    """Scores passages for the terms of one query.

    Attributes:
        frequencies: By term of the query, the number of passages that contain it.
        max_bm25: Limit of the BM25 score of a passage.

    Args:
        frequencies: The attribute.
        passages: Number of all passages.
        mean_length: Mean number of terms of a passage.
    """

    def __init__(self, frequencies: Mapping[str, int], passages: int, mean_length: float) -> None:
        self.frequencies = frequencies
        self._passages = passages
        self._mean_length = max(mean_length, 1e-9)
        self._weights = {term: self._weight(count) for term, count in frequencies.items()}
        self._information = {
            term: self._weight(min(count, passages), passages + VIRTUAL_PASSAGES)
            for term, count in frequencies.items()
        }
        self.max_bm25 = (K1 + 1) * math.fsum(self._weights.values())
        self._coverages: dict[AbstractSet[str], float] = {}

    def _weight(self, frequency: int, passages: int | None = None) -> float:
        """Return ln(1 + (N - n + 0.5) / (n + 0.5)), the weight of a term in BM25."""
        count = self._passages if passages is None else passages
        return math.log1p((count - frequency + 0.5) / (frequency + 0.5))

    def bm25(self, counts: Mapping[str, int], length: int) -> float:
        """Return the BM25 score of a passage.

        Args:
            counts: Occurrences of each term of the query that the passage contains.
            length: Number of terms of the passage.
        """
        norm = K1 * (1 - B + B * length / self._mean_length)
        weights = self._weights
        return math.fsum(
            weights[term] * count * (K1 + 1) / (count + norm) for term, count in counts.items()
        )

    def coverage(self, matched: AbstractSet[str]) -> float:
        """Return the share of the query's information that matched terms have, in 0 … 1.

        A term of nearly all passages has no information. `PRIOR_INFORMATION` is added to the
        query's information, so that terms of many passages alone cover little.
        """
        coverage = self._coverages.get(matched)
        if coverage is None:
            total = math.fsum(self._information.values()) + PRIOR_INFORMATION
            coverage = math.fsum(self._information[term] for term in matched) / total
            self._coverages[matched] = coverage
        return coverage

    def max_coverage(self) -> float:
        """Return the coverage of a passage with all terms that occur in any passage."""
        return self.coverage(frozenset(term for term, n in self.frequencies.items() if n))

    def rare_terms(self, max_share: float, max_passages: int) -> Sequence[str]:
        """Return the terms by which passages are found, the rarest first.

        Terms of more than `max_share` of the passages, and of more than `max_passages`, are left
        out where rarer ones exist: they only slow a search.
        """
        existing = sorted((n, term) for term, n in self.frequencies.items() if n)
        limit = max(max_passages, max_share * self._passages)
        rare = [term for n, term in existing if n <= limit]
        return rare or [term for _, term in existing]
