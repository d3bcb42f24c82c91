"""Compares vectors, texts and their fusions on queries that rank items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.hybrid.comparison import DEPTH, Comparison, Group, Method, answers_of_methods
from benchmarks.hybrid.rank_fusion import fuse_ranks
from benchmarks.ranking.chance import chance_of_success
from benchmarks.results.outcome import Answers, Outcome, QueryValues, RankedAnswer
from retrieval.progress import Progress, no_progress
from retrieval.search.options import SearchOptions
from retrieval.search.query import Query
from retrieval.search.searcher import Searcher
from retrieval.targets import Target, TextMode

DEPTHS: Final = (1, 5, 10)
"""Default depths of R@k."""

MAX_DEPTH: Final = max(DEPTHS)


@dataclass(frozen=True, slots=True)
class HybridQuery:
    """A text query, its relevant items, and what can answer it."""

    query_id: str
    text: str
    relevant: tuple[str, ...]
    group: Group


@dataclass(frozen=True, slots=True)
class HybridTask:
    """Queries of one task, which rank the items of a pool.

    Attributes:
        name: Name of the task in results.
        pool: Number of items.
        depths: Depths of R@k.
        files: File of each item.
    """

    suite: str
    name: str
    queries: Sequence[HybridQuery]
    pool: int
    depths: Sequence[int] = DEPTHS
    files: Mapping[str, Path] = field(default_factory=dict)

    def measure(
        self,
        search: Callable[[str, TextMode], Sequence[str]],
        progress: Progress = no_progress,
    ) -> Outcome:
        """Answer every query by every method, and compare the methods in each group.

        Args:
            search: Returns the items that a query finds, best first.
            progress: Receives the number of answered queries.
        """
        outcomes = []
        for group in Group:
            queries = [query for query in self.queries if query.group is group]
            if queries:
                texts = [query.text for query in queries]
                answers = answers_of_methods(texts, search, _fuse, progress)
                outcomes.append(self._outcome(group, queries, answers))
        return Outcome.merged(outcomes)

    def _outcome(
        self,
        group: Group,
        queries: Sequence[HybridQuery],
        answers: Mapping[Method, Sequence[Sequence[str]]],
    ) -> Outcome:
        counts = [len(query.relevant) for query in queries]
        comparison = Comparison(
            self.suite, self.name, group, [query.query_id for query in queries], self.pool,
            {f"R@{k}": chance_of_success(counts, self.pool, k) for k in self.depths},
        )  # fmt: skip
        outcome = comparison.outcome({
            method: self._values(queries, ranked) for method, ranked in answers.items()
        })  # fmt: skip
        # Scores of vectors and of words do not compare, so the answers have those of their ranks.
        ranked = [
            RankedAnswer(
                query.query_id, query.text, items,
                [1 / rank for rank in range(1, len(items) + 1)], query.relevant,
            )
            for query, items in zip(queries, answers[Method.OURS], strict=True)
        ]  # fmt: skip
        title = comparison.title(Method.OURS)
        return Outcome(
            outcome.results, outcome.queries, [Answers(self.suite, title, ranked, self.files)]
        )

    def _values(
        self, queries: Sequence[HybridQuery], answers: Sequence[Sequence[str]]
    ) -> Mapping[str, Sequence[float]]:
        ranks = [
            first_rank(items, query.relevant) for query, items in zip(queries, answers, strict=True)
        ]
        ids = [query.query_id for query in queries]
        return QueryValues.of_ranks(self.suite, self.name, ids, ranks, *self.depths).values


def first_rank(items: Sequence[str], relevant: Iterable[str]) -> int:
    """Return the rank of the first relevant item; a rank beyond every depth if there is none."""
    wanted = set(relevant)
    return next((rank for rank, item in enumerate(items, 1) if item in wanted), 1 << 30)


def item_search(
    searcher: Searcher,
    names: Mapping[str, str],
    target: Target,
    spaces: Sequence[str],
    k: int = MAX_DEPTH,
) -> Callable[[str, TextMode], list[str]]:
    """Return a search of items by vectors, words or both.

    Args:
        searcher: Answers the queries.
        names: Items by uri.
        target: What to find.
        spaces: Names of the searched spaces.
        k: Number of hits of a search by both, as a user would ask for. The others return `DEPTH`
            hits, which rank fusion reads.
    """

    def search(text: str, mode: TextMode) -> list[str]:
        count = k if mode is TextMode.AUTO else DEPTH
        options = SearchOptions(to=[target], k=count, spaces=spaces, text=mode)
        return [names[hit.uri] for hit in searcher.search(Query.of_text(text), options).hits]

    return search


def _fuse(rankings: Sequence[Sequence[str]]) -> list[str]:
    return [item for item, _ in fuse_ranks(rankings)]
