"""Measures times in alternating turns and reports the median and the spread.

Compared programs alternate, so that a temporary slowdown of the machine affects all of them. A
ratio is the median of the ratios within each turn. Memory is measured in separate processes
(`benchmarks.speed.processes`).
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from benchmarks.results.outcome import Result
from benchmarks.speed import SUITE

Way = Callable[[int], float]
"""Runs a program once and returns the measured value. Its argument is the number of the turn."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of repeated measurements, in order of the turns."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return float(np.median(self.values))

    @property
    def spread(self) -> float | None:
        """Interquartile range; None for a single value."""
        if len(self.values) == 1:
            return None
        low, high = np.quantile(self.values, [0.25, 0.75])
        return float(high - low)

    def times(self, factor: float) -> Sample:
        """Multiply each value by a factor."""
        return Sample(tuple(value * factor for value in self.values))

    def per(self, count: float) -> Sample:
        """Compute rates, where each value is the time of `count` units."""
        return Sample(tuple(count / value for value in self.values))

    def __truediv__(self, other: Sample) -> Sample:
        """Divide turn by turn."""
        return self._with(other, operator.truediv)

    def __sub__(self, other: Sample) -> Sample:
        """Subtract turn by turn."""
        return self._with(other, operator.sub)

    def __add__(self, other: Sample) -> Sample:
        """Add turn by turn."""
        return self._with(other, operator.add)

    def _with(self, other: Sample, combine: Callable[[float, float], float]) -> Sample:
        pairs = zip(self.values, other.values, strict=True)
        return Sample(tuple(combine(a, b) for a, b in pairs))


def in_turns(ways: Mapping[str, Way], turns: int, *, warm_ups: int = 0) -> dict[str, Sample]:
    """Run each way once per turn.

    Args:
        ways: The programs to measure, by name.
        turns: Number of turns.
        warm_ups: Number of earlier turns whose values are dropped; their numbers are negative.
    """
    values: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(-warm_ups, turns):
        for name, way in ways.items():
            value = way(turn)
            if turn >= 0:
                values[name].append(value)
    return {name: Sample(tuple(each)) for name, each in values.items()}


def seconds(work: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def timed(work: Callable[[], object]) -> Way:
    """Build a way that times the same work in every turn."""
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
    """Build a result from a sample."""
    return Result(
        SUITE, task, metric, sample.median, goal, baseline, pool=pool, spread=sample.spread
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch and FAISS to one thread within the block."""
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
