"""Chooses a kind of index by trial: every kind that fits is built over a sample and measured.

What a search costs differs between machines, and what an index finds between corpora; rules of
thumb know neither. So each kind is built over some of the rows, tuned to the target, and timed. At
a given recall of text queries the time of graphs grows with the rows no slower than that of lists
(docs/indexing.md), so the fastest one in the trial is built in full. Kinds that are built fast come
first, and graphs, which take longest, are tried where a few rows do not show already that they
cannot win.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexes.candidates import (
    EXACT_BELOW_ROWS,
    GPU_EXACT_BELOW_ROWS,
    TRIAL_ROWS,
    Candidate,
    candidates,
    fit_memory,
    gpu_candidates,
    training_rows,
)
from retrieval.errors import IndexBuildError
from retrieval.search.indexing.request import IndexRequest

if TYPE_CHECKING:
    from indexes.faiss import FaissIndex
    from indexes.gpus import Gpus
    from indexes.protocol import VectorIndex
    from indexes.tuning import QuerySample

TIMED_ROWS = 100

NEARLY = 0.8
"""A smaller index this fast, compared with the fastest, is preferred to it."""

HOPELESS = 0.6
"""A kind slower than this share of the fastest so far, which still misses the target, cannot win:
what finds more is slower. Timings on a busy machine are off by a fifth."""

PROBED_SHARE = 1 / 8
"""A graph is built over this share of a trial's rows first. It takes no less time among more."""

EFFORT_SECONDS = 600.0
"""What choosing may take where nothing is said."""

FILLED_ROWS = 1_000
"""Rows of a trial that are added between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One kind of index over a sample of the rows.

    Attributes:
        factory: FAISS factory string, with as many lists as suit the sample; None: exact search.
        rows: Rows of the sample.
        recall: Recall@10 by kind of query, at the effort it was tuned to.
        reached: Whether that is the target.
        queries_per_second: In the sample.
        bytes_per_row: Of a row, without what does not grow.
        build_seconds: Of the sample.
        curve: (recall, queries per second) of every effort that was tried.
    """

    factory: str | None
    rows: int
    recall: Mapping[str, float]
    reached: bool
    queries_per_second: float
    bytes_per_row: float
    build_seconds: float
    curve: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Choice:
    """What to build: factory strings, the best first, and why; None stands for exact search."""

    factories: tuple[str | None, ...]
    reason: str
    trials: tuple[Trial, ...] = ()


Asked = Mapping[str, "QuerySample"]


class OutOfTimeError(Exception):
    """A trial was stopped: its time is used up."""


class Deadline:
    """When choosing has to end, some seconds after it is made.

    Raises:
        IndexBuildError: Not a time above 0.
    """

    def __init__(self, seconds: float = EFFORT_SECONDS) -> None:
        if not seconds > 0:
            raise IndexBuildError(f"the effort is in seconds above 0, got {seconds:g}")
        self.seconds = seconds
        self._until = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; below 0 when it is over."""
        return self._until - time.monotonic()

    def blocks(self, rows: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Hand rows on as long as there is time.

        Raises:
            OutOfTimeError: There is none left.
        """
        for first in range(0, len(rows), FILLED_ROWS):
            if self.left <= 0:
                raise OutOfTimeError
            yield rows[first : first + FILLED_ROWS]


