"""Ranking metrics, one definition each; ranks start at 1, and 1 is best.

Everything is computed from the ranks of the relevant items, see `relevant_ranks`; how the other
items are ordered changes nothing. For the other direction (which texts belong to a picture) the
caller passes the transposed scores.

Several relevant items make a row of ranks, ascending and filled up with infinity: infinity stands
for a relevant item that was not retrieved, and for a query that has fewer relevant items than
another; `counts` tells the two apart.
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


def relevant_ranks(scores: NDArray[np.floating], relevant: Sequence[int] | NDArray[Any]) -> Floats:
    """Ranks of all relevant items of one query; ties count against the system, once.

    The j-th best relevant item has rank j plus the number of irrelevant items that score at
    least as high. Needs one pass over the scores for each relevant item, and no sorting.

    Args:
        scores: (items,), higher is better; no NaN.
        relevant: Positions of the relevant items, at least one, none twice.

    Returns:
        (relevant,) ranks, ascending.
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
    """Share of queries whose first relevant item is at rank <= k.

    Text-image and text-video papers print this as R@k. It equals recall only when every query
    has exactly one relevant item.
    """
    return float(np.mean(np.asarray(first_relevant_ranks) <= k))


def median_rank(first_relevant_ranks: ArrayLike) -> float:
    """Median of the ranks of the first relevant items; 1 is perfect.

    Of an even number of queries it is the mean of the middle two, so it may end in a half.
    """
    return float(np.median(np.asarray(first_relevant_ranks)))


def reciprocal_ranks(ranks: Floats) -> Floats:
    """1 / rank of each query's first relevant item, 0 where none was retrieved; mean: MRR.

    Args:
        ranks: (queries, most relevant), ascending, filled with infinity.
    """
    return 1 / ranks[:, 0]


def recall_at_k(ranks: Floats, counts: NDArray[np.int64], k: int) -> Floats:
    """Share of each query's relevant items at rank <= k.

    With more relevant items than k it cannot reach 1. What text-image papers print as R@k is
    `success_at_k`.

    Args:
        ranks: (queries, most relevant), ascending, filled with infinity.
        counts: (queries,) how many items are relevant.
        k: Depth, from 1.
    """
    found: Floats = (ranks <= k).sum(axis=1) / counts
    return found


def average_precision_at_k(ranks: Floats, counts: NDArray[np.int64], k: int) -> Floats:
    """Mean over a query's relevant items of the precision at their rank, 0 beyond k; mean: mAP@k.

    Divided by all relevant items, as trec_eval's `map_cut` does, and not by min(k, relevant), as
    some papers do: with more relevant items than k it cannot reach 1. With one relevant item
    both are 1 / rank.

    Args:
        ranks: (queries, most relevant), ascending, filled with infinity.
        counts: (queries,) how many items are relevant.
        k: Depth, from 1.
    """
    precision = np.arange(1, ranks.shape[1] + 1) / ranks
    total: Floats = (precision * (ranks <= k)).sum(axis=1) / counts
    return total


def ndcg_at_k(
    ranks: Floats, counts: NDArray[np.int64], k: int, gains: Floats | None = None
) -> Floats:
    """Discounted cumulative gain up to rank k over that of the best possible ranking.

    The discount is 1 / log2(rank + 1), and a gain is taken as it is, 1 without `gains`, as
    trec_eval does (Järvelin and Kekäläinen, 2002). With graded gains, 2^gain - 1 in its place is
    as common, and differs.

    Args:
        ranks: (queries, most relevant), ascending, filled with infinity.
        counts: (queries,) how many items are relevant.
        k: Depth, from 1.
        gains: (queries, most relevant) of the same items; 0 where there is none.
    """
    if gains is None:
        gains = (np.arange(ranks.shape[1]) < counts[:, None]).astype(np.float64)
    gained = (gains * (ranks <= k) / np.log2(ranks + 1)).sum(axis=1)
    best = -np.sort(-gains, axis=1)[:, :k]
    share: Floats = gained / (best / np.log2(np.arange(best.shape[1]) + 2)).sum(axis=1)
    return share


class RankingMetrics:
    """Ranking metrics of any number of queries, given in blocks; scores are not kept.

    Memory is one block of scores, whose size the caller chooses, one byte an item, and a few
    numbers a query. For 1,000,000 items a query's float32 scores are 4 MB: blocks of 256 queries
    take 1 GiB, and 25,000 queries follow one another in it.

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
        """Take a block of queries.

        Args:
            scores: (queries, items), higher is better; no NaN.
            relevant: For each query the positions of its relevant items, at least one.
        """
        for row, positions in zip(scores, relevant, strict=True):
            self._ranks.append(relevant_ranks(row, positions))

    @property
    def first_ranks(self) -> Floats:
        """(queries,) rank of each query's best-placed relevant item."""
        return np.array([ranks[0] for ranks in self._ranks])

    @property
    def per_query(self) -> dict[str, Floats]:
        """One number a query for each metric that is a mean over queries, by its printed name."""
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
        """Every metric over all queries: the means of `per_query`, and the median rank."""
        means = {name: float(np.mean(values)) for name, values in self.per_query.items()}
        return means | {"median rank": median_rank(self.first_ranks)}
