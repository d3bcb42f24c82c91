"""What a suite hands back: its figures, what each query scored by itself, and its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.report import Result
from retrieval.localization.spans import Span


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


@dataclass(frozen=True, slots=True)
class RankedAnswer:
    """Items that a query found, best first, and those it should have found."""

    query_id: str
    query: str
    items: Sequence[str]
    scores: Sequence[float]
    relevant: Sequence[str]


@dataclass(frozen=True, slots=True)
class MomentAnswer:
    """Moments that a query found, best first: (video, start, end, score), and the true ones."""

    query_id: str
    query: str
    video: str
    windows: Sequence[Span]
    duration_seconds: float
    moments: Sequence[tuple[str, float, float, float]]


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
