"""Ranking metrics computed from the ranks of relevant items; ranks start at 1.

`relevant_ranks` computes the ranks. For the opposite direction, such as image to text, pass the
transposed scores.

Ranks of several relevant items form a row, ascending and padded with infinity. Infinity also marks
a relevant item that was not retrieved; `counts` distinguishes it from padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def first_relevant_ranks(
    scores: NDArray[np.floating], relevant: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the rank of each query's best relevant item; ties count against the system.

    Args:
        scores: (queries, items), higher is better.
        relevant: (queries, items) bool, at least one True per row.

    Returns:
        (queries,) ranks: one plus the number of irrelevant items that score at least as high as
        the best relevant one.

    Raises:
        ValueError: A query has no relevant item.
    """
    if not relevant.any(axis=1).all():
        raise ValueError("every query needs at least one relevant item")
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    ranks: NDArray[np.int64] = 1 + ((scores >= best) & ~relevant).sum(axis=1).astype(np.int64)
    return ranks


def relevant_ranks(scores: NDArray[np.floating], relevant: Sequence[int] | NDArray[Any]) -> Floats:
    """Return the ranks of all relevant items of one query; ties count against the system.

    The rank of the j-th best relevant item is j plus the number of irrelevant items that score at
    least as high.

    Args:
        scores: (items,), higher is better; no NaN.
        relevant: Distinct positions of the relevant items, at least one.

    Returns:
        (relevant,) ranks, ascending.

    Raises:
        ValueError: Relevant positions are missing, repeated or out of range, or a score is NaN.
    """
    positions = np.asarray(relevant)
    if not len(positions):
        raise ValueError("every query needs at least one relevant item")
    if len(np.unique(positions)) < len(positions):
        raise ValueError(f"relevant items are named twice: {positions.tolist()}")
    if positions.min() < 0 or positions.max() >= len(scores):
        raise ValueError(f"there are {len(scores)} items, relevant are {positions.tolist()}")
    if np.isnan(np.max(scores)):
        raise ValueError("a score is NaN")
    own = np.sort(scores[positions])[::-1]
    ahead = [np.count_nonzero(scores >= score) - np.count_nonzero(own >= score) for score in own]
    return np.arange(1, len(own) + 1, dtype=np.float64) + ahead


def success_at_k(first_relevant_ranks: ArrayLike, k: int) -> float:
    """Return the share of queries whose first relevant item has rank <= k.

    Text-image and text-video papers call this R@k. It equals recall only if every query has exactly
    one relevant item.
    """
    return float(np.mean(np.asarray(first_relevant_ranks) <= k))


def median_rank(first_relevant_ranks: ArrayLike) -> float:
    """Return the median of the ranks of the first relevant items; 1 is perfect."""
    return float(np.median(np.asarray(first_relevant_ranks)))


def reciprocal_ranks(ranks: Floats) -> Floats:
    """Return 1 / rank of each query's first relevant item, 0 if none was retrieved; mean: MRR.

    Args:
        ranks: (queries, max relevant), ascending, padded with infinity.
    """
    return 1 / ranks[:, 0]


def recall_at_k(ranks: Floats, counts: NDArray[np.int64], k: int) -> Floats:
    """Return the share of each query's relevant items with rank <= k.

    It stays below 1 for queries with more than k relevant items. Text-image papers call
    `success_at_k` R@k.

    Args:
        ranks: (queries, max relevant), ascending, padded with infinity.
        counts: (queries,) number of relevant items.
        k: Depth, from 1.
    """
    recall: Floats = (ranks <= k).sum(axis=1) / counts
    return recall


def average_precision_at_k(ranks: Floats, counts: NDArray[np.int64], k: int) -> Floats:
    """Return the mean precision at the ranks of relevant items, 0 beyond k; mean: mAP@k.

    The sum is divided by the number of relevant items, as in trec_eval's `map_cut`, not by
    min(k, relevant) as in some papers, so it stays below 1 for more than k relevant items.

    Args:
        ranks: (queries, max relevant), ascending, padded with infinity.
        counts: (queries,) number of relevant items.
        k: Depth, from 1.
    """
    precision = np.arange(1, ranks.shape[1] + 1) / ranks
    average: Floats = (precision * (ranks <= k)).sum(axis=1) / counts
    return average


def ndcg_at_k(
    ranks: Floats, counts: NDArray[np.int64], k: int, gains: Floats | None = None
) -> Floats:
    """Return the discounted cumulative gain up to rank k over that of the ideal ranking.

    The discount is 1 / log2(rank + 1), and gains are linear as in trec_eval (Järvelin and
    Kekäläinen, 2002), not the equally common 2^gain - 1.

    Args:
        ranks: (queries, max relevant), ascending, padded with infinity.
        counts: (queries,) number of relevant items.
        k: Depth, from 1.
        gains: (queries, max relevant) of the same items, padded with 0; None for gains of 1.
    """
    if gains is None:
        gains = (np.arange(ranks.shape[1]) < counts[:, None]).astype(np.float64)
    gain = (gains * (ranks <= k) / np.log2(ranks + 1)).sum(axis=1)
    ideal = -np.sort(-gains, axis=1)[:, :k]
    ndcg: Floats = gain / (ideal / np.log2(np.arange(ideal.shape[1]) + 2)).sum(axis=1)
    return ndcg


class RankingMetrics:
    """Accumulates ranking metrics over blocks of queries without storing scores.

    Memory is one block of scores and a few numbers per query. With 1,000,000 items, a block of 256
    queries takes 1 GiB.

    Args:
        ks: Depths of success, written R@k as papers do, and of recall.
        depth: Depth of mAP and nDCG.
    """

    def __init__(self, ks: Sequence[int] = (1, 5, 10), depth: int = 10) -> None:
        if min(*ks, depth) < 1:
            raise ValueError(f"depths start at 1, got {min(*ks, depth)}")
        self._ks, self._depth = tuple(ks), depth
        self._ranks: list[Floats] = []

    def add(self, scores: NDArray[np.floating], relevant: Sequence[Sequence[int]]) -> None:
        """Add a block of queries.

        Args:
            scores: (queries, items), higher is better; no NaN.
            relevant: Positions of each query's relevant items, at least one.
        """
        for row, positions in zip(scores, relevant, strict=True):
            self._ranks.append(relevant_ranks(row, positions))

    @property
    def first_ranks(self) -> Floats:
        """(queries,) rank of each query's best relevant item."""
        return np.array([ranks[0] for ranks in self._ranks])

    @property
    def per_query(self) -> dict[str, Floats]:
        """(queries,) values of each metric that is a mean over queries, by its printed name."""
        if not self._ranks:
            raise ValueError("no query was added")
        counts = np.array([len(ranks) for ranks in self._ranks])
        ranks = np.full((len(counts), counts.max()), np.inf)
        for row, own in zip(ranks, self._ranks, strict=True):
            row[: len(own)] = own
        first, depth = ranks[:, 0], self._depth
        return {
            **{f"R@{k}": (first <= k).astype(np.float64) for k in self._ks},
            **{f"recall@{k}": recall_at_k(ranks, counts, k) for k in self._ks},
            "mean rank": first,
            "MRR": reciprocal_ranks(ranks),
            f"mAP@{depth}": average_precision_at_k(ranks, counts, depth),
            f"nDCG@{depth}": ndcg_at_k(ranks, counts, depth),
        }

    def summary(self) -> dict[str, float]:
        """Return all metrics: the means of `per_query`, and the median rank."""
        means = {name: float(np.mean(values)) for name, values in self.per_query.items()}
        return means | {"median rank": median_rank(self.first_ranks)}
