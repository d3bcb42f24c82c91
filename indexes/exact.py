"""Exact search over an array, in NumPy: the reference, and the search of small tails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.protocol import Ids, Scores
from indexes.scoring import best_columns, scores_of_all, settled, slack
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

    Rough scores by matrix products say which rows of a block are worth scoring properly.

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
    if not width or not len(unit):
        return padded(np.empty((len(unit), 0), np.float32), np.empty((len(unit), 0), np.int64), k)
    scores, ids = settled(
        vectors,
        unit,
        width,
        count,
        lambda asking, wanted: _roughly(vectors, asking, wanted, chosen),
        lambda asking: exact_in_full(vectors, asking, width, chosen),
    )
    return padded(scores, ids, k)


def exact_in_full(
    vectors: NDArray[np.floating],
    unit: NDArray[np.float32],
    k: int,
    chosen: Ids | None = None,
) -> tuple[Scores, Ids]:
    """The same for queries with many rows near to the k-th: all of these are scored properly.

    Args:
        vectors: (rows, dim).
        unit: (queries, dim) float32 of unit length.
        k: Answers per query, at most as many as there are rows to choose from.
        chosen: Rows that may answer, ascending; None for all.
    """
    scores, ids = _nothing(unit, k)
    for some, block in _blocks(vectors, chosen):
        wide = block.astype(np.float32)
        for query in range(0, len(unit), BLOCK_QUERIES):
            asked = slice(query, query + BLOCK_QUERIES)
            least = scores[asked, -1:] - slack(unit.shape[1])
            found = np.flatnonzero((unit[asked] @ wide.T >= least).any(axis=0))
            if len(found):
                proper = scores_of_all(unit[asked], block[found])
                scores[asked], ids[asked] = _with(scores[asked], ids[asked], proper, some[found])
    return scores, ids


def _roughly(
    vectors: NDArray[np.floating], unit: NDArray[np.float32], k: int, chosen: Ids | None
) -> tuple[Scores, Ids]:
    """Best rows by products of matrices, whose last bits depend on block and processor."""
    scores, ids = _nothing(unit, k)
    for some, block in _blocks(vectors, chosen):
        wide = block.astype(np.float32)
        for query in range(0, len(unit), BLOCK_QUERIES):
            asked = slice(query, query + BLOCK_QUERIES)
            rough = unit[asked] @ wide.T
            # Only what is better than the worst so far can matter, soon very little: to sort out
            # the rest would take longer than scoring it.
            found = np.flatnonzero((rough > scores[asked, -1:]).any(axis=0))
            if len(found):
                scores[asked], ids[asked] = _with(
                    scores[asked], ids[asked], rough[:, found], some[found]
                )
    return scores, ids


def _nothing(unit: NDArray[np.float32], k: int) -> tuple[Scores, Ids]:
    shape = (len(unit), k)
    return np.full(shape, -np.inf, np.float32), np.full(shape, np.iinfo(np.int64).max)


def _blocks(
    vectors: NDArray[np.floating], chosen: Ids | None
) -> Iterator[tuple[Ids, NDArray[np.floating]]]:
    """Numbers and vectors of neighbouring rows."""
    count = len(vectors) if chosen is None else len(chosen)
    for first in range(0, count, BLOCK_ROWS):
        last = min(count, first + BLOCK_ROWS)
        if chosen is None:
            yield np.arange(first, last), vectors[first:last]
        else:
            yield chosen[first:last], vectors[chosen[first:last]]


def _with(best: Scores, best_ids: Ids, scores: Scores, rows: Ids) -> tuple[Scores, Ids]:
    """The best of the rows before and of some that come after them."""
    ids = np.broadcast_to(rows, scores.shape)
    return best_columns(
        np.concatenate([best, scores], axis=1),
        np.concatenate([best_ids, ids], axis=1),
        best.shape[1],
    )


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
