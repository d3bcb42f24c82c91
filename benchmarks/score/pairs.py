"""Pairs such as captions and videos, matrix as a similarity matrix or as vectors of both sides."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import SourceError
from retrieval.evaluation.ranking import RankingMetrics
from retrieval.files.arrays import read_array

logger = logging.getLogger(__name__)

BLOCK_BYTES: Final = 256 * 2**20
"""Memory of a block of scores."""

PERCENT: Final = ("R@1", "R@5", "R@10", "mAP@10")
RANKS: Final = ("median rank", "mean rank")


def score(predictions: Path, truth: Path | None) -> dict[str, Any]:
    """Compute recall, median and mean rank and mAP in both directions, with pessimistic ties.

    | predictions | truth |
    | --- | --- |
    | query vectors (queries, dim) | item vectors (items, dim); row i belongs to query i |
    | similarity (queries, items), higher is better | integers (queries,): the item of each query |
    | similarity (queries, items) | bool (queries, items): all pairs that belong together |
    | similarity, square | none: the pairs are on the diagonal |

    Args:
        predictions: .npy, or .npz of one array.
        truth: Likewise, or None.

    Raises:
        SourceError: A file cannot be read, or the shapes of the arrays do not match.
    """
    matrix = _load(predictions)
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or not np.isfinite(matrix).all():
        raise SourceError(
            f"{predictions}: expected a matrix of finite numbers, found {_description(matrix)}"
        )
    if truth is None:
        if matrix.shape[0] != matrix.shape[1]:
            raise SourceError(
                f"{predictions}: {_description(matrix)} is not square, so a truth file is needed"
            )
        truth, true = predictions, np.arange(len(matrix))
    else:
        true = _load(truth)
    if true.dtype.kind == "f" and true.ndim == 2:
        if true.shape != matrix.shape or not np.isfinite(true).all():
            raise SourceError(f"{truth}: expected {matrix.shape[0]} finite vectors of dimension "
                              f"{matrix.shape[1]}, found {_description(true)}")  # fmt: skip
        queries, items = _unit(matrix, predictions), _unit(true, truth)
        partners = [[row] for row in range(len(queries))]
        return _both(lambda a, b: queries[a:b] @ items.T, lambda a, b: items[a:b] @ queries.T,
                     partners, partners)  # fmt: skip
    items_of = _pairs(true, matrix.shape, truth)
    queries_of: list[list[int]] = [[] for _ in range(matrix.shape[1])]
    for query, own in enumerate(items_of):
        for item in own:
            queries_of[item].append(query)
    return _both(lambda a, b: matrix[a:b], lambda a, b: matrix.T[a:b], items_of, queries_of)


Scores = Callable[[int, int], NDArray[Any]]
"""Computes the scores of a range of rows."""


def _both(
    forward: Scores,
    backward: Scores,
    items_of: Sequence[Sequence[int]],
    queries_of: Sequence[Sequence[int]],
) -> dict[str, Any]:
    distractors = sum(not own for own in queries_of)
    if distractors:
        logger.warning(
            "%d of %d items belong to no query: they act as distractors and are never queries",
            distractors,
            len(queries_of),
        )
    return {
        "queries": len(items_of),
        "items": len(queries_of),
        "query to item": _direction(forward, items_of, len(queries_of)),
        "item to query": _direction(backward, queries_of, len(items_of)),
    }


def _direction(scores: Scores, relevant: Sequence[Sequence[int]], gallery: int) -> dict[str, float]:
    metrics = RankingMetrics()
    block = max(1, BLOCK_BYTES // (8 * gallery))
    for start in range(0, len(relevant), block):
        rows = scores(start, start + block)
        queries = [row for row, own in enumerate(relevant[start : start + block]) if own]
        metrics.add(rows[queries], [relevant[start + row] for row in queries])
    summary = metrics.summary()
    return {name: round(100 * summary[name], 2) for name in PERCENT} | {
        name: round(summary[name], 2) for name in RANKS
    }


def _pairs(true: NDArray[Any], shape: tuple[int, ...], path: Path) -> list[list[int]]:
    """Return the items of each query."""
    queries, items = shape
    if true.dtype.kind in "iu" and true.shape == (queries,):
        if true.min(initial=0) < 0 or true.max(initial=0) >= items:
            raise SourceError(f"{path}: names an item outside 0 to {items - 1}")
        return [[int(item)] for item in true]
    if true.dtype.kind == "b" and true.shape == shape:
        if not true.any(axis=1).all():
            raise SourceError(f"{path}: row {int(true.any(axis=1).argmin())} names no item")
        return [np.flatnonzero(row).tolist() for row in true]
    raise SourceError(
        f"{path}: expected {queries} item numbers, {queries} × {items} booleans, or "
        f"vectors of the shape of the predictions, found {_description(true)}"
    )


def _load(path: Path) -> NDArray[Any]:
    try:
        array = read_array(path)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise SourceError(f"{path}: {error}; write it again") from error
    if not array.size:
        raise SourceError(f"{path}: is empty, {_description(array)}")
    return array


def _unit(vectors: NDArray[Any], path: Path) -> NDArray[np.float32]:
    """Scale vectors to unit length."""
    # Divide by the largest value first: squares of large numbers overflow, small ones underflow.
    rows = vectors.astype(np.float64)
    largest = np.abs(rows).max(axis=1, keepdims=True)
    if not largest.all():
        raise SourceError(f"{path}: row {int(largest.argmin())} has length 0")
    rows /= largest
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(
        np.float32
    )
    return unit


def _description(array: NDArray[Any]) -> str:
    return f"{array.dtype} of shape {array.shape}"
