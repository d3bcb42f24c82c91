"""Pairs of two kinds, such as captions and videos: a similarity matrix, or both kinds' vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import SourceError
from retrieval.evaluation.ranking import RankingMetrics
from retrieval.files.arrays import read_array

BLOCK_BYTES: Final = 256 * 2**20
"""Scores computed at once."""

PERCENT: Final = ("R@1", "R@5", "R@10", "mAP@10")
RANKS: Final = ("median rank", "mean rank")


def score(predictions: Path, truth: Path | None, note: Callable[[str], None]) -> dict[str, Any]:
    """Recall, median and mean rank and mAP, in both directions; ties count against the system.

    | predictions | truth |
    | --- | --- |
    | queries' vectors (queries, dim) | items' vectors (items, dim), row by row their partners |
    | similarity (queries, items), higher is better | whole numbers (queries,): each query's item |
    | similarity (queries, items) | bool (queries, items): all pairs that belong together |
    | similarity, square | none: the pairs are on the diagonal |

    Args:
        predictions: .npy, or .npz of one array.
        truth: The same, or None.
        note: Takes a line where items have no query.

    Raises:
        SourceError: A file cannot be read, or the arrays do not fit together.
    """
    given = _load(predictions)
    if given.ndim != 2 or given.dtype.kind not in "fiu" or not np.isfinite(given).all():
        raise SourceError(
            f"{predictions}: expected a matrix of finite numbers, found {_described(given)}"
        )
    if truth is None:
        if given.shape[0] != given.shape[1]:
            raise SourceError(f"{predictions}: {_described(given)} is not square: name the pairs "
                              "with --truth")  # fmt: skip
        truth, true = predictions, np.arange(len(given))
    else:
        true = _load(truth)
    if true.dtype.kind == "f" and true.ndim == 2:
        if true.shape != given.shape or not np.isfinite(true).all():
            raise SourceError(f"{truth}: expected {given.shape[0]} finite vectors of dimension "
                              f"{given.shape[1]}, found {_described(true)}")  # fmt: skip
        queries, items = _unit(given, predictions), _unit(true, truth)
        partners = [[row] for row in range(len(queries))]
        return _both(lambda a, b: queries[a:b] @ items.T, lambda a, b: items[a:b] @ queries.T,
                     partners, partners, note)  # fmt: skip
    items_of = _pairs(true, given.shape, truth)
    queries_of: list[list[int]] = [[] for _ in range(given.shape[1])]
    for query, own in enumerate(items_of):
        for item in own:
            queries_of[item].append(query)
    return _both(lambda a, b: given[a:b], lambda a, b: given.T[a:b], items_of, queries_of, note)


Scores = Callable[[int, int], NDArray[Any]]
"""Scores of a range of rows."""


def _both(
    forward: Scores,
    backward: Scores,
    items_of: Sequence[Sequence[int]],
    queries_of: Sequence[Sequence[int]],
    note: Callable[[str], None],
) -> dict[str, Any]:
    lonely = sum(not own for own in queries_of)
    if lonely:
        note(f"{lonely} of {len(queries_of)} items belong to no query: "
             "they distract, and ask nothing")  # fmt: skip
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
        asking = [row for row, own in enumerate(relevant[start : start + block]) if own]
        metrics.add(rows[asking], [relevant[start + row] for row in asking])
    found = metrics.summary()
    return {name: round(100 * found[name], 2) for name in PERCENT} | {
        name: round(found[name], 2) for name in RANKS
    }


def _pairs(true: NDArray[Any], shape: tuple[int, ...], path: Path) -> list[list[int]]:
    """The items of every query."""
    queries, items = shape
    if true.dtype.kind in "iu" and true.shape == (queries,):
        if true.min(initial=0) < 0 or true.max(initial=0) >= items:
            raise SourceError(f"{path}: names an item that is not among {items}")
        return [[int(item)] for item in true]
    if true.dtype.kind == "b" and true.shape == shape:
        if not true.any(axis=1).all():
            raise SourceError(f"{path}: row {int(true.any(axis=1).argmin())} names no item")
        return [np.flatnonzero(row).tolist() for row in true]
    raise SourceError(
        f"{path}: expected {queries} numbers of items, {queries} × {items} truth values, or "
        f"vectors of the size of the predictions', found {_described(true)}"
    )


def _load(path: Path) -> NDArray[Any]:
    try:
        array = read_array(path)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise SourceError(f"{path}: {error}; write it again") from error
    if not array.size:
        raise SourceError(f"{path}: is empty, {_described(array)}")
    return array


def _unit(vectors: NDArray[Any], path: Path) -> NDArray[np.float32]:
    """Vectors of length 1."""
    # Scaled first: the squares of large numbers overflow, those of small ones vanish.
    rows = vectors.astype(np.float64)
    largest = np.abs(rows).max(axis=1, keepdims=True)
    if not largest.all():
        raise SourceError(f"{path}: row {int(largest.argmin())} is a vector of length 0")
    rows /= largest
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(
        np.float32
    )
    return unit


def _described(array: NDArray[Any]) -> str:
    return f"{array.dtype} of shape {array.shape}"
