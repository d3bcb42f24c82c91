"""Chooses a kind of index by trial: every kind that fits is built over a sample and measured.

What a search costs differs between machines, and what an index finds between corpora; rules of
thumb know neither. So each kind is built over some of the rows, tuned to the target, and timed. At
a given recall of text queries the time of graphs grows with the rows no slower than that of lists
(docs/indexing.md), so the fastest one in the trial is built in full.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexes.choose import (
    EXACT_BELOW_ROWS,
    GPU_EXACT_BELOW_ROWS,
    TRIAL_ROWS,
    Candidate,
    affordable,
    candidates,
    gpu_candidates,
    training_rows,
)
from retrieval.errors import IndexBuildError
from retrieval.search.request import IndexRequest

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from indexes.faiss import FaissIndex
    from indexes.gpus import Gpus
    from indexes.protocol import VectorIndex
    from indexes.tuning import QuerySample

TIMED_ROWS = 100

NEARLY = 0.8
"""A smaller index this fast, compared with the fastest, is preferred to it."""


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


def choose(
    exact: FaissIndex,
    request: IndexRequest,
    ask: Callable[[FaissIndex], Asked],
    say: Callable[[str], None],
    gpus: Gpus | None = None,
) -> Choice:
    """Choose a kind of index for rows.

    Args:
        exact: All rows.
        request: Of kind `auto`.
        ask: Makes samples of the queries to expect, answered from the rows that it is given.
        say: Told what is tried.
        gpus: What it will be searched on; None: the CPU.

    Raises:
        IndexBuildError: No index fits the memory.
    """
    trials = _Trials(exact, request.recall, ask, say, gpus)
    rows, memory = exact.rows, request.memory
    if gpus is not None:
        room = sum(gpus.usable_bytes())
        if rows < GPU_EXACT_BELOW_ROWS and 2 * rows * exact.dim <= room:
            return Choice((None,), f"a GPU searches {rows:,} rows exactly in milliseconds")
        memory = room if memory is None else min(room, memory)
        return trials.best(affordable(gpu_candidates(exact.dim), max(1, rows), memory))
    if rows < EXACT_BELOW_ROWS and request.latency_ms is None:
        return Choice((None,), f"exact search is fast enough below {EXACT_BELOW_ROWS:,} rows")
    fit = affordable(candidates(exact.dim), max(1, rows), memory)
    if request.latency_ms is not None and not fit[0].template:
        median = _exact_latency(exact)
        if median <= request.latency_ms:
            return Choice((None,), f"exact search answers within {request.latency_ms:g} ms")
    return trials.best(fit)


def _exact_latency(exact: FaissIndex) -> float:
    """Median milliseconds of a query: every one takes the same scan, so rows will do."""
    from indexes.tuning import latencies

    return latencies(exact, exact.gather(sample_rows(np.arange(exact.rows), TIMED_ROWS)), 1)[0]


@dataclass(frozen=True, slots=True)
class _Trials:
    """What is tried, on what, to what end; see `choose`."""

    exact: FaissIndex
    target: float
    ask: Callable[[FaissIndex], Asked]
    say: Callable[[str], None]
    gpus: Gpus | None

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
        from indexes.building import build_exact
        from indexes.faiss import FaissIndex

        exact = self.exact
        sample = exact.gather(sample_rows(np.arange(exact.rows), TRIAL_ROWS))
        small = FaissIndex(build_exact([sample], exact.dim, expected_rows=len(sample)))
        asked = self.ask(small)
        reached = False
        for number, kind in enumerate(fit, start=1):
            if reached and kind.rotates:
                continue
            factory = kind.factory(len(sample))
            self.say(f"trial {number} of {len(fit)}: {factory or 'exact search'}")
            try:
                trial = self._one(kind, small, sample, asked)
            except IndexBuildError as error:
                logger.debug("%s", error)
                continue
            reached = reached or (trial.reached and factory is not None)
            yield kind, trial

    def _one(
        self, kind: Candidate, small: FaissIndex, sample: NDArray[np.float32], asked: Asked
    ) -> Trial:
        """Build a kind over the sample, tune it, and time it where it will be searched.

        Codes that need many candidates among few rows need more than there may be among many:
        such a kind misses the target here, before it is built in full in vain.
        """
        from indexes.building import build_approximate
        from indexes.tuning import tune

        factory = kind.factory(len(sample))
        began = time.perf_counter()
        index = small
        if factory is not None:
            training = sample_rows(np.arange(len(sample)), training_rows(factory, len(sample)))
            index = small.with_approximate(
                build_approximate(factory, sample[training], [sample], gpus=self.gpus)
            )
        built = time.perf_counter() - began
        growth = self.exact.rows / max(1, len(sample))
        tuning = tune(
            index, asked, self.target, step=2, curve=True, growth=growth, place=self._placed
        )
        best = tuning.best
        return Trial(
            factory=factory,
            rows=len(sample),
            recall=best.recall,
            reached=tuning.reached,
            queries_per_second=best.queries_per_second,
            bytes_per_row=kind.row_bytes,
            build_seconds=round(built, 3),
            curve=tuple((point.least, point.queries_per_second) for point in tuning.points),
        )

    def _placed(self, index: FaissIndex) -> VectorIndex:
        """An index where it will be searched."""
        if self.gpus is None:
            return index
        from indexes.gpu_candidates import PlacedIndex

        return PlacedIndex(index, self.gpus)


def sample_rows(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Some of the rows, always the same ones; ascending."""
    if len(rows) <= count:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, count, replace=False))
