"""Asks a collection for moments whose spans are known, as anybody would: through its search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.results.tables import Result
from retrieval.collection import Collection
from retrieval.evaluation.blind import best_constant_window
from retrieval.evaluation.moments import recall_at_1
from retrieval.localization.spans import Span
from retrieval.search.searcher import SearchResult
from retrieval.targets import Target

MOMENTS_ASKED: Final = 100
"""Deep enough for ten different videos."""

OVERLAPS: Final = (0.5, 0.7)


@dataclass(frozen=True, slots=True)
class Asked:
    """A caption and the moment of a file that it is true of, and of nothing else there."""

    file: str
    caption: str
    span: Span
    duration_seconds: float


def ask(
    collection: Collection,
    one: Asked,
    medium: Target,
    *,
    only_its_own: bool = False,
    k: int = MOMENTS_ASKED,
) -> SearchResult:
    """Search the moments of a medium, of all items or only of the true one."""
    where = f"uri LIKE '%/{one.file}'" if only_its_own else None
    return collection.answer(one.caption, to=[medium, Target.MOMENT], k=k, where=where)


def in_true_item(
    suite: str,
    collection: Collection,
    asked: Sequence[Asked],
    medium: Target,
    task: str,
    goals: Mapping[float, float],
) -> list[Result]:
    """R1@0.5 and R1@0.7 of the best moment of the true item, beside the blind window.

    Args:
        suite: Of the rows.
        collection: Opened with the localizer that is measured.
        asked: The queries.
        medium: `video` or `music`.
        task: Of the rows.
        goals: By overlap, where there is one.
    """
    found = [_best_span(ask(collection, one, medium, only_its_own=True), one.file) for one in asked]
    truth = [one.span for one in asked]
    durations = [one.duration_seconds for one in asked]
    results = []
    for iou in OVERLAPS:
        _, blind = best_constant_window([[span] for span in truth], durations, iou)
        value = recall_at_1(found, truth, iou)
        goal = goals.get(iou)
        results.append(
            Result(suite, task, f"R1@{iou}", value, goal, baseline=blind, pool=len(asked))
        )
    return results


def _best_span(result: SearchResult, file: str) -> Span | None:
    for hit in result.hits:
        if hit.uri.endswith(file) and hit.start_seconds is not None and hit.end_seconds is not None:
            return hit.start_seconds, hit.end_seconds
    return None
