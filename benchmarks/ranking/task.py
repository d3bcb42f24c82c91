"""One task of a ranking suite: who asks, what should be found, and what came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.ranking.chance import (
    chance_average_precision,
    chance_mean_rank,
    chance_median_rank,
    chance_of_success,
)
from benchmarks.ranking.rows import Rows, best_scores
from benchmarks.results.outcome import Answers, Outcome, QueryValues, RankedAnswer
from benchmarks.results.tables import Result
from indexes.scoring import best_columns
from retrieval.evaluation.ranking import RankingMetrics

KS: Final = (1, 5, 10)
ANSWERS: Final = 100
"""Items kept of every exact answer."""

HITS: Final = max(KS)
"""Hits asked of an index: as many as its figures look at."""

SEARCHES: Final = 256
"""Searches whose scores are held at once, one number an item."""

Found = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Scores and positions of the items that one query found, best first."""


@dataclass(frozen=True, slots=True)
class Task:
    """Queries over a gallery.

    Attributes:
        name: Who asks for what, as `text to image`.
        query_ids: One for each query.
        queries: What they say.
        items: Names of the gallery.
        relevant: For each query the positions in `items` of those it should find.
        files: Where items lie.
        with_map: Print mAP@10 as well.
        variant: Further words of its title, as `index`.
        published: What the literature reports, by name and metric.
    """

    suite: str
    name: str
    query_ids: Sequence[str]
    queries: Sequence[str]
    items: Sequence[str]
    relevant: Sequence[Sequence[int]]
    files: Mapping[str, Path] = field(default_factory=dict)
    with_map: bool = False
    variant: tuple[str, ...] = ()
    published: Mapping[tuple[str, str], float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The task of its rows."""
        return ", ".join((self.name, *self.variant))

    def answered(self) -> list[int]:
        """Positions of the items that some query should find; others only stand in the way."""
        return sorted({position for positions in self.relevant for position in positions})

    def turned(self) -> Task:
        """The `answered` items ask, and should find the queries that find them."""
        asked: dict[int, list[int]] = {position: [] for position in self.answered()}
        for query, positions in enumerate(self.relevant):
            for position in positions:
                asked[position].append(query)
        ids = [self.items[position] for position in asked]
        name = " to ".join(reversed(self.name.split(" to ")))
        return replace(
            self, name=name, query_ids=ids, queries=ids, items=self.query_ids,
            relevant=list(asked.values()), files={},
        )  # fmt: skip


def rank_exactly(task: Task, asked: Rows, gallery: Rows) -> Outcome:
    """Score every query with every item."""
    metrics = RankingMetrics(KS)
    found: list[Found] = []
    positions = np.arange(len(gallery))
    for first, block in asked.blocks(len(gallery.vectors)):
        scores = best_scores(block, gallery)
        metrics.add(scores, task.relevant[first : first + len(block)])
        kept = min(ANSWERS, len(gallery))
        best = best_columns(scores, np.broadcast_to(positions, scores.shape), kept)
        found += zip(*best, strict=True)
    return _outcome(task, metrics, found, all_ranks=True)


def rank_by_search(task: Task, search: Callable[[str], Found]) -> Outcome:
    """Ask every query; what is not among the hits is counted as the last of the gallery."""
    metrics = RankingMetrics(KS)
    found = []
    for first in range(0, len(task.queries), SEARCHES):
        block = slice(first, first + SEARCHES)
        answers = [search(query) for query in task.queries[block]]
        scores = np.full((len(answers), len(task.items)), -np.inf, np.float32)
        for row, (hit_scores, positions) in zip(scores, answers, strict=True):
            row[positions] = hit_scores
        metrics.add(scores, task.relevant[block])
        found += answers
    return _outcome(task, metrics, found, all_ranks=False)


def _outcome(
    task: Task, metrics: RankingMetrics, found: Sequence[Found], *, all_ranks: bool
) -> Outcome:
    summary, chances = metrics.summary(), _chances(task)
    names = [f"R@{k}" for k in KS]
    names += ["median rank", "mean rank"] if all_ranks else []
    names += ["mAP@10"] if task.with_map else []
    results = [
        Result(
            task.suite, task.title, name, summary[name], chance=chances[name],
            published=task.published.get((task.name, name)), pool=len(task.items),
        )
        for name in names
    ]  # fmt: skip
    values = {name: column.tolist() for name, column in metrics.per_query.items() if name in names}
    return Outcome(
        results,
        [QueryValues(task.suite, task.title, task.query_ids, values)],
        [Answers(task.suite, task.title, _answers(task, found), task.files)],
    )


def _answers(task: Task, found: Sequence[Found]) -> list[RankedAnswer]:
    return [
        RankedAnswer(
            query_id,
            query,
            [task.items[position] for position in positions.tolist()],
            scores.tolist(),
            [task.items[position] for position in relevant],
        )
        for query_id, query, relevant, (scores, positions) in zip(
            task.query_ids, task.queries, task.relevant, found, strict=True
        )
    ]


def _chances(task: Task) -> dict[str, float]:
    relevant, items = [len(positions) for positions in task.relevant], len(task.items)
    return {
        **{f"R@{k}": chance_of_success(relevant, items, k) for k in KS},
        "median rank": chance_median_rank(relevant, items),
        "mean rank": chance_mean_rank(relevant, items),
        "mAP@10": chance_average_precision(relevant, items, 10),
    }
