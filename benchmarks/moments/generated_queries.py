"""Searches a collection for generated moments, and scores them in the true item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.results.outcome import Result
from retrieval.collection import Collection
from retrieval.evaluation.blind import best_constant_window
from retrieval.evaluation.moments import recall_at_1
from retrieval.localization.spans import Span
from retrieval.search.searcher import SearchResult
from retrieval.targets import Target, TextMode

MAX_MOMENTS: Final = 100
"""Number of moments per search, enough for ten different videos."""

OVERLAPS: Final = (0.5, 0.7)


@dataclass(frozen=True, slots=True)
class CaptionedMoment:
    """A caption and the only moment that it describes."""

    file: str
    caption: str
    span: Span
    duration_seconds: float


def search_moments(
    collection: Collection,
    query: CaptionedMoment,
    medium: Target,
    *,
    in_true_item: bool = False,
    k: int = MAX_MOMENTS,
) -> SearchResult:
    """Search the moments of a medium in all items or in the true item."""
    name = query.file.replace("'", "''")
    where = f"uri LIKE '%/{name}'" if in_true_item else None
    return collection.answer(
        query.caption, to=[medium, Target.MOMENT], k=k, where=where, text=TextMode.OFF
    )


@dataclass(frozen=True, slots=True)
class TrueItemTask:
    """A task that finds moments in the true item.

    Attributes:
        suite: Name of the suite in results.
        name: Name of the task in results.
        queries: The queries.
        medium: `video` or `music`.
        goals: Goals by overlap.
    """

    suite: str
    name: str
    queries: Sequence[CaptionedMoment]
    medium: Target
    goals: Mapping[float, float] = field(default_factory=dict)

    def measure(self, collection: Collection) -> list[Result]:
        """Compute R1@0.5 and R1@0.7 of the best moment, with the constant window as baseline."""
        spans = [
            _best_span(search_moments(collection, query, self.medium, in_true_item=True), query)
            for query in self.queries
        ]
        return recall_results(self, spans)


def recall_results(task: TrueItemTask, spans: Sequence[Span | None]) -> list[Result]:
    """Compute R1@0.5 and R1@0.7 of one span per query, with the constant window as baseline."""
    truth = [query.span for query in task.queries]
    durations = [query.duration_seconds for query in task.queries]
    results = []
    for iou in OVERLAPS:
        _, blind = best_constant_window([[span] for span in truth], durations, iou)
        results.append(
            Result(
                task.suite, task.name, f"R1@{iou}", recall_at_1(spans, truth, iou),
                task.goals.get(iou), baseline=blind, pool=len(task.queries),
            )
        )  # fmt: skip
    return results


def _best_span(result: SearchResult, query: CaptionedMoment) -> Span | None:
    for hit in result.hits:
        if (
            hit.uri.endswith(query.file)
            and hit.start_seconds is not None
            and hit.end_seconds is not None
        ):
            return hit.start_seconds, hit.end_seconds
    return None
