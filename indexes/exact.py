"""Exact search over an array in NumPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from indexes.protocol import Ids, Scores
from indexes.scoring import best_columns, exact_scores, rerank_exactly, score_error_bound
from indexes.vectors import check_search, no_answers, pad_answers, unit_queries

BLOCK_ROWS = 16_384
"""Rows scored at once. Float16 rows are converted to float32 block by block to bound memory."""

BLOCK_QUERIES = 128
"""Queries scored at once: a block of scores takes 8 MiB."""


def exact_search(
    vectors: NDArray[np.floating],
    queries: NDArray[np.floating],
    k: int,
    *,
    allowed: NDArray[np.bool_] | None = None,
) -> tuple[Scores, Ids]:
    """Score all rows and return the k best of each query; equal scores rank by row.

    Float32 matrix products select the rows that are then scored exactly.

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
    row_ids = None if allowed is None else np.flatnonzero(allowed)
    count = rows if row_ids is None else len(row_ids)
    width = min(k, count)
    if not width or not len(unit):
        return no_answers(len(unit), k)
    scores, ids = rerank_exactly(
        vectors,
        unit,
        width,
        count,
        lambda wider: _search_float32(vectors, unit, wider, row_ids),
        lambda queries: search_all_rows(vectors, unit[queries], width, row_ids),
    )
    return pad_answers(scores, ids, k)


def search_all_rows(
    vectors: NDArray[np.floating],
    unit: NDArray[np.float32],
    k: int,
    row_ids: Ids | None = None,
) -> tuple[Scores, Ids]:
    """Search exactly, scoring every row whose float32 score is near the k-th best.

    Slower than `exact_search`, but correct for any number of nearly equal scores.

    Args:
        vectors: (rows, dim).
        unit: (queries, dim) float32 of unit length.
        k: Answers per query, at most the number of allowed rows.
        row_ids: Allowed rows, ascending; None for all.
    """
    scores, ids = _empty_answers(unit, k)
    for block_ids, block in _blocks(vectors, row_ids):
        wide = block.astype(np.float32)
        for first in range(0, len(unit), BLOCK_QUERIES):
            part = slice(first, first + BLOCK_QUERIES)
            bound = scores[part, -1:] - score_error_bound(unit.shape[1])
            near = np.flatnonzero((unit[part] @ wide.T >= bound).any(axis=0))
            if len(near):
                exact = exact_scores(unit[part], block[near])
                scores[part], ids[part] = _merge(scores[part], ids[part], exact, block_ids[near])
    return scores, ids


def _search_float32(
    vectors: NDArray[np.floating], unit: NDArray[np.float32], k: int, row_ids: Ids | None
) -> tuple[Scores, Ids]:
    """Search by matrix products, whose rounding depends on block size and processor."""
    scores, ids = _empty_answers(unit, k)
    for block_ids, block in _blocks(vectors, row_ids):
        wide = block.astype(np.float32)
        for first in range(0, len(unit), BLOCK_QUERIES):
            part = slice(first, first + BLOCK_QUERIES)
            block_scores = unit[part] @ wide.T
            # Few rows beat the k-th best after the first blocks; sorting the others is slow.
            better = np.flatnonzero((block_scores > scores[part, -1:]).any(axis=0))
            if len(better):
                scores[part], ids[part] = _merge(
                    scores[part], ids[part], block_scores[:, better], block_ids[better]
                )
    return scores, ids


def _empty_answers(unit: NDArray[np.float32], k: int) -> tuple[Scores, Ids]:
    shape = (len(unit), k)
    return np.full(shape, -np.inf, np.float32), np.full(shape, np.iinfo(np.int64).max)


def _blocks(
    vectors: NDArray[np.floating], row_ids: Ids | None
) -> Iterator[tuple[Ids, NDArray[np.floating]]]:
    """Yield ids and vectors of the allowed rows, block by block."""
    count = len(vectors) if row_ids is None else len(row_ids)
    for first in range(0, count, BLOCK_ROWS):
        last = min(count, first + BLOCK_ROWS)
        if row_ids is None:
            yield np.arange(first, last), vectors[first:last]
        else:
            yield row_ids[first:last], vectors[row_ids[first:last]]


def _merge(best: Scores, best_ids: Ids, scores: Scores, row_ids: Ids) -> tuple[Scores, Ids]:
    """Merge the best answers so far with the scores of further rows."""
    return best_columns(
        np.concatenate([best, scores], axis=1),
        np.concatenate([best_ids, np.broadcast_to(row_ids, scores.shape)], axis=1),
        best.shape[1],
    )
