"""Finds the search effort at which an approximate index reaches a recall for each kind of query.

In a cross-modal space, text and media vectors lie apart, and an index finds the neighbours of one
more easily than of the other. Recall is measured separately; the lowest must reach the target.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from indexes.effort import Effort
from indexes.faiss import FaissIndex
from indexes.protocol import Ids, Scores, VectorIndex
from indexes.vectors import unit_queries

NEIGHBOURS = (1, 10, 100)
"""Depths at which recall is reported; targets refer to a depth of ten."""

CANDIDATES = (10, 20, 30, 40, 50, 70, 100, 140, 200, 280, 400, 560, 800, 1_130, 1_600)
SCORE_TOLERANCE = 1e-5
"""Maximum difference between the float32 scores of equal vectors."""

MIN_RECALL_GAIN = 0.002
"""Smallest increase in recall that justifies more candidates."""

TIMED_EFFORTS = (0, 1, 2, 4, 6)
"""Efforts that are timed, by steps from the first one that reaches the target. More lists need
fewer candidates; still higher efforts are slower."""

TIMED_QUERIES, TIMED_REPEATS = 32, 3


@dataclass(frozen=True, slots=True)
class QuerySample:
    """Queries with the scores of their exact answers.

    Attributes:
        vectors: (n, dim) float32.
        truth: (n, 100) scores of the best rows, best first, padded with -inf.
        own_rows: (n,) the row that a query was taken from, which does not count; -1 for none.
    """

    vectors: NDArray[np.float32]
    truth: NDArray[np.float32]
    own_rows: NDArray[np.int64]

    @classmethod
    def measure(
        cls,
        index: FaissIndex,
        vectors: NDArray[np.float32],
        own_rows: NDArray[np.int64] | None = None,
    ) -> QuerySample:
        """Create a sample from the answers of an exact search."""
        own = np.full(len(vectors), -1, np.int64) if own_rows is None else own_rows
        unit = unit_queries(vectors, index.dim)  # float16 rows are not exactly of unit length
        scores, ids = index.search(unit, NEIGHBOURS[-1] + 1, exact=True)
        scores = np.where(ids == own[:, None], np.float32(-np.inf), scores)
        return cls(unit, -np.sort(-scores, axis=1)[:, :-1], own)

    def hits(self, scores: Scores, ids: Ids, k: int) -> NDArray[np.bool_]:
        """Return which answers are among the k best by score; equal rows are interchangeable."""
        kth = self.truth[:, k - 1 : k]
        has_answers = np.isfinite(self.truth[:, :k]).any(axis=1, keepdims=True)
        bound = np.where(np.isfinite(kth), kth - SCORE_TOLERANCE, -np.inf)
        counted = (ids >= 0) & (ids != self.own_rows[:, None])
        hits: NDArray[np.bool_] = counted & (scores >= bound) & has_answers
        return hits

    def answer_counts(self, k: int) -> NDArray[np.int64]:
        """Return the number of exact answers among the k best, (n,); small indexes have fewer."""
        counts: NDArray[np.int64] = np.isfinite(self.truth[:, :k]).sum(axis=1)
        return counts


@dataclass(frozen=True, slots=True)
class TuningPoint:
    """Recall and speed at one effort.

    Attributes:
        effort: The effort; None for exact search.
        recall: Recall@10 by kind of query.
        queries_per_second: Speed of text queries, searched one at a time.
    """

    effort: Effort | None
    recall: Mapping[str, float]
    queries_per_second: float

    @property
    def min_recall(self) -> float:
        """Recall of the most difficult kind of query."""
        return min(self.recall.values())


@dataclass(frozen=True, slots=True)
class Tuning:
    """The measured efforts in ascending order, and the fastest that reaches the target.

    If none does, `best` has the highest recall and `reached` is False.
    """

    points: tuple[TuningPoint, ...]
    best: TuningPoint
    reached: bool


@dataclass(frozen=True, slots=True)
class TuningOptions:
    """Options of `tune`.

    Attributes:
        step: Factor between the numbers of visited lists of consecutive efforts. A small one stops
            closer above the target.
        timed: See `TIMED_EFFORTS`.
        full_curve: Measure every effort up to the target instead of using binary search.
        growth: Expected ratio of the final number of rows to the current one. The required
            candidates grow with its square root; as many are timed where the target is reached.
        min_speed: With `full_curve`, queries per second below which an index that misses the
            target is abandoned, since higher recall is slower.
        prepare: Prepares an index for timing, for example by copying it to a GPU.
    """

    step: float = 2**0.125
    timed: Sequence[int] = TIMED_EFFORTS
    full_curve: bool = False
    growth: float = 1.0
    min_speed: float = 0.0
    prepare: Callable[[FaissIndex], VectorIndex] = lambda index: index


DEFAULT_OPTIONS = TuningOptions()


def recall(index: FaissIndex, sample: QuerySample, k: int) -> float:
    """Return the share of the k exact neighbours that the index finds; 1 if there are none."""
    if not index.approximate:
        return 1.0
    hits = sample.hits(*index.search(sample.vectors, k + 1), k).sum(axis=1)
    return _mean_recall(np.minimum(hits, k), sample.answer_counts(k)).mean


def tune(
    index: FaissIndex,
    samples: Mapping[str, QuerySample],
    target: float,
    options: TuningOptions = DEFAULT_OPTIONS,
) -> Tuning:
    """Find the fastest effort whose recall@10 reaches a target for every kind of query.

    The target counts as reached if recall exceeds it by one standard error, because the sample
    stands for other queries.

    Args:
        index: Without an approximate part, only exact search is measured.
        samples: At least one query by kind.
        target: Recall@10, 0 … 1.
        options: See `TuningOptions`.
    """
    if not index.approximate:
        exact = TuningPoint(None, dict.fromkeys(samples, 1.0), _speed(index, samples))
        return Tuning((exact,), exact, reached=True)
    ladder = _ladder(index, samples, options.step)
    max_candidates = CANDIDATES[-1] / options.growth**0.5
    counts = [count for count in CANDIDATES if count <= max_candidates] or CANDIDATES[:1]
    trial = _Trial(index, samples, target, counts, options)
    steps = range(len(ladder))
    measured: dict[int, tuple[TuningPoint, bool]] = {}

    def reaches(step: int) -> bool:
        if step not in measured:
            measured[step] = trial.measure(ladder[step])
        return measured[step][1]

    def ends(step: int) -> bool:
        return reaches(step) or measured[step][0].queries_per_second < options.min_speed

    if options.full_curve:
        first = next((step for step in steps if ends(step)), len(ladder))
    else:
        first = bisect_left(steps, True, key=reaches)
    if first == len(ladder):
        reaches(first - 1)
    elif reaches(first):
        for step in options.timed:
            reaches(min(first + step, steps[-1]))
    points = tuple(measured[step][0] for step in sorted(measured))
    reached = [point for point, reaches_target in measured.values() if reaches_target]
    if reached:
        best = max(reached, key=lambda point: point.queries_per_second)
    else:
        best = max(points, key=lambda point: point.min_recall)
    return Tuning(points, best, bool(reached))


def latencies(index: FaissIndex, queries: NDArray[np.float32], batch: int) -> tuple[float, float]:
    """Return median and 99th percentile of the milliseconds per search for ten answers.

    Args:
        index: Searched at its own effort.
        queries: (n, dim).
        batch: Queries per search.
    """
    times = []
    for first in range(0, len(queries) - batch + 1, batch):
        start = time.perf_counter()
        index.search(queries[first : first + batch], 10)
        times.append((time.perf_counter() - start) * 1e3)
    return float(np.median(times)), float(np.percentile(times, 99))


@dataclass(frozen=True, slots=True)
class _Recall:
    """Mean recall of a sample, and the mean minus one standard error."""

    mean: float
    lower_bound: float


def _mean_recall(hits: NDArray[np.integer], counts: NDArray[np.int64]) -> _Recall:
    answered = counts > 0
    if not answered.any():
        return _Recall(1.0, 1.0)
    values = np.minimum(hits[answered] / counts[answered], 1.0)
    mean = float(values.mean())
    return _Recall(mean, mean - float(values.std()) / len(values) ** 0.5)


@dataclass(frozen=True, slots=True)
class _Trial:
    """Measures efforts, see `tune`."""

    index: FaissIndex
    samples: Mapping[str, QuerySample]
    target: float
    counts: Sequence[int]
    options: TuningOptions

    def measure(self, effort: Effort) -> tuple[TuningPoint, bool]:
        """Measure with the fewest candidates that reach the target; also return if they do."""
        recalls = {kind: self._recalls(sample, effort) for kind, sample in self.samples.items()}
        number, reached = _fewest_candidates(list(recalls.values()), self.target)
        effort = replace(effort, candidates=self.counts[number])
        means = {kind: by_count[number].mean for kind, by_count in recalls.items()}
        # Without the target, the time is a lower limit: higher efforts need fewer candidates.
        growth = self.options.growth if reached else 1.0
        timed = round(effort.candidates * growth**0.5)
        grown = replace(effort, candidates=min(timed, self.index.rows))
        prepared = self.options.prepare(self.index.with_effort(grown))
        return TuningPoint(effort, means, _speed(prepared, self.samples)), reached

    def _recalls(self, sample: QuerySample, effort: Effort) -> list[_Recall]:
        """Return recall@10 after re-ranking each number of candidates.

        One search suffices: the first n rows of the longest answer are the answer of length n.
        """
        index = self.index
        own = int((sample.own_rows >= 0).any())  # The query's own row is one of the candidates.
        ids = index.propose(sample.vectors, min(self.counts[-1] + own, index.rows), effort)
        hits = sample.hits(index.score(sample.vectors, ids), ids, 10).cumsum(axis=1)
        last = hits.shape[1] - 1
        answers = sample.answer_counts(10)
        return [_mean_recall(hits[:, min(count - 1 + own, last)], answers) for count in self.counts]


def _fewest_candidates(recalls: Sequence[Sequence[_Recall]], target: float) -> tuple[int, bool]:
    """Return the position of the fewest candidates that reach the target, and True.

    If none do, return the fewest beyond which recall hardly increases, and False.

    Args:
        recalls: For every kind of query, recall by number of candidates.
        target: Recall@10.
    """
    numbers = range(len(recalls[0]))
    for number in numbers:
        if all(line[number].lower_bound >= target or line[number].mean == 1 for line in recalls):
            return number, True
    saturated = (
        number
        for number in numbers
        if all(line[number].mean >= line[-1].mean - MIN_RECALL_GAIN for line in recalls)
    )
    return next(saturated), False


def _ladder(index: FaissIndex, samples: Mapping[str, QuerySample], step: float) -> list[Effort]:
    """Return the efforts to try; the numbers of visited lists increase by a factor.

    With routing, these numbers are means over the queries of the most difficult type, texts.
    """
    first, last = (max(1, index.lists // 512), index.lists) if index.lists else (16, 2_048)
    steps = int(np.ceil(np.log(max(1.0, last / first)) / np.log(step))) + 1
    visited = sorted({min(last, round(first * step**number)) for number in range(steps)})
    if index.routing is None:
        return [Effort(count, CANDIDATES[-1]) for count in visited]
    queries = next(iter(samples.values())).vectors
    margins = index.routing.margins(queries, np.array(visited))
    return [
        Effort(count, CANDIDATES[-1], float(margin))
        for count, margin in zip(visited, margins, strict=True)
    ]


def _speed(index: VectorIndex, samples: Mapping[str, QuerySample]) -> float:
    """Return the queries per second of the first sample.

    Queries run one at a time, as in use. In a batch, fast scans share work, which would favour
    many candidates. The shortest time of each query counts, because other programs only add time.
    """
    queries = next(iter(samples.values())).vectors[:TIMED_QUERIES]
    seconds = np.empty((TIMED_REPEATS, len(queries)))
    for repeat in seconds:
        for number, query in enumerate(queries):
            start = time.perf_counter()
            index.search(query[None], 10)
            repeat[number] = time.perf_counter() - start
    return len(queries) / max(float(seconds.min(axis=0).sum()), 1e-9)
