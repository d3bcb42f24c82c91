"""Compares vectors, texts and their fusions on queries that find moments in all videos."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.hybrid.comparison import DEPTH, Comparison, Group, Method, answers_of_methods
from benchmarks.hybrid.rank_fusion import fuse_moment_ranks
from benchmarks.moments.scoring import IN_CORPUS, MomentTask, score_in_corpus
from benchmarks.moments.suite import TimedQuery
from benchmarks.results.outcome import Outcome, VideoMoment
from retrieval.progress import Progress, no_progress
from retrieval.targets import TextMode


@dataclass(frozen=True, slots=True)
class HybridMoments:
    """Queries whose moments are found in all videos.

    Attributes:
        queries: Queries by group.
        pool: Number of videos.
        localizer: Name of the localizer in results.
        metrics: The metrics of `score_in_corpus` to report; empty: all.
        files: File of each video.
    """

    suite: str
    queries: Mapping[Group, Sequence[TimedQuery]]
    pool: int
    localizer: str
    metrics: Sequence[str] = ()
    files: Mapping[str, Path] = field(default_factory=dict)

    def measure(
        self,
        search: Callable[[str, TextMode], Sequence[VideoMoment]],
        progress: Progress = no_progress,
    ) -> Outcome:
        """Answer every query by every method, and compare the methods in each group.

        Args:
            search: Returns the moments that a query finds, best first.
            progress: Receives the number of answered queries.
        """
        outcomes = []
        for group, queries in self.queries.items():
            if queries:
                texts = [query.query for query in queries]
                answers = answers_of_methods(texts, search, fuse_moment_ranks, progress)
                outcomes.append(self._outcome(group, queries, answers))
        return Outcome.merged(outcomes)

    def _outcome(
        self,
        group: Group,
        queries: Sequence[TimedQuery],
        answers: Mapping[Method, Sequence[Sequence[VideoMoment]]],
    ) -> Outcome:
        ids = [query.query_id for query in queries]
        comparison = Comparison(
            self.suite, f"{IN_CORPUS}, {self.localizer}", group, ids, self.pool, {}
        )
        outcome = comparison.outcome({
            method: self._values(queries, moments) for method, moments in answers.items()
        })  # fmt: skip
        ours = answers[Method.OURS]
        title = comparison.title(Method.OURS)
        task = MomentTask(self.suite, title, queries, self.pool, files=self.files)
        return Outcome(outcome.results, outcome.queries, task.outcome({}, ours).answers)

    def _values(
        self, queries: Sequence[TimedQuery], answers: Sequence[Sequence[VideoMoment]]
    ) -> Mapping[str, Sequence[float]]:
        values = score_in_corpus(queries, [moments[:DEPTH] for moments in answers])
        return {metric: values[metric] for metric in self.metrics or values}


def grouped(
    queries: Iterable[TimedQuery], groups: Mapping[str, Group]
) -> dict[Group, list[TimedQuery]]:
    """Group queries by what can answer them; queries without a group are left out."""
    result: dict[Group, list[TimedQuery]] = {group: [] for group in Group}
    for query in queries:
        if query.query_id in groups:
            result[groups[query.query_id]].append(query)
    return result
