"""Ranking metrics, one definition each; ranks start at 1, and 1 is best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def first_relevant_ranks(
    scores: NDArray[np.floating], relevant: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Rank of each query's best-placed relevant item; ties count against the system, once.

    Args:
        scores: (queries, items), higher is better.
        relevant: (queries, items) bool, at least one True in each row.

    Returns:
        (queries,) ranks: one more than the number of irrelevant items scored at least as high
        as the best relevant one.
    """
    if not relevant.any(axis=1).all():
        raise ValueError("every query needs at least one relevant item")
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    ranks: NDArray[np.int64] = 1 + ((scores >= best) & ~relevant).sum(axis=1).astype(np.int64)
    return ranks


def success_at_k(first_relevant_ranks: Sequence[int] | NDArray[np.int64], k: int) -> float:
    """Share of queries whose first relevant item is at rank <= k.

    Text-image and text-video papers print this as R@k. It equals recall only when every query
    has exactly one relevant item.
    """
    return float(np.mean(np.asarray(first_relevant_ranks) <= k))


def median_rank(first_relevant_ranks: Sequence[int] | NDArray[np.int64]) -> float:
    """Median of the ranks of the first relevant items; 1 is perfect."""
    return float(np.median(np.asarray(first_relevant_ranks)))
