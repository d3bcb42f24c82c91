"""Finds the best items of the rows of one member, and groups rows by item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import starmap

import numpy as np
from numpy.typing import NDArray

from indexes.scoring import exact_scores
from indexes.selection import Selection
from retrieval.search.calibration import QueryType
from retrieval.search.filtering import SelectedPart
from retrieval.search.open_space import Part
from retrieval.search.query_vectors import QueryVectors

ROWS_PER_ITEM = 3
"""Rows fetched per requested item. It suffices where items have few segments each."""


@dataclass(frozen=True, slots=True)
class ItemMatch:
    """The best row of an item in one space, and the score of the item.

    Attributes:
        vector_scores: (m,) float32 best score for each vector of a query of several; else None.
    """

    item_id: int
    score: float
    medium: int
    start_seconds: float
    end_seconds: float
    vector_scores: NDArray[np.float32] | None = field(default=None, compare=False)


def find_matches(
    rows: Iterable[SelectedPart], query: QueryVectors, limit: int, *, is_alone: bool = True
) -> list[ItemMatch]:
    """Find the best items of the parts of a space.

    Args:
        rows: Rows to search.
        query: The query in the space.
        limit: Number of items of each part, or of each part and vector.
        is_alone: Return the best `limit` items of each part; else, for a query of several vectors,
            those of each vector.
    """
    find = best_items if is_alone else candidates
    return [
        match
        for part, selection in rows
        for match in find(part, query.vectors, limit, selection, query.query_type)
    ]


def score_matches(
    rows: Iterable[SelectedPart], query: QueryVectors, item_ids: Sequence[int]
) -> list[ItemMatch]:
    """Score some items by their best rows; those without a selected row are left out.

    Args:
        rows: Rows to search.
        query: The query in the space.
        item_ids: The items.
    """
    return [
        _score_item(part, item_id, query.vectors, selection.mask)
        for part, selection in rows
        for item_id in item_ids
        if selection.mask[part.item_rows(item_id)].any()
    ]


def best_items(
    part: Part,
    queries: NDArray[np.float32],
    k: int,
    selection: Selection,
    query_type: QueryType,
) -> list[ItemMatch]:
    """Find the k best items of a part by their best rows.

    While fewer than k items are found, the part is searched again without their rows, so that one
    long recording cannot fill the result. Several query vectors score an item by the mean, over
    the vectors, of its best row.
    """
    matches = candidates(part, queries, k, selection, query_type)
    return matches if len(queries) == 1 else best_first(matches)[:k]


def candidates(
    part: Part,
    queries: NDArray[np.float32],
    k: int,
    selection: Selection,
    query_type: QueryType,
) -> list[ItemMatch]:
    """Find the k best items of a part for each query vector, without order; see `best_items`."""
    if len(queries) == 1:
        return _best_by_one(part, queries, k, selection, query_type)
    item_ids = {
        match.item_id
        for query in queries
        for match in _best_by_one(part, query[None], k, selection, query_type)
    }
    return [_score_item(part, item_id, queries, selection.mask) for item_id in item_ids]


def best_first(matches: Iterable[ItemMatch]) -> list[ItemMatch]:
    """Sort matches of one space by score."""
    return sorted(matches, key=lambda match: (-match.score, match.item_id))


def best_of_members(matches: Sequence[ItemMatch], k: int) -> list[ItemMatch]:
    """Return the k best of the candidates of several members, as one part finds them.

    The items of a query of several vectors are those among the k best of any vector.
    """
    rows = [match.vector_scores for match in matches if match.vector_scores is not None]
    if rows:
        scores = np.stack(rows)  # (matches, m)
        ids = np.array([match.item_id for match in matches])
        chosen = np.zeros(len(matches), bool)
        for column in scores.T:
            chosen[np.lexsort((ids, -column))[:k]] = True
        matches = [match for match, is_chosen in zip(matches, chosen, strict=True) if is_chosen]
    return best_first(matches)[:k]


def _best_by_one(
    part: Part, query: NDArray[np.float32], k: int, selection: Selection, query_type: QueryType
) -> list[ItemMatch]:
    item_ids = part.rows.item_ids
    allowed: NDArray[np.bool_] | Selection = selection
    fetch = min(len(item_ids), ROWS_PER_ITEM * k)
    matches: dict[int, ItemMatch] = {}
    while len(matches) < k:
        scores, rows = part.search(query, max(1, fetch), allowed, query_type)
        first_rows: dict[int, int] = {}
        for position, item_id in enumerate(item_ids[rows].tolist()):
            first_rows.setdefault(item_id, position)
        best = list(first_rows.values())[: k - len(matches)]
        for match in _matches(part, rows[best], scores[best]):
            matches[match.item_id] = match
        if len(rows) < fetch or len(matches) >= k:
            break
        others = ~np.isin(item_ids, np.fromiter(matches, np.int64, len(matches)))
        allowed = selection.mask & others
        fetch = min(len(item_ids), 2 * fetch)
    return list(matches.values())


def _score_item(
    part: Part, item_id: int, queries: NDArray[np.float32], mask: NDArray[np.bool_]
) -> ItemMatch:
    rows = part.item_rows(item_id)
    scores = exact_scores(queries, part.vectors(rows))
    scores[:, ~mask[rows]] = -np.inf
    best, vector_scores = int(scores.max(axis=0).argmax()), scores.max(axis=1)
    row, mean = np.array([rows.start + best]), vector_scores.mean(keepdims=True)
    (match,) = _matches(part, row, mean)
    return match if len(queries) == 1 else replace(match, vector_scores=vector_scores)


def _matches(
    part: Part, rows: NDArray[np.int64], scores: NDArray[np.float32]
) -> Iterator[ItemMatch]:
    table = part.rows
    columns = (table.media, table.start_seconds, table.end_seconds)
    values = (table.item_ids[rows], scores, *(column[rows] for column in columns))
    return starmap(ItemMatch, zip(*(column.tolist() for column in values), strict=True))
