"""Exact inner products of queries and rows, independent of processor, library and block size.

Float addition rounds differently in each order, so the same row would have different scores in
different blocks, and equal rows would change places. Exact scores avoid rounding: numbers of unit
vectors are multiples of 2⁻²⁶ (float16 rows are; queries and float32 rows are rounded), so products
are multiples of 2⁻⁵² and sums stay below 2. Float64 represents all of them exactly, whatever the
order of addition. The sum is rounded once, to float32.

Searches first rank rows by faster, approximate scores. `score_error_bound` bounds their error, so
that all rows that may be among the answers are scored exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from indexes.protocol import Ids, Scores

GRID: Final = 2.0**26

BLOCK_NUMBERS: Final = 1 << 22
"""Numbers converted to float64 at once: 32 MiB."""

EXTRA_ROWS: Final = 16
"""Minimum number of additional rows scored exactly; more are needed only for many equal rows."""


def round_to_grid(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Round numbers of unit vectors to multiples of 2⁻²⁶; float16 numbers do not change."""
    wide = vectors.astype(np.float64)
    if vectors.dtype != np.float16:
        wide *= GRID
        np.rint(wide, out=wide)
        wide /= GRID
    return wide


def exact_scores(queries: NDArray[np.floating], rows: NDArray[np.floating]) -> Scores:
    """Score unit queries (n, dim) and rows (count, dim) of about unit length; (n, count)."""
    wide, step = round_to_grid(queries), max(1, BLOCK_NUMBERS // max(1, queries.shape[1]))
    scores = np.empty((len(queries), len(rows)), np.float32)
    for first in range(0, len(rows), step):
        block = slice(first, first + step)
        scores[:, block] = wide @ round_to_grid(rows[block]).T
    return scores


def exact_scores_by_id(
    queries: NDArray[np.floating], rows: NDArray[np.floating], ids: Ids
) -> Scores:
    """Score each query against rows of its own; -inf for an id of -1.

    Args:
        queries: (n, dim) of unit length.
        rows: (rows, dim), of about unit length.
        ids: (n, count) row ids per query.

    Returns:
        (n, count).
    """
    step = max(1, BLOCK_NUMBERS // max(1, ids.shape[1] * rows.shape[1]))
    wide = round_to_grid(queries)
    scores = np.full(ids.shape, -np.inf, np.float32)
    for first in range(0, len(queries) if len(rows) else 0, step):
        block = slice(first, first + step)
        scores[block] = np.matmul(round_to_grid(rows[ids[block]]), wide[block, :, None])[:, :, 0]
    scores[ids < 0] = -np.inf
    return scores


def score_error_bound(dim: int) -> float:
    """Return an upper bound on the difference between a float32 sum and the exact score.

    Summation in any order loses at most `dim` roundings of 2⁻²⁴ for unit vectors (Higham, Accuracy
    and Stability of Numerical Algorithms, 3.1); the rest covers rounding to the grid and to
    float32.
    """
    return (dim + 64) * 2.0**-24


def best_columns(scores: Scores, ids: Ids, k: int) -> tuple[Scores, Ids]:
    """Return the k best columns of each row, ordered by score, then by id."""
    if scores.shape[1] > 4 * k:
        # Keeps everything at least as good as the k-th best, including ties.
        kth = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
        width = int((scores >= kth).sum(axis=1).max())
        keep = np.argpartition(-scores, width - 1, axis=1)[:, :width]
        scores, ids = np.take_along_axis(scores, keep, 1), np.take_along_axis(ids, keep, 1)
    order = np.lexsort((ids, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)


def rerank_count(k: int) -> int:
    """Return the number of rows to score exactly for k answers."""
    return k + max(EXTRA_ROWS, k // 8)


def rerank_exactly(
    rows: NDArray[np.floating],
    unit: NDArray[np.float32],
    k: int,
    max_rows: int,
    search: Callable[[int], tuple[Scores, Ids]],
    search_fully: Callable[[NDArray[np.int64]], tuple[Scores, Ids]],
) -> tuple[Scores, Ids]:
    """Search with approximate scores and rank the best rows by exact ones.

    Args:
        rows: All rows, (rows, dim).
        unit: (queries, dim) float32 of unit length.
        k: Answers per query, at most `max_rows`.
        max_rows: Maximum number of rows that `search` can return per query.
        search: Returns a number of rows of each query with approximate scores, best first, padded
            with -inf and -1.
        search_fully: Returns the k answers, with exact scores, of the queries at some positions:
            those for which `search` may have omitted rows as good as the last answer.
    """
    count = min(max_rows, rerank_count(k))
    approximate, found = search(count)
    scores, ids = best_columns(exact_scores_by_id(unit, rows, found), found, k)
    if count == max_rows:
        return scores, ids
    bound = scores[:, -1] - score_error_bound(unit.shape[1])
    uncertain = np.flatnonzero(approximate[:, -1] > bound)
    if len(uncertain):
        scores[uncertain], ids[uncertain] = search_fully(uncertain)
    return scores, ids
