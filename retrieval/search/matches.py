"""Finds the best items of the rows of one member, and groups rows by item."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
    """The best row of an item in one space, and the score of the item."""

    item_id: int
    score: float
    medium: int
    start_seconds: float
    end_seconds: float


def find_matches(rows: Iterable[SelectedPart], query: QueryVectors, limit: int) -> list[ItemMatch]:
    """Find the best items of the parts of a space, `limit` of each part.

    Args:
        rows: Rows to search.
        query: The query in the space.
        limit: Number of items.
    """
    return [
        match
        for part, selection in rows
        for match in best_items(part, query.vectors, limit, selection, query.query_type)
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
    if len(queries) == 1:
        return _best_by_one(part, queries, k, selection, query_type)
    item_ids = {
        match.item_id
        for query in queries
        for match in _best_by_one(part, query[None], k, selection, query_type)
    }
    matches = [_score_item(part, item_id, queries, selection.mask) for item_id in item_ids]
    return sorted(matches, key=lambda match: (-match.score, match.item_id))[:k]


def _best_by_one(
    part: Part, query: NDArray[np.float32], k: int, selection: Selection, query_type: QueryType
) -> list[ItemMatch]:
    item_ids = part.rows.item_ids
    allowed: NDArray[np.bool_] | Selection = selection
    fetch = min(len(item_ids), ROWS_PER_ITEM * k)
    matches: dict[int, ItemMatch] = {}
    while len(matches) < k:
        scores, rows = part.search(query, max(1, fetch), allowed, query_type)
        first_rows = np.sort(np.unique(item_ids[rows], return_index=True)[1])
        for position in first_rows[: k - len(matches)].tolist():
            match = _match(part, int(rows[position]), float(scores[position]))
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
    best = int(scores.max(axis=0).argmax())
    return _match(part, rows.start + best, float(scores.max(axis=1).mean()))


def _match(part: Part, row: int, score: float) -> ItemMatch:
    rows = part.rows
    return ItemMatch(
        int(rows.item_ids[row]),
        score,
        int(rows.media[row]),
        float(rows.start_seconds[row]),
        float(rows.end_seconds[row]),
    )