def choose(
    exact: FaissIndex,
    request: IndexRequest,
    ask: Callable[[FaissIndex], Asked],
    say: Callable[[str], None],
    gpus: Gpus | None = None,
    *,
    deadline: Deadline | None = None,
) -> Choice:
    """Choose a kind of index for rows.

    Args:
        exact: All rows.
        request: Of kind `auto`.
        ask: Makes samples of the queries to expect, answered from the rows that it is given.
        say: Told what is tried.
        gpus: What it will be searched on; None: the CPU.
        deadline: When to end; one kind is tried whatever it says.

    Raises:
        IndexBuildError: No index fits the memory.
    """
    trials = _Trials(exact, request.recall, ask, say, gpus, deadline or Deadline())
    rows, memory = exact.rows, request.memory
    if gpus is not None:
        room = sum(gpus.usable_bytes())
        if rows < GPU_EXACT_BELOW_ROWS and 2 * rows * exact.dim <= room:
            return Choice((None,), f"a GPU searches {rows:,} rows exactly in milliseconds")
        memory = room if memory is None else min(room, memory)
        return trials.best(fit_memory(gpu_candidates(exact.dim), max(1, rows), memory))
    if rows < EXACT_BELOW_ROWS and request.latency_ms is None:
        return Choice((None,), f"exact search is fast enough below {EXACT_BELOW_ROWS:,} rows")
    fit = fit_memory(candidates(exact.dim), max(1, rows), memory)
    if request.latency_ms is not None and not fit[0].template:
        median = _exact_latency(exact)
        if median <= request.latency_ms:
            return Choice((None,), f"exact search answers within {request.latency_ms:g} ms")
    return trials.best(fit)


def _exact_latency(exact: FaissIndex) -> float:
    """Median milliseconds of a query: every one takes the same scan, so rows will do."""
    return _median_ms(exact, exact.gather(sample_rows(np.arange(exact.rows), TIMED_ROWS)))


def _median_ms(index: FaissIndex, queries: NDArray[np.float32]) -> float:
    from indexes.tuning import latencies

    return latencies(index, queries, 1)[0]


