"""Exact search over an array, in NumPy: the reference, and the search of small tails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.protocol import Ids, Scores
from indexes.vectors import check_search, padded, unit_queries

BLOCK_ROWS = 16_384
"""Rows scored at once; float16 rows are widened block by block, never as a whole."""

BLOCK_QUERIES = 128
"""Queries scored at once: a block of scores takes 8 MiB."""


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
    scores = np.full((len(unit), width), -np.inf, np.float32)
    ids = np.full((len(unit), width), rows, np.int64)
    for first in range(0, count if width else 0, BLOCK_ROWS):
        place = slice(first, min(count, first + BLOCK_ROWS))
        some = np.arange(place.start, place.stop) if chosen is None else chosen[place]
        wide = np.asarray(vectors[place if chosen is None else some], np.float32)
        for query in range(0, len(unit), BLOCK_QUERIES):
            asked = slice(query, query + BLOCK_QUERIES)
            scores[asked], ids[asked] = _with_block(
                scores[asked], ids[asked], unit[asked] @ wide.T, some
            )
    return padded(scores, ids, k)


def _with_block(best: Scores, best_ids: Ids, scores: Scores, rows: Ids) -> tuple[Scores, Ids]:
    """The best of the rows before and of those of a block, which come after them.

    Only what is better than the worst so far can matter, soon very little: to sort out the rest
    would take longer than scoring it.
    """
    found = np.flatnonzero((scores > best[:, -1:]).any(axis=0))
    if not len(found):
        return best, best_ids
    ids = np.broadcast_to(rows[found], (len(scores), len(found)))
    return best_columns(
        np.concatenate([best, scores[:, found]], axis=1),
        np.concatenate([best_ids, ids], axis=1),
        best.shape[1],
    )


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
