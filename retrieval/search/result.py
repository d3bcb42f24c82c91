"""The result of one search: hits, the time of each stage, and members that did not answer."""

from __future__ import annotations

import time
from dataclasses import dataclass

from retrieval.search.hits import Hits


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Milliseconds of the stages of one search; `rerank` is None without a re-ranker.

    `filter` is near 0 for a condition that the searcher evaluated before. `text` finds matching
    texts; `localize` includes their fusion with vectors.
    """

    encode: float
    filter: float
    search: float
    localize: float
    rerank: float | None = None
    text: float = 0.0


class Stopwatch:
    """Measures consecutive intervals."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Milliseconds since the previous lap."""
        before, self._last = self._last, time.perf_counter()
        return (self._last - before) * 1e3


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hits of one query, best first.

    Attributes:
        query: The query.
        hits: The hits.
        took_ms: Milliseconds of the stages.
        hidden: Number of hits that the cut-off dropped.
        absent: Names of collections that did not answer.
    """

    query: str
    hits: Hits
    took_ms: StageTimes
    hidden: int = 0
    absent: tuple[str, ...] = ()
