"""What a suite hands back: its figures, what each query scored by itself, and its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.results.tables import Result
from retrieval.localization.spans import Span, overlap


@dataclass(frozen=True, slots=True)
class QueryValues:
    """What every query of one task scored by itself; `bench compare` pairs two runs by it.

    Attributes:
        ids: The queries.
        values: One number a query for each metric, named as in the `Result` whose value is
            their mean.
    """

    suite: str
    task: str
    ids: Sequence[str]
    values: Mapping[str, Sequence[float]]

    @classmethod
    def of_ranks(
        cls, suite: str, task: str, ids: Sequence[str], ranks: Sequence[int], *depths: int
    ) -> QueryValues:
        """R@k of every query, by the rank of its first right answer."""
        return cls(
            suite, task, ids, {f"R@{k}": [float(rank <= k) for rank in ranks] for k in depths}
        )


@dataclass(frozen=True, slots=True)
class RankedAnswer:
    """Items that a query found, best first, and those it should have found."""

    query_id: str
    query: str
    items: Sequence[str]
    scores: Sequence[float]
    relevant: Sequence[str]

    @property
    def first_relevant_rank(self) -> int | None:
        """1 is best; None where nothing relevant is among the items."""
        relevant = set(self.relevant)
        return next((n for n, item in enumerate(self.items, 1) if item in relevant), None)


@dataclass(frozen=True, slots=True)
class MomentAnswer:
    """Moments that a query found, best first: (video, start, end, score), and the true ones."""

    query_id: str
    query: str
    video: str
    windows: Sequence[Span]
    duration_seconds: float
    moments: Sequence[tuple[str, float, float, float]]

    @property
    def overlaps(self) -> list[float]:
        """IoU of each moment with the best of the true windows; 0 in another video."""
        return [
            max((overlap((start, end), window) for window in self.windows), default=0.0)
            if video == self.video
            else 0.0
            for video, start, end, _ in self.moments
        ]


@dataclass(frozen=True, slots=True)
class Answers:
    """All answers of one task.

    Attributes:
        files: Where an item lies, for its thumbnail; items without a file are left out.
    """

    suite: str
    task: str
    answers: Sequence[RankedAnswer] | Sequence[MomentAnswer]
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that one run of a suite measured."""

    results: Sequence[Result]
    queries: Sequence[QueryValues] = ()
    answers: Sequence[Answers] = ()

    @classmethod
    def of(cls, found: Outcome | Sequence[Result]) -> Outcome:
        """What a suite or a subject of speed handed back, some of which give figures alone."""
        return found if isinstance(found, Outcome) else cls(found)

    def joined(self, other: Outcome) -> Outcome:
        """Both, one after the other."""
        return Outcome(
            [*self.results, *other.results],
            [*self.queries, *other.queries],
            [*self.answers, *other.answers],
        )
