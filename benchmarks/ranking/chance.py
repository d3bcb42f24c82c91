"""What guessing reaches: expected values over all orders of a gallery, each as likely as another.

A query has r relevant items among n. The chance that none of them is among the first k is that of
drawing k of the n - r others: (n-r choose k) / (n choose k).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def chance_of_success(relevant: Sequence[int], items: int, k: int) -> float:
    """Expected share of queries with a relevant item among the first k.

    Args:
        relevant: Relevant items of each query, at least 1.
        items: Size of the gallery.
        k: Ranks that are looked at.
    """
    return float(1 - _missed(relevant, items)[min(k, items)])


def chance_median_rank(relevant: Sequence[int], items: int) -> float:
    """Median, over queries and orders, of the rank of the first relevant item."""
    return float(np.argmax(_missed(relevant, items) <= 0.5))


def chance_mean_rank(relevant: Sequence[int], items: int) -> float:
    """Expected rank of the first relevant item: (n + 1) / (r + 1), averaged over queries."""
    return float(np.mean((items + 1) / (np.asarray(relevant) + 1)))


def chance_average_precision(relevant: Sequence[int], items: int, k: int) -> float:
    """Expected mAP@k, of which each query's is divided by r.

    The precision at rank i counts where a relevant item stands there, with the chance r / n, and
    is then one i-th of 1 + (i - 1)(r - 1) / (n - 1).
    """
    r = np.asarray(relevant, np.float64)[:, None]
    ranks = np.arange(1, min(k, items) + 1)
    others = (ranks - 1) * (r - 1) / max(1, items - 1)
    return float(np.mean(((1 + others) / ranks).sum(axis=1) / items))


def _missed(relevant: Sequence[int], items: int) -> NDArray[np.float64]:
    """(items + 1,) chance that the first k ranks hold nothing relevant, averaged over queries."""
    total = np.zeros(items + 1)
    for count, queries in zip(*np.unique(relevant, return_counts=True), strict=True):
        drawn = np.arange(items)
        shares = np.maximum(items - count - drawn, 0) / (items - drawn)
        total += queries * np.concatenate([[1.0], np.cumprod(shares)])
    return total / len(relevant)
