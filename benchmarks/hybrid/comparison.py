"""The rows that compare four methods on the same queries, with paired bootstrap intervals.

| method | answers |
| --- | --- |
| vectors only | the search without words |
| text only | the search of words alone |
| reciprocal rank fusion | both rankings, fused by their ranks |
| ours | the search of a user, which uses vectors and words |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

import numpy as np

from benchmarks.results.outcome import Outcome, QueryValues, Result
from retrieval.evaluation.bootstrap import paired_interval
from retrieval.progress import Progress, no_progress
from retrieval.targets import TextMode

DEPTH: Final = 100
"""Answers per search. Rank fusion reads all of them."""


class Method(StrEnum):
    """A way to answer a query; the value is its name in results."""

    VECTORS = "vectors only"
    TEXT = "text only"
    RANKS = "reciprocal rank fusion"
    OURS = "ours"


class Group(StrEnum):
    """Queries by what can answer them; the value is the name in results."""

    VECTORS = "only vectors can answer"
    MISLED = "only vectors can answer, other items have its words"
    WORDS = "only words can answer"
    BOTH = "both can answer"


GOALS: Final = {
    (Group.VECTORS, Method.VECTORS): 0.0,
    (Group.WORDS, Method.TEXT): 0.0,
}
"""Goals of the difference between ours and a method. A difference within noise reaches 0."""

Answers = TypeVar("Answers")

Values = Mapping[str, Sequence[float]]
"""For each metric one number per query."""


def answers_of_methods(
    queries: Sequence[str],
    search: Callable[[str, TextMode], Sequence[Answers]],
    fuse: Callable[[Sequence[Sequence[Answers]]], Sequence[Answers]],
    progress: Progress = no_progress,
) -> dict[Method, list[Sequence[Answers]]]:
    """Answer every query by every method.

    Args:
        queries: Texts.
        search: Returns the answers of a query, best first.
        fuse: Fuses the rankings of vectors and of words.
        progress: Receives the number of answered queries.
    """
    answers: dict[Method, list[Sequence[Answers]]] = {method: [] for method in Method}
    for done, query in enumerate(queries):
        progress("comparing vectors and texts", done, len(queries))
        vectors, words = search(query, TextMode.OFF), search(query, TextMode.ONLY)
        answers[Method.VECTORS].append(vectors)
        answers[Method.TEXT].append(words)
        answers[Method.RANKS].append(fuse([vectors, words]))
        answers[Method.OURS].append(search(query, TextMode.AUTO))
    progress("comparing vectors and texts", len(queries), len(queries))
    return answers


@dataclass(frozen=True, slots=True)
class Comparison:
    """One task and group of queries.

    Attributes:
        task: Name of the task in results.
        ids: Ids of the queries.
        pool: Number of searched items.
        chance: Figures of guessing by metric.
    """

    suite: str
    task: str
    group: Group
    ids: Sequence[str]
    pool: int
    chance: Mapping[str, float]

    def title(self, method: str) -> str:
        """Name of the task of a method in results."""
        return f"{self.task}, {self.group}: {method}"

    def outcome(self, values: Mapping[Method, Values]) -> Outcome:
        """Build the rows of every method, and those of the differences."""
        results = [
            Result(
                self.suite, self.title(method), metric, float(np.mean(column)),
                chance=self.chance.get(metric), pool=self.pool,
            )
            for method, columns in values.items()
            for metric, column in columns.items()
        ]  # fmt: skip
        for method in (Method.VECTORS, Method.TEXT):
            results += self._differences(method, values)
        return Outcome(
            results,
            [
                QueryValues(self.suite, self.title(method), self.ids, columns)
                for method, columns in values.items()
            ],
        )

    def _differences(self, method: Method, values: Mapping[Method, Values]) -> Iterator[Result]:
        for metric, ours in values[Method.OURS].items():
            theirs = values[method][metric]
            low, high = paired_interval(theirs, ours)
            yield Result(
                self.suite, self.title(f"{Method.OURS} minus {method}"), metric,
                float(np.mean(ours) - np.mean(theirs)), GOALS.get((self.group, method)),
                pool=self.pool, low=low, high=high,
            )  # fmt: skip
