"""Scores one task of a ranking suite: exactly, or by the hits of searches."""

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
from benchmarks.ranking.item_vectors import ItemVectors, best_scores
from benchmarks.results.outcome import Answers, Outcome, QueryValues, RankedAnswer, Result
from indexes.scoring import best_columns
from retrieval.evaluation.ranking import RankingMetrics

KS: Final = (1, 5, 10)
MAX_ANSWERS: Final = 100
"""Number of items that an exact answer keeps."""

MAX_HITS: Final = max(KS)
"""Number of hits per search of an index, as many as its metrics read."""

SEARCHES_PER_BLOCK: Final = 256
"""Number of searches whose scores, one per item, are in memory."""

Ranking = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Scores and gallery positions of the items that one query found, best first."""


@dataclass(frozen=True, slots=True)
class RankingTask:
    """Queries that rank a gallery.

    Attributes:
        name: Both sides, such as `text to image`.
        query_ids: Ids of the queries.
        queries: Texts of the queries.
        items: Names of the gallery's items.
        relevant: For each query the positions of its relevant items in `items`.
        files: File of each item.
        reports_map: Also report mAP@10.
        variant: Further parts of the title, such as `index`.
        published: Published figures by task name and metric.
    """

    suite: str
    name: str
    query_ids: Sequence[str]
    queries: Sequence[str]
    items: Sequence[str]
    relevant: Sequence[Sequence[int]]
    files: Mapping[str, Path] = field(default_factory=dict)
    reports_map: bool = False
    variant: tuple[str, ...] = ()
    published: Mapping[tuple[str, str], float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Name of the task in results."""
        return ", ".join((self.name, *self.variant))

    def relevant_items(self) -> list[int]:
        """Positions of the items that are relevant to some query. Others are distractors."""
        return sorted({position for positions in self.relevant for position in positions})

    def reversed(self) -> RankingTask:
        """Build the task in which `relevant_items` are the queries and queries the gallery."""
        queries_of: dict[int, list[int]] = {position: [] for position in self.relevant_items()}
        for query, positions in enumerate(self.relevant):
            for position in positions:
                queries_of[position].append(query)
        ids = [self.items[position] for position in queries_of]
        name = " to ".join(reversed(self.name.split(" to ")))
        return replace(
            self, name=name, query_ids=ids, queries=ids, items=self.query_ids,
            relevant=list(queries_of.values()), files={},
        )  # fmt: skip


def rank_exactly(task: RankingTask, queries: ItemVectors, gallery: ItemVectors) -> Outcome:
    """Score every query with every item."""
    metrics = RankingMetrics(KS)
    rankings: list[Ranking] = []
    positions = np.arange(len(gallery))
    for first, block in queries.blocks(len(gallery.vectors)):
        scores = best_scores(block, gallery)
        metrics.add(scores, task.relevant[first : first + len(block)])
        count = min(MAX_ANSWERS, len(gallery))
        best = best_columns(scores, np.broadcast_to(positions, scores.shape), count)
        rankings += zip(*best, strict=True)
    return _outcome(task, metrics, rankings, all_ranks=True)


def rank_by_search(task: RankingTask, search: Callable[[str], Ranking]) -> Outcome:
    """Run every query; relevant items that are no hits count as last in the gallery."""
    metrics = RankingMetrics(KS)
    rankings = []
    for first in range(0, len(task.queries), SEARCHES_PER_BLOCK):
        block = slice(first, first + SEARCHES_PER_BLOCK)
        answers = [search(query) for query in task.queries[block]]
        scores = np.full((len(answers), len(task.items)), -np.inf, np.float32)
        for row, (hit_scores, positions) in zip(scores, answers, strict=True):
            row[positions] = hit_scores
        metrics.add(scores, task.relevant[block])
        rankings += answers
    return _outcome(task, metrics, rankings, all_ranks=False)


def _outcome(
    task: RankingTask, metrics: RankingMetrics, rankings: Sequence[Ranking], *, all_ranks: bool
) -> Outcome:
    summary, chances = metrics.summary(), _chances(task)
    names = [f"R@{k}" for k in KS]
    names += ["median rank", "mean rank"] if all_ranks else []
    names += ["mAP@10"] if task.reports_map else []
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
        [Answers(task.suite, task.title, _answers(task, rankings), task.files)],
    )


def _answers(task: RankingTask, rankings: Sequence[Ranking]) -> list[RankedAnswer]:
    return [
        RankedAnswer(
            query_id,
            query,
            [task.items[position] for position in positions.tolist()],
            scores.tolist(),
            [task.items[position] for position in relevant],
        )
        for query_id, query, relevant, (scores, positions) in zip(
            task.query_ids, task.queries, task.relevant, rankings, strict=True
        )
    ]


def _chances(task: RankingTask) -> dict[str, float]:
    relevant, items = [len(positions) for positions in task.relevant], len(task.items)
    return {
        **{f"R@{k}": chance_of_success(relevant, items, k) for k in KS},
        "median rank": chance_median_rank(relevant, items),
        "mean rank": chance_mean_rank(relevant, items),
        "mAP@10": chance_average_precision(relevant, items, 10),
    }
