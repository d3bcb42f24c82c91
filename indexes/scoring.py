"""The score of a query and a row: one value, whatever processor, library or block computes it.

Floats lose bits when they are added up, and lose others in another order: the same row then has
another score in another block, thread or processor, and equal rows change their order. Here nothing
is lost. Numbers of unit vectors are multiples of 2⁻²⁶ (float16 rows are such; queries and float32
rows are rounded), so products are multiples of 2⁻⁵² and sums stay below 2: float64 holds each of
them as it is, and any order of adding gives the same sum. It is rounded once, to float32.

Searches rank rows by faster, rough scores first. `slack` bounds how far these are off, so that
every row that may belong among the answers is scored properly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from indexes.protocol import Ids, Scores

GRID: Final = 2.0**26

SCORED_NUMBERS: Final = 1 << 22
"""Numbers of rows that are widened at once: 32 MiB."""

NEAR_ROWS: Final = 16
"""So many more rows than are wanted, or an eighth more, are scored properly: equal rows, and rows
that rough scores cannot tell apart, are rarely more than that."""


def on_grid(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Round numbers of unit vectors to multiples of 2⁻²⁶; float16 ones stay as they are."""
    wide = vectors.astype(np.float64)
    if vectors.dtype != np.float16:
        wide *= GRID
        np.rint(wide, out=wide)
        wide /= GRID
    return wide


def scores_of_all(queries: NDArray[np.floating], rows: NDArray[np.floating]) -> Scores:
    """Scores of unit queries (n, dim) and rows (count, dim) of about unit length, (n, count)."""
    asked, step = on_grid(queries), max(1, SCORED_NUMBERS // max(1, queries.shape[1]))
    scores = np.empty((len(queries), len(rows)), np.float32)
    for first in range(0, len(rows), step):
        some = slice(first, first + step)
        scores[:, some] = asked @ on_grid(rows[some]).T
    return scores


def scores_of_each(queries: NDArray[np.floating], rows: NDArray[np.floating], ids: Ids) -> Scores:
    """Scores of unit queries (n, dim) and each one's own rows; -inf for an id of -1.

    Args:
        queries: Of unit length.
        rows: (rows, dim), of about unit length.
        ids: (n, count) rows of each query.
    """
    asked, step = on_grid(queries), max(1, SCORED_NUMBERS // max(1, ids.shape[1] * rows.shape[1]))
    scores = np.full(ids.shape, -np.inf, np.float32)
    for first in range(0, len(queries) if len(rows) else 0, step):
        some = slice(first, first + step)
        scores[some] = np.matmul(on_grid(rows[ids[some]]), asked[some, :, None])[:, :, 0]
    scores[ids < 0] = -np.inf
    return scores


def slack(dim: int) -> float:
    """More than a score added up in float32, in any order, may differ from the one proper.

    Adding up loses at most `dim` roundings of 2⁻²⁴ of vectors of unit length (Higham, Accuracy and
    Stability of Numerical Algorithms, 3.1); rounding to the grid and to float32 loses the rest.
    """
    return (dim + 64) * 2.0**-24


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


def near(k: int) -> int:
    """How many rows are scored properly to rank k."""
    return k + max(NEAR_ROWS, k // 8)


def settled(
    rows: NDArray[np.floating],
    unit: NDArray[np.float32],
    k: int,
    most: int,
    find: Callable[[NDArray[np.float32], int], tuple[Scores, Ids]],
    search: Callable[[NDArray[np.float32]], tuple[Scores, Ids]] | None = None,
) -> tuple[Scores, Ids]:
    """The k best rows by their scores proper, of those that are best by rough ones.

    Args:
        rows: All rows, (rows, dim).
        unit: (queries, dim) float32 of unit length.
        k: Rows for each query, at most `most`.
        most: As many as can be found.
        find: Finds so many rows of some queries, with rough scores, best first; -inf and -1 for
            none.
        search: Answers queries of which `find` leaves out rows that may be as good as the last
            answer; None: it is asked for as many as can be found.
    """
    asked = min(most, near(k))
    rough, found = find(unit, asked)
    scores, ids = best_columns(scores_of_each(unit, rows, found), found, k)
    if asked == most:
        return scores, ids
    again = np.flatnonzero(rough[:, -1] > scores[:, -1] - slack(unit.shape[1]))
    if len(again) and search is not None:
        scores[again], ids[again] = search(unit[again])
    elif len(again):
        found = find(unit[again], most)[1]
        proper = scores_of_each(unit[again], rows, found)
        scores[again], ids[again] = best_columns(proper, found, k)
    return scores, ids
