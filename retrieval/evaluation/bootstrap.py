"""How far a mean over queries could have come out otherwise: percentile bootstrap intervals.

The queries are drawn again, with replacement, as often as there are; the interval holds the middle
95 % of the means (Efron and Tibshirani, 1993, chapter 13). It says what other queries of the same
kind might give. It says nothing about other data, and with a handful of queries it is too narrow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2000
"""How often the queries are drawn."""

LEVEL = 0.95
"""Share of the means that lie in an interval."""

DRAWN_AT_ONCE = 1_000_000
"""Numbers drawn together: bounds memory at 16 MB."""


def interval(values: ArrayLike, seed: int = 0) -> tuple[float, float]:
    """95 % interval of a mean, by drawing the queries again.

    Args:
        values: (queries,) one number a query, such as 1 for a hit and 0 for a miss.
        seed: The same seed gives the same interval.

    Returns:
        Its low and its high end.

    Raises:
        ValueError: There is no query, or a value is not finite.
    """
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or not numbers.size:
        raise ValueError(f"expected one number for each of some queries, got {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise ValueError("a query's value is not finite")
    means = _resampled_means(numbers, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def paired_interval(one: ArrayLike, other: ArrayLike, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean of `other - one`: two runs over the same queries, in one order.

    Pairing takes out what makes a query hard for both, so it is much narrower than what two
    separate intervals suggest. An interval that holds 0 is no difference.

    Args:
        one: (queries,) values of the first run.
        other: (queries,) values of the second run.
        seed: The same seed gives the same interval.

    Raises:
        ValueError: The two differ in length, there is no query, or a value is not finite.
    """
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if first.shape != second.shape:
        raise ValueError(f"runs over {first.shape} and {second.shape} queries cannot be paired")
    return interval(second - first, seed)


def _resampled_means(
    values: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float64]:
    """(RESAMPLES,) means of values drawn with replacement, in blocks that bound memory."""
    block = max(1, DRAWN_AT_ONCE // len(values))
    means = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, block):
        shape = (min(block, RESAMPLES - start), len(values))
        means[start : start + block] = values[random.integers(0, len(values), shape)].mean(axis=1)
    return means
