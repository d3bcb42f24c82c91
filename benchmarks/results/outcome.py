"""The outcome of a suite: its figures, the values of each query, and the ranked answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from retrieval.localization.spans import Span, overlap

VideoMoment = tuple[str, float, float, float]
"""Video, start and end in seconds, score."""


@dataclass(frozen=True, slots=True)
class Result:
    """One figure of one suite. Unknown values are None.

    Attributes:
        goal: The value to reach.
        baseline: The value of a simple method on the same data.
        chance: The expected value of guessing.
        published: The value that the literature reports.
        pool: Number of items in the gallery, or number of queries.
        spread: Interquartile range of repeated measurements; `value` is their median.
        low: Lower end of the 95 % bootstrap interval of `value`.
        high: Upper end.
    """

    suite: str
    task: str
    metric: str
    value: float | None = None
    goal: float | None = None
    baseline: float | None = None
    chance: float | None = None
    published: float | None = None
    pool: int | None = None
    spread: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class QueryValues:
    """The values of each query of one task, by which two runs are compared query by query.

    Attributes:
        ids: The queries.
        values: For each metric one number per query. Their mean is the value of the `Result`
            with the same metric.
    """

    suite: str
    task: str
    ids: Sequence[str]
    values: Mapping[str, Sequence[float]]

    @classmethod
    def of_ranks(
        cls, suite: str, task: str, ids: Sequence[str], ranks: Sequence[int], *depths: int
    ) -> QueryValues:
        """Compute R@k of each query from the rank of its first relevant item."""
        return cls(
            suite, task, ids, {f"R@{k}": [float(rank <= k) for rank in ranks] for k in depths}
        )


@dataclass(frozen=True, slots=True)
class RankedAnswer:
    """The ranked items of a query, best first, and its relevant items."""

    query_id: str
    query: str
    items: Sequence[str]
    scores: Sequence[float]
    relevant: Sequence[str]

    @property
    def first_relevant_rank(self) -> int | None:
        """Rank of the first relevant item, from 1; None if no relevant item was ranked."""
        relevant = set(self.relevant)
        return next((n for n, item in enumerate(self.items, 1) if item in relevant), None)


@dataclass(frozen=True, slots=True)
class MomentAnswer:
    """The moments of a query, best first, and the true windows."""

    query_id: str
    query: str
    video: str
    windows: Sequence[Span]
    duration_seconds: float
    moments: Sequence[VideoMoment]

    @property
    def overlaps(self) -> list[float]:
        """Highest IoU of each moment with a true window; 0 for moments of other videos."""
        return [
            max((overlap((start, end), window) for window in self.windows), default=0.0)
            if video == self.video
            else 0.0
            for video, start, end, _ in self.moments
        ]

    @property
    def first_overlap(self) -> float:
        """IoU of the best moment; 0 without moments."""
        return self.overlaps[0] if self.moments else 0.0


@dataclass(frozen=True, slots=True)
class Answers:
    """All answers of one task.

    Attributes:
        files: File of each item, for thumbnails. Items without a file may be missing.
    """

    suite: str
    task: str
    answers: Sequence[RankedAnswer] | Sequence[MomentAnswer]
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that one run of a suite measured."""

    results: Sequence[Result] = ()
    queries: Sequence[QueryValues] = ()
    answers: Sequence[Answers] = ()

    @classmethod
    def merged(cls, parts: Iterable[Outcome]) -> Outcome:
        """Concatenate outcomes."""
        parts = list(parts)
        return cls(
            [result for part in parts for result in part.results],
            [values for part in parts for values in part.queries],
            [answers for part in parts for answers in part.answers],
        )
