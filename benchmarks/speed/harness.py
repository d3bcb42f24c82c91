"""How every subject of speed takes its times: in turns, as a median and a spread, threads pinned.

What is compared is done in turn, so that whatever slows the machine down for a while slows all of
it; a ratio is the median of the ratios of neighbours. Where memory is measured, each cell runs in
a process of its own (`benchmarks.speed.processes`).
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from benchmarks.results.tables import Result
from benchmarks.speed import SUITE

Way = Callable[[int], float]
"""Does something once, told the number of the turn, and gives what it took."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What repeated measurements gave, in the order they were taken."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return float(np.median(self.values))

    @property
    def spread(self) -> float | None:
        """The range of the middle half of the values; None of a single one."""
        if len(self.values) == 1:
            return None
        low, high = np.quantile(self.values, [0.25, 0.75])
        return float(high - low)

    def times(self, factor: float) -> Sample:
        """Every value in another unit."""
        return Sample(tuple(value * factor for value in self.values))

    def per(self, count: float) -> Sample:
        """How many a second, where each value is what so many took."""
        return Sample(tuple(count / value for value in self.values))

    def __truediv__(self, other: Sample) -> Sample:
        """The ratio of each value to its neighbour of the other sample."""
        return self._with(other, operator.truediv)

    def __sub__(self, other: Sample) -> Sample:
        """The difference of each value to its neighbour of the other sample."""
        return self._with(other, operator.sub)

    def __add__(self, other: Sample) -> Sample:
        """The sum of neighbours: two things that are done one after the other."""
        return self._with(other, operator.add)

    def _with(self, other: Sample, combine: Callable[[float, float], float]) -> Sample:
        pairs = zip(self.values, other.values, strict=True)
        return Sample(tuple(combine(one, two) for one, two in pairs))


def in_turns(ways: Mapping[str, Way], turns: int, *, warm_ups: int = 0) -> dict[str, Sample]:
    """Take every way once a turn, one after the other.

    Args:
        ways: What is measured, by name.
        turns: How often.
        warm_ups: Turns before, whose values are dropped; their numbers are negative.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(-warm_ups, turns):
        for name, way in ways.items():
            value = way(turn)
            if turn >= 0:
                taken[name].append(value)
    return {name: Sample(tuple(values)) for name, values in taken.items()}


def seconds(work: Callable[[], object]) -> float:
    """How long some work takes, once."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def timed(work: Callable[[], object]) -> Way:
    """A way whose value is the seconds that some work takes, the same in every turn."""
    return lambda turn: seconds(work)


def row(
    task: str,
    metric: str,
    sample: Sample,
    goal: float | None = None,
    *,
    baseline: float | None = None,
    pool: int | None = None,
) -> Result:
    """A figure with its spread."""
    return Result(
        SUITE, task, metric, sample.median, goal, baseline, pool=pool, spread=sample.spread
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch and FAISS compute on a single thread, and give them their own back after."""
    import faiss
    import torch

    before = torch.get_num_threads(), faiss.omp_get_max_threads()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        faiss.omp_set_num_threads(before[1])
