"""Exact search over an array, in NumPy: the reference, and the search of small tails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.protocol import Ids, Scores
from indexes.vectors import check_search, padded, unit_queries

BLOCK_ROWS = 16_384
"""Rows scored at once; float16 rows are widened block by block, never as a whole."""

BLOCK_QUERIES = 64
"""Queries scored at once: a block of scores and ids takes 12 MiB."""


def exact_search(
    vectors: NDArray[np.floating],
    queries: NDArray[np.floating],
    k: int,
    *,
    allowed: NDArray[np.bool_] | None = None,
) -> tuple[Scores, Ids]:
    """Score every row and keep the k best of each query; equal scores rank by row.

    Args:
        vectors: (rows, dim) unit vectors, float16 or float32, possibly memory-mapped.
        queries: (queries, dim) of any length.
        k: Answers per query.
        allowed: (rows,) bool or None.

    Returns:
        Scores and ids, (queries, k), as `VectorIndex.search`.
    Raises:
        DimensionMismatchError, InvalidVectorError, ValueError: As `VectorIndex.search`.
    """
    rows, dim = vectors.shape
    check_search(k, allowed, rows)
    unit = unit_queries(queries, dim)
    chosen = None if allowed is None else np.flatnonzero(allowed)
    count = rows if chosen is None else len(chosen)
    width = min(k, count)
    scores = np.empty((len(unit), width), np.float32)
    ids = np.empty((len(unit), width), np.int64)
    for first in range(0, len(unit) if width else 0, BLOCK_QUERIES):
        block = slice(first, first + BLOCK_QUERIES)
        scores[block], ids[block] = _search_block(vectors, unit[block], width, chosen, count)
    return padded(scores, ids, k)


def _search_block(
    vectors: NDArray[np.floating],
    unit: NDArray[np.float32],
    k: int,
    chosen: NDArray[np.int64] | None,
    count: int,
) -> tuple[Scores, Ids]:
    """The k best of the chosen rows, or of all `count` of them, for a few queries."""
    best_scores = np.empty((len(unit), 0), np.float32)
    best_ids = np.empty((len(unit), 0), np.int64)
    for first in range(0, count, BLOCK_ROWS):
        last = min(count, first + BLOCK_ROWS)
        if chosen is None:
            ids, rows = np.arange(first, last), vectors[first:last]
        else:
            ids = chosen[first:last]
            rows = vectors[ids]
        scores = unit @ np.asarray(rows, np.float32).T
        best_scores, best_ids = best_columns(
            np.concatenate([best_scores, scores], axis=1),
            np.concatenate([best_ids, np.broadcast_to(ids, scores.shape)], axis=1),
            k,
        )
    return best_scores, best_ids


def best_columns(scores: Scores, ids: Ids, k: int) -> tuple[Scores, Ids]:
    """The k best columns of each row, ordered by score, then by id."""
    if scores.shape[1] > 4 * k:
        # Everything at least as good as the k-th best, ties included, survives this cut.
        kth = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
        width = int((scores >= kth).sum(axis=1).max())
        keep = np.argpartition(-scores, width - 1, axis=1)[:, :width]
        scores, ids = np.take_along_axis(scores, keep, 1), np.take_along_axis(ids, keep, 1)
    order = np.lexsort((ids, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)


@dataclass(frozen=True, slots=True)
class ExactIndex:
    """A `VectorIndex` over an array as it is."""

    vectors: NDArray[np.floating]

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.vectors.shape[1])

    @property
    def rows(self) -> int:
        """Number of vectors."""
        return len(self.vectors)

    def search(
        self,
        queries: NDArray[np.floating],
        k: int,
        *,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[Scores, Ids]:
        """See `VectorIndex.search`."""
        return exact_search(self.vectors, queries, k, allowed=allowed)
