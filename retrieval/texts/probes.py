"""Unrelated queries whose best coverages calibrate text scores."""

from __future__ import annotations

from collections.abc import Sequence

from retrieval.encoders.probe_texts import PROBE_TEXTS
from retrieval.texts.matching import TextMatcher
from retrieval.texts.statistics import TextStatistics
from retrieval.texts.word_query import WordQuery

PROBES = tuple(WordQuery(text) for text in PROBE_TEXTS[::4])


def probe_statistics(matcher: TextMatcher) -> list[TextStatistics]:
    """Return the counts of each probe's terms."""
    return [matcher.statistics(matcher.terms(probe)) for probe in PROBES]


def probe_coverages(matcher: TextMatcher, statistics: Sequence[TextStatistics]) -> list[float]:
    """Return the best coverage of each probe; 0 without a match.

    Args:
        matcher: The texts.
        statistics: The counts of each probe, those of further collections included.
    """
    return [
        matcher.query(matcher.terms(probe), counts).best_coverage()
        for probe, counts in zip(PROBES, statistics, strict=True)
    ]
