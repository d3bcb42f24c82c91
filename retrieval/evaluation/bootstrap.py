"""Percentile bootstrap intervals of means over queries.

Queries are resampled with replacement; the interval contains the middle 95 % of the means (Efron
and Tibshirani, 1993, chapter 13). It reflects the sampling of queries only, not other data, and is
too narrow for few queries.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2000
"""Number of resamples."""

LEVEL = 0.95
"""Share of the means inside an interval."""

BLOCK_NUMBERS = 1_000_000
"""Numbers drawn at once; limits memory to 16 MB."""


def interval(values: ArrayLike, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean.

    Args:
        values: (queries,) one number per query, such as 1 for a hit and 0 for a miss.
        seed: Seed of the resampling.

    Returns:
        Lower and upper bound.

    Raises:
        ValueError: There is no query, or a value is not finite.
    """
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or not numbers.size:
        raise ValueError(f"expected one number per query, got shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise ValueError("a query's value is not finite")
    means = _resampled_means(numbers, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def paired_interval(baseline: ArrayLike, other: ArrayLike, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of `other - baseline` over the same queries.

    Pairing removes the difficulty of each query, so the interval is narrower than two separate
    intervals suggest. An interval that contains 0 shows no difference.

    Args:
        baseline: (queries,) values of the first run.
        other: (queries,) values of the second run, in the same order.
        seed: Seed of the resampling.

    Raises:
        ValueError: The runs differ in length, there is no query, or a value is not finite.
    """
    first, second = np.asarray(baseline, np.float64), np.asarray(other, np.float64)
    if first.shape != second.shape:
        raise ValueError(f"runs over {first.shape} and {second.shape} queries cannot be paired")
    return interval(second - first, seed)


def _resampled_means(
    values: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float64]:
    """Return (RESAMPLES,) means of values drawn with replacement, computed in blocks."""
    block = max(1, BLOCK_NUMBERS // len(values))
    means = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, block):
        shape = (min(block, RESAMPLES - start), len(values))
        means[start : start + block] = values[random.integers(0, len(values), shape)].mean(axis=1)
    return means