def exact_is_as_fast(
    exact: FaissIndex, approximate: FaissIndex, queries: NDArray[np.float32]
) -> str | None:
    """Compare both over all rows: in few of them an index may look faster than it is.

    Args:
        exact: All rows.
        approximate: Over the same rows, tuned.
        queries: (n, dim), of which some are asked.

    Returns:
        Why exact search is to be preferred; None where it is slower.
    """
    some = queries[: TIMED_ROWS // 5]
    scan, found = _median_ms(exact, some), _median_ms(approximate, some)
    if scan > found:
        return None
    return f"exact search takes {scan:.1f} ms for all rows, the fastest other kind {found:.1f} ms"


@dataclass(frozen=True, slots=True)
class _Sample:
    """Some of the rows, and what is asked of them."""

    index: FaissIndex
    rows: NDArray[np.float32]
    asked: Asked


@dataclass(frozen=True, slots=True)
class _Trials:
    """What is tried, on what, to what end; see `choose`."""

    exact: FaissIndex
    target: float
    ask: Callable[[FaissIndex], Asked]
    say: Callable[[str], None]
    gpus: Gpus | None
    deadline: Deadline

    def best(self, fit: Sequence[Candidate]) -> Choice:
        """The smallest of those nearly as fast as the fastest."""
        rows = self.exact.rows
        pairs = list(self._each(fit))
        trials = tuple(trial for _, trial in pairs)
        reached = [pair for pair in pairs if pair[1].reached]
        good = sorted(reached, key=lambda pair: -pair[1].queries_per_second)
        if not good:
            best = max(pairs, key=lambda pair: min(pair[1].recall.values()))[0]
            return Choice((best.factory(rows),), "no kind reached the target in its trial", trials)
        fastest = good[0][1].queries_per_second
        near = [pair for pair in good if pair[1].queries_per_second >= NEARLY * fastest]
        first = min(near, key=lambda pair: pair[0].bytes(rows))
        reason = (
            "the fastest in its trial"
            if first is good[0]
            else f"the smallest of those with {NEARLY:.0%} of the highest speed in their trials"
        )
        order = [first, *(pair for pair in good if pair is not first)]
        return Choice(tuple(kind.factory(rows) for kind, _ in order), reason, trials)

    def _each(self, fit: Sequence[Candidate]) -> Iterator[tuple[Candidate, Trial]]:
        """One after the other; a kind that FAISS refuses for so few rows is left out.

        Rotations take longest to train and find less than unrotated codes of twice the size
        (docs/indexing.md): they are tried where nothing without one fits and reaches the target.
        """
        exact = self.exact
        sample = exact.gather(sample_rows(np.arange(exact.rows), TRIAL_ROWS))
        whole = self._sampled(sample)
        few: _Sample | None = None
        best, reached, tried = 0.0, False, False
        for number, kind in enumerate(self._by_promise(fit), start=1):
            if reached and kind.rotates:
                continue
            name = kind.factory(len(sample)) or "exact search"
            if tried and self.deadline.left <= 0:
                self.say(f"{name} is not tried: {self.deadline.seconds:g} s are used up")
                continue
            self.say(f"trial {number} of {len(fit)}: {name}")
            try:
                if best and kind.graph and self.gpus is None:
                    few = few or self._sampled(sample[:: round(1 / PROBED_SHARE)])
                    self._probe(kind, few, best)
                trial = self._one(kind, whole, HOPELESS * best, self.deadline if tried else None)
            except (IndexBuildError, OutOfTimeError) as error:
                self.say(f"{name} is left out: {str(error) or 'its time is used up'}")
                continue
            tried = True
            reached = reached or (trial.reached and kind.template is not None)
            best = max(best, trial.queries_per_second if trial.reached else 0.0)
            yield kind, trial

    def _by_promise(self, fit: Sequence[Candidate]) -> Sequence[Candidate]:
        """Exact search and lists, then graphs, then rotations; a GPU builds all of its own fast."""
        if self.gpus is not None:
            return fit
        return sorted(fit, key=lambda kind: (kind.rotates, kind.graph))

    def _sampled(self, rows: NDArray[np.float32]) -> _Sample:
        from indexes.building import build_exact
        from indexes.faiss import FaissIndex

        index = FaissIndex(build_exact([rows], self.exact.dim, expected_rows=len(rows)))
        return _Sample(index, rows, self.ask(index))

    def _probe(self, kind: Candidate, few: _Sample, best: float) -> None:
        """Build a graph over a few rows, to know whether it can win.

        Raises:
            IndexBuildError: It cannot, or not in the time that is left.
        """
        trial = self._one(kind, few, HOPELESS * best, self.deadline)
        if not trial.reached or trial.queries_per_second < HOPELESS * best:
            raise IndexBuildError(
                f"it answers {trial.queries_per_second:,.0f} queries a second among "
                f"{len(few.rows):,} rows, fewer than another among all of the trial"
            )
        # Building takes longer than the rows grow.
        if trial.build_seconds / PROBED_SHARE > self.deadline.left:
            raise OutOfTimeError

    def _one(self, kind: Candidate, few: _Sample, worth: float, deadline: Deadline | None) -> Trial:
        """Build a kind over a sample, tune it, and time it where it will be searched.

        Codes that need many candidates among few rows need more than there may be among many:
        such a kind misses the target here, before it is built in full in vain.

        Raises:
            IndexBuildError: FAISS refuses.
            OutOfTimeError: The deadline is over.
        """
        from indexes.building import build_approximate
        from indexes.tuning import TuningOptions, tune

        index, sample = few.index, few.rows
        factory = kind.factory(len(sample))
        began = time.perf_counter()
        if factory is not None:
            training = sample_rows(np.arange(len(sample)), training_rows(factory, len(sample)))
            blocks = [sample] if deadline is None else deadline.blocks(sample)
            index = index.with_approximate(
                build_approximate(factory, sample[training], blocks, gpus=self.gpus)
            )
        built = time.perf_counter() - began
        growth = self.exact.rows / max(1, len(sample))
        options = TuningOptions(
            step=2, full_curve=True, growth=growth, min_speed=worth, prepare=self._placed
        )
        tuning = tune(index, few.asked, self.target, options)
        best = tuning.best
        return Trial(
            factory=factory,
            rows=len(sample),
            recall=best.recall,
            reached=tuning.reached,
            queries_per_second=best.queries_per_second,
            bytes_per_row=kind.row_bytes,
            build_seconds=round(built, 3),
            curve=tuple((point.min_recall, point.queries_per_second) for point in tuning.points),
        )

    def _placed(self, index: FaissIndex) -> VectorIndex:
        """An index where it will be searched."""
        if self.gpus is None:
            return index
        from indexes.gpu_approximate import GpuApproximateIndex

        return GpuApproximateIndex(index, self.gpus)


def sample_rows(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Some of the rows, always the same ones; ascending."""
    if len(rows) <= count:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, count, replace=False))
