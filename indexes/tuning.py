"""How hard an approximate index must look to keep its recall, by every kind of query.

Text and media lie apart in a cross-modal space, so that an index finds the neighbours of one kind
more easily than of the other: recall is measured for each, and a target holds for the least.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.effort import Effort
from indexes.faiss import FaissIndex
from indexes.protocol import VectorIndex
from indexes.vectors import unit_queries

NEIGHBOURS = (1, 10, 100)
"""Depths at which recall is told; a target is meant at ten."""

CANDIDATES = (10, 20, 50, 100, 200, 400, 800, 1_600)
SAME_SCORE = 1e-5
"""Equal vectors may differ so much in score, by the order of adding up."""

SETTLED = 0.002
"""Further candidates that add less recall than this are not worth their time."""

LATE = 2
"""After so many efforts that reach the target, none that looks at more will be faster."""

TIMED_QUERIES = 32


@dataclass(frozen=True, slots=True)
class QuerySample:
    """Queries with the answers that exact search gives them.

    Attributes:
        vectors: (n, dim) float32.
        truth: (n, 100) scores of the best rows, best first, -inf where there are no more.
        own_rows: (n,) row that a query was taken from and that does not count; -1 for none.
    """

    vectors: NDArray[np.float32]
    truth: NDArray[np.float32]
    own_rows: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        index: FaissIndex,
        vectors: NDArray[np.float32],
        own_rows: NDArray[np.int64] | None = None,
    ) -> QuerySample:
        """Ask the index exactly."""
        own = np.full(len(vectors), -1, np.int64) if own_rows is None else own_rows
        unit = unit_queries(vectors, index.dim)  # rows of float16 are not quite of unit length
        scores, ids = index.search(unit, NEIGHBOURS[-1] + 1, exact=True)
        left = np.where(ids == own[:, None], np.float32(-np.inf), scores)
        return cls(unit, -np.sort(-left, axis=1)[:, :-1], own)

    def hits(
        self, scores: NDArray[np.float32], ids: NDArray[np.int64], k: int
    ) -> NDArray[np.bool_]:
        """Which of some answers are among the k best: by score, so any of equal rows will do."""
        least = self.truth[:, k - 1 : k]
        there = np.isfinite(self.truth[:, :k]).any(axis=1, keepdims=True)
        bound = np.where(np.isfinite(least), least - SAME_SCORE, -np.inf)
        others = (ids >= 0) & (ids != self.own_rows[:, None])
        found: NDArray[np.bool_] = others & (scores >= bound) & there
        return found

    def wanted(self, k: int) -> NDArray[np.int64]:
        """(n,) how many answers there are among the k best; fewer than k in a small index."""
        found: NDArray[np.int64] = np.isfinite(self.truth[:, :k]).sum(axis=1)
        return found


@dataclass(frozen=True, slots=True)
class Point:
    """What one effort costs and brings.

    Attributes:
        effort: It; None for exact search.
        recall: Recall@10 by kind of query.
        queries_per_second: Of text queries, asked one after the other.
    """

    effort: Effort | None
    recall: Mapping[str, float]
    queries_per_second: float

    @property
    def least(self) -> float:
        """Recall of the kind of query that is hardest."""
        return min(self.recall.values())


@dataclass(frozen=True, slots=True)
class Tuning:
    """Efforts that were tried, by what they visit, and the fastest that reaches the target.

    Where none does, `best` is the one of the highest recall and `reached` is False.
    """

    points: tuple[Point, ...]
    best: Point
    reached: bool


def recall(index: FaissIndex, sample: QuerySample, k: int) -> float:
    """Share of the k exact neighbours that the index finds; 1 where there are none."""
    if not index.approximate:
        return 1.0
    hits = sample.hits(*index.search(sample.vectors, k + 1), k).sum(axis=1)
    return _share(np.minimum(hits, k), sample.wanted(k)).mean


def tune(
    index: FaissIndex,
    samples: Mapping[str, QuerySample],
    target: float,
    *,
    step: float = 2**0.5,
    curve: bool = False,
    growth: float = 1.0,
    worth: float = 0.0,
    place: Callable[[FaissIndex], VectorIndex] = lambda index: index,
) -> Tuning:
    """Find the fastest effort whose recall@10 reaches a target for every kind of query.

    A kind reaches it where its recall lies a standard error above: other queries are not these.

    Args:
        index: Without an approximate part it is searched exactly.
        samples: Queries by kind, one at least.
        target: Recall@10, 0 … 1.
        step: How much more each effort visits than the one before.
        curve: Try every effort up to the target; else the first that reaches it is looked for by
            halves, since more is never found by visiting less.
        growth: How many times the rows there will be; candidates grow with the square root.
        worth: With a curve: queries a second at which an index that still misses the target is
            given up, since whatever finds more is slower.
        place: Puts an index where it is timed, a GPU for example.
    """
    if not index.approximate:
        exact = Point(None, dict.fromkeys(samples, 1.0), _speed(index, samples))
        return Tuning((exact,), exact, reached=True)
    ladder = _ladder(index, step)
    most = CANDIDATES[-1] / growth**0.5
    counts = [count for count in CANDIDATES if count <= most] or CANDIDATES[:1]
    trial = _Trial(index, samples, target, counts, place)
    tried: dict[int, tuple[Point, bool]] = {}

    def reaches(visited: int) -> bool:
        if visited not in tried:
            tried[visited] = trial.visiting(visited)
        return tried[visited][1]

    def ends(visited: int) -> bool:
        return reaches(visited) or tried[visited][0].queries_per_second < worth

    if curve:
        first = next((n for n, visited in enumerate(ladder) if ends(visited)), len(ladder))
    else:
        first = bisect_left(ladder, True, key=reaches)
    if not curve or first == len(ladder) or reaches(ladder[first]):
        for visited in ladder[first : first + LATE] or ladder[-1:]:
            reaches(visited)
    points = [tried[visited][0] for visited in sorted(tried)]
    reached = [point for point, good in tried.values() if good]
    best = max(reached, key=lambda one: one.queries_per_second) if reached else (
        max(points, key=lambda one: one.least)
    )  # fmt: skip
    return Tuning(tuple(points), best, bool(reached))


def latencies(index: FaissIndex, queries: NDArray[np.float32], at_once: int) -> tuple[float, float]:
    """Milliseconds of a search for ten answers: the median and the 99th percentile.

    Args:
        index: Searched as it is.
        queries: (n, dim).
        at_once: Queries of one search.
    """
    took = []
    for first in range(0, len(queries) - at_once + 1, at_once):
        began = time.perf_counter()
        index.search(queries[first : first + at_once], 10)
        took.append((time.perf_counter() - began) * 1e3)
    return float(np.median(took)), float(np.percentile(took, 99))


# ---------------------------------------------------------------- parts


@dataclass(frozen=True, slots=True)
class _Share:
    """Mean recall of a sample, and what it is at least, by a standard error."""

    mean: float
    at_least: float


def _share(found: NDArray[np.integer], wanted: NDArray[np.int64]) -> _Share:
    asked = wanted > 0
    if not asked.any():
        return _Share(1.0, 1.0)
    each = np.minimum(found[asked] / wanted[asked], 1.0)
    mean = float(each.mean())
    return _Share(mean, mean - float(each.std()) / len(each) ** 0.5)


@dataclass(frozen=True, slots=True)
class _Trial:
    """What is tuned, on what, to what; see `tune`."""

    index: FaissIndex
    samples: Mapping[str, QuerySample]
    target: float
    counts: Sequence[int]
    place: Callable[[FaissIndex], VectorIndex]

    def visiting(self, visited: int) -> tuple[Point, bool]:
        """What it costs and brings, with as few candidates as the target needs; if it reaches."""
        shares = {kind: self._shares(sample, visited) for kind, sample in self.samples.items()}
        number, good = _fewest(list(shares.values()), self.target)
        effort = Effort(visited, self.counts[number])
        found = {kind: line[number].mean for kind, line in shares.items()}
        placed = self.place(self.index.with_effort(effort))
        return Point(effort, found, _speed(placed, self.samples)), good

    def _shares(self, sample: QuerySample, visited: int) -> list[_Share]:
        """Recall@10 after re-ranking each number of candidates.

        The proposals for the greatest number hold those for all smaller ones, in their order.
        """
        index = self.index
        own = int((sample.own_rows >= 0).any())  # a query's own row takes a candidate's place
        ids = index.propose(sample.vectors, min(self.counts[-1] + own, index.rows), visited)
        found = sample.hits(index.score(sample.vectors, ids), ids, 10).cumsum(axis=1)
        last = found.shape[1] - 1
        wanted = sample.wanted(10)
        return [_share(found[:, min(count - 1 + own, last)], wanted) for count in self.counts]


def _fewest(lines: Sequence[Sequence[_Share]], target: float) -> tuple[int, bool]:
    """Position of the fewest candidates that reach the target, and whether they do.

    Where none do: the fewest beyond which recall hardly grows.

    Args:
        lines: Of every kind of query, what each number of candidates finds.
        target: Recall@10.
    """
    numbers = range(len(lines[0]))
    for number in numbers:
        if all(line[number].at_least >= target or line[number].mean == 1 for line in lines):
            return number, True
    settled = (
        number
        for number in numbers
        if all(line[number].mean >= line[-1].mean - SETTLED for line in lines)
    )
    return next(settled), False


def _ladder(index: FaissIndex, step: float) -> list[int]:
    """What to visit, growing by a factor."""
    least, most = (max(1, index.lists // 64), index.lists) if index.lists else (16, 2_048)
    steps = int(np.ceil(np.log(max(1.0, most / least)) / np.log(step))) + 1
    return sorted({min(most, round(least * step**number)) for number in range(steps)})


def _speed(index: VectorIndex, samples: Mapping[str, QuerySample]) -> float:
    """Queries a second of the first sample, the better of two runs.

    One at a time, as people ask: together, fast scans share their work, and many candidates cost
    less than they do alone.
    """
    queries = next(iter(samples.values())).vectors[:TIMED_QUERIES]
    took = []
    for _ in range(2):
        began = time.perf_counter()
        for query in queries:
            index.search(query[None], 10)
        took.append(time.perf_counter() - began)
    return len(queries) / max(min(took), 1e-9)
