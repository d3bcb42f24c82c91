"""Expected metrics of guessing: means over all orders of a gallery, equally likely.

A query has r relevant items among n. The probability that none of them is among the first k is
that of drawing k of the n - r others: (n-r choose k) / (n choose k).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def chance_of_success(relevant: Sequence[int], items: int, k: int) -> float:
    """Compute the expected share of queries with a relevant item among the first k.

    Args:
        relevant: Number of relevant items of each query, at least 1.
        items: Size of the gallery.
        k: Number of ranks.
    """
    return float(1 - _miss_probabilities(relevant, items)[min(k, items)])


def chance_median_rank(relevant: Sequence[int], items: int) -> float:
    """Compute the median, over queries and orders, of the rank of the first relevant item."""
    return float(np.argmax(_miss_probabilities(relevant, items) <= 0.5))


def chance_mean_rank(relevant: Sequence[int], items: int) -> float:
    """Compute the expected first relevant rank, (n + 1) / (r + 1), averaged over queries."""
    return float(np.mean((items + 1) / (np.asarray(relevant) + 1)))


def chance_average_precision(relevant: Sequence[int], items: int, k: int) -> float:
    """Compute the expected mAP@k, with the sum of precisions of each query divided by r.

    Rank i is relevant with probability r / n. Its precision is then one i-th of
    1 + (i - 1)(r - 1) / (n - 1).
    """
    r = np.asarray(relevant, np.float64)[:, None]
    ranks = np.arange(1, min(k, items) + 1)
    others = (ranks - 1) * (r - 1) / max(1, items - 1)
    return float(np.mean(((1 + others) / ranks).sum(axis=1) / items))


def _miss_probabilities(relevant: Sequence[int], items: int) -> NDArray[np.float64]:
    """Return (items + 1,) mean probabilities that the first k ranks hold no relevant item."""
    total = np.zeros(items + 1)
    for count, queries in zip(*np.unique(relevant, return_counts=True), strict=True):
        drawn = np.arange(items)
        shares = np.maximum(items - count - drawn, 0) / (items - drawn)
        total += queries * np.concatenate([[1.0], np.cumprod(shares)])
    return total / len(relevant)
