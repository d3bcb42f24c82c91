"""Samples rows as media queries, and finds their best scores, to calibrate the scores of media."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.search.calibration import QueryType
from retrieval.search.open_space import Part

MEDIA_QUERIES = 100
"""Number of rows of each medium that serve as media queries for calibration."""

NEIGHBOURS = 64
"""Number of neighbours in which a media query first looks for a row of another item."""

Search = Callable[
    [NDArray[np.float32], int, NDArray[np.bool_]], tuple[NDArray[np.float32], NDArray[np.int64]]
]
"""Finds the k best of the allowed rows of each query: scores and rows, (queries, k)."""


@dataclass(frozen=True, slots=True)
class MediaSamples:
    """Rows that serve as queries.

    Attributes:
        item_ids: (n,) int64; -1 for items of other collections.
        vectors: (n, dim) float32.
    """

    item_ids: NDArray[np.int64]
    vectors: NDArray[np.float32]


def best_of_other_items(
    search: Search,
    item_ids: NDArray[np.int64],
    of_medium: NDArray[np.bool_],
    samples: MediaSamples,
) -> NDArray[np.float32]:
    """Return the best score of each sample among rows of other items, (n,); -inf without any.

    Args:
        search: Searches the rows.
        item_ids: (rows,) item of each row.
        of_medium: (rows,) bool: the rows to find.
        samples: The queries.
    """
    queries, own = samples.vectors, samples.item_ids
    scores, ids = search(queries, NEIGHBOURS, of_medium)
    other = (ids >= 0) & (item_ids[ids] != own[:, None])
    best: NDArray[np.float32] = np.where(other, scores, np.float32(-np.inf)).max(axis=1)
    # The rows of a long recording can fill all neighbours: search again without them.
    for number in np.flatnonzero(np.isneginf(best) & (ids[:, -1] >= 0)):
        allowed = of_medium & (item_ids != own[number])
        best[number] = search(queries[number : number + 1], 1, allowed)[0][0, 0]
    return best


def samples_of(parts: Sequence[Part], code: int, positions: NDArray[np.int64]) -> MediaSamples:
    """Read rows by their positions among the rows of a medium code in all parts."""
    item_ids, vectors, first = [], [], 0
    for part in parts:
        rows = np.flatnonzero(part.rows.media == code)
        own = positions[(positions >= first) & (positions < first + len(rows))] - first
        item_ids.append(part.rows.item_ids[rows[own]])
        vectors.append(part.gather(rows[own]))
        first += len(rows)
    return MediaSamples(np.concatenate(item_ids), np.concatenate(vectors))


def best_of_parts(parts: Sequence[Part], code: int, samples: MediaSamples) -> NDArray[np.float32]:
    """Return the best score of each sample among other items of a medium code, (n,)."""
    best = np.full(len(samples.item_ids), -np.inf, np.float32)
    for part in parts:
        of_medium = np.asarray(part.rows.media == code)
        if of_medium.any():
            search = _search_of(part)
            found = best_of_other_items(search, part.rows.item_ids, of_medium, samples)
            best = np.maximum(best, found)
    return best


def _search_of(part: Part) -> Search:
    return lambda queries, k, allowed: part.nearest(queries, k, allowed, QueryType.MEDIA)
