"""Searches the parts of all spaces, groups rows by item, and orders the items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.scoring import exact_scores
from indexes.selection import Selection
from retrieval.search.calibration import QueryType
from retrieval.search.filtering import SelectedPart
from retrieval.search.items import ItemTable
from retrieval.search.open_space import OpenedSpace, Part
from retrieval.search.query_vectors import QueryVectors
from retrieval.store.schema import MEDIUM_CODES
from retrieval.types import Hit, Medium

ROWS_PER_ITEM = 3
"""Rows fetched per requested item. It suffices where items have few segments each."""


@dataclass(frozen=True, slots=True)
class ItemMatch:
    """The best row of an item in one part, and the score of the item."""

    item_id: int
    score: float
    medium: int
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class ScoredItem:
    """An item found by the first stage.

    Attributes:
        match: The item's best row.
        opened: The space of that row.
        part: The part of that row.
        calibrated: The score in deviations above the mean of unrelated queries.
        likely: Whether the score is better than those of unrelated queries.
    """

    match: ItemMatch
    opened: OpenedSpace
    part: Part
    calibrated: float
    likely: bool

    @property
    def medium(self) -> Medium:
        """Medium of the best segment."""
        return MEDIUM_CODES[self.match.medium]

    def sort_score(self, *, one_space: bool) -> float:
        """Score to rank by. Scores of one space are comparable; several need calibration."""
        return self.match.score if one_space else self.calibrated


def rank_items(
    spaces: Mapping[str, OpenedSpace],
    rows: Mapping[str, Sequence[SelectedPart]],
    vectors: Mapping[str, QueryVectors],
    limit: int,
) -> list[ScoredItem]:
    """Find the best items of all spaces, each once, best first.

    Args:
        spaces: Spaces by name.
        rows: Rows to search, by space.
        vectors: The query by space; other spaces are not searched.
        limit: Number of items.
    """
    best: dict[int, ScoredItem] = {}
    for name, query in vectors.items():
        opened = spaces[name]
        for part, selection in rows[name]:
            for match in best_items(part, query.vectors, limit, selection, query.query_type):
                item = _calibrate(match, opened, part, query.query_type)
                previous = best.get(match.item_id)
                if previous is None or item.calibrated > previous.calibrated:
                    best[match.item_id] = item
    one_space = len(vectors) < 2
    ranked = sorted(
        best.values(),
        key=lambda item: (-item.sort_score(one_space=one_space), item.match.item_id),
    )
    return ranked[:limit]


def score_items(
    spaces: Mapping[str, OpenedSpace],
    rows: Mapping[str, Sequence[SelectedPart]],
    vectors: Mapping[str, QueryVectors],
    item_ids: Iterable[int],
) -> list[ScoredItem]:
    """Score some items by their best rows; those without a selected row are left out.

    Args:
        spaces: Spaces by name.
        rows: Rows to search, by space.
        vectors: The query by space; other spaces are not searched.
        item_ids: The items.
    """
    best: dict[int, ScoredItem] = {}
    for name, query in vectors.items():
        for part, selection in rows[name]:
            for item_id in item_ids:
                if not selection.mask[part.item_rows(item_id)].any():
                    continue
                match = _score_item(part, item_id, query.vectors, selection.mask)
                item = _calibrate(match, spaces[name], part, query.query_type)
                previous = best.get(item_id)
                if previous is None or item.calibrated > previous.calibrated:
                    best[item_id] = item
    return list(best.values())


def _calibrate(
    match: ItemMatch, opened: OpenedSpace, part: Part, query_type: QueryType
) -> ScoredItem:
    medium, calibration = MEDIUM_CODES[match.medium], opened.calibration
    return ScoredItem(
        match,
        opened,
        part,
        calibration.calibrated(match.score, query_type, medium),
        calibration.likely(match.score, query_type, medium),
    )


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


def hits_of(items: Sequence[ScoredItem], table: ItemTable) -> list[Hit]:
    """Convert ranked items to hits, with the columns of the item table."""
    described = table.rows([item.match.item_id for item in items])
    hits = []
    for item, (uri, modality, metadata) in zip(items, described, strict=True):
        match = item.match
        timed = not np.isnan(match.start_seconds)
        hits.append(
            Hit(
                rank=0,
                score=clip_score(match.score),
                item_id=match.item_id,
                uri=uri,
                modality=modality,
                medium=item.medium,
                start_seconds=match.start_seconds if timed else None,
                end_seconds=match.end_seconds if timed else None,
                space=item.opened.space.name,
                likely=item.likely,
                metadata=metadata,
            )
        )
    return hits


def clip_score(score: float) -> float:
    """Clip a score to -1 … 1: float16 rounding changes the length of stored vectors."""
    return max(-1.0, min(1.0, score))
