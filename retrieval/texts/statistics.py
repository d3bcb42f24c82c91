"""The counts of texts that scores depend on. Those of several collections are added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from retrieval.texts.calibration import TextCalibration
from retrieval.texts.scoring import TermScores


@dataclass(frozen=True, slots=True)
class TextStatistics:
    """Counts of all texts for the terms of one query.

    Attributes:
        frequencies: By term of the query, the number of passages that contain it.
        passages: Number of all passages.
        length: Number of terms of all passages.
        calibration: Statistics of unrelated queries.
    """

    frequencies: Mapping[str, int]
    passages: int
    length: int
    calibration: TextCalibration

    @classmethod
    def pool(
        cls, statistics: Iterable[TextStatistics], calibration: TextCalibration
    ) -> TextStatistics:
        """Add the counts of several collections."""
        frequencies: Counter[str] = Counter()
        passages = length = 0
        for each in statistics:
            for term, count in each.frequencies.items():
                frequencies[term] += count
            passages += each.passages
            length += each.length
        return cls(dict(frequencies), passages, length, calibration)

    def scores(self, terms: Iterable[str]) -> TermScores:
        """Return the scores of a query of some of the terms."""
        frequencies = {term: self.frequencies[term] for term in terms}
        return TermScores(frequencies, self.passages, self.length / max(1, self.passages))
