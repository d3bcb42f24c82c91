"""Exact search over an array, in NumPy: the reference, and the search of small tails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.protocol import Ids, Scores
from indexes.scoring import best_columns, scores_of_all, slack
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
    scores = np.full((len(unit), width), -np.inf, np.float32)
    ids = np.full((len(unit), width), rows, np.int64)
    for first in range(0, count if width else 0, BLOCK_ROWS):
        place = slice(first, min(count, first + BLOCK_ROWS))
        some = np.arange(place.start, place.stop) if chosen is None else chosen[place]
        block = np.asarray(vectors[place if chosen is None else some])
        wide = np.asarray(block, np.float32)
        for query in range(0, len(unit), BLOCK_QUERIES):
            asked = slice(query, query + BLOCK_QUERIES)
            found = _worth_scoring(unit[asked] @ wide.T, scores[asked], slack(dim))
            if len(found):
                scores[asked], ids[asked] = best_columns(
                    np.concatenate([scores[asked], scores_of_all(unit[asked], block[found])], 1),
                    np.concatenate([ids[asked], np.tile(some[found], (len(unit[asked]), 1))], 1),
                    width,
                )
    return padded(scores, ids, k)


def _worth_scoring(rough: Scores, best: Scores, slack: float) -> Ids:
    """Positions in a block of the rows that may be among the best of any query.

    Only what is better than the worst so far can matter, soon very little.

    Args:
        rough: (queries, rows) of the block, off by less than `slack`.
        best: (queries, k) scores of the best rows before it, best first.
        slack: See `indexes.scoring`.
    """
    least = best[:, -1:]
    k = best.shape[1]
    if k < rough.shape[1] and np.isneginf(least).any():
        # So many rows of this block alone score more than that.
        least = np.maximum(least, -np.partition(-rough, k - 1, axis=1)[:, k - 1 : k] - slack)
    return np.flatnonzero((rough >= least - slack).any(axis=0))


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
