"""One space of a collection, opened for searching: its index, and the rows that are newer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexes.equal_rows import DeduplicatedIndex
from indexes.exact import exact_search
from indexes.faiss import FaissIndex
from indexes.gpu import DeviceIndex, index_for_device
from indexes.saved import open_index
from indexes.scoring import exact_scores
from indexes.selection import Selection
from retrieval.errors import CollectionFormatError
from retrieval.search.calibration import Background, Calibration, QueryKind
from retrieval.search.index_files import RowTable, damaged
from retrieval.search.indexing.card import IndexCard
from retrieval.search.indexing.part import APPROXIMATE, CARD, EXACT, ROWS
from retrieval.store.reader import Snapshot
from retrieval.types import Medium, Space

FIRST_FETCH = 3
"""Rows asked for per item wanted: enough where items have few segments each."""


@dataclass(frozen=True, slots=True)
class ItemMatch:
    """An item's best row in one part, and the item's score."""

    item_id: int
    score: float
    medium: int
    start_seconds: float
    end_seconds: float


class Part:
    """Rows that are searched together: an index with its row table, or the tail behind it.

    Args:
        rows: What the rows are.
        indexes: The index, as hard as it looks for each kind of query; empty for the tail.
        vectors: The tail's rows.
    """

    def __init__(
        self,
        rows: RowTable,
        indexes: Mapping[QueryKind, FaissIndex | DeviceIndex | DeduplicatedIndex],
        vectors: NDArray[np.float16] | None = None,
    ) -> None:
        self.rows = rows
        self._indexes = indexes
        self._index = indexes.get(QueryKind.MEDIA)
        self._vectors = vectors

    def selection(self, mask: NDArray[np.bool_]) -> Selection:
        """Prepare a mask of the rows, (rows,) bool, for many searches."""
        if self._index is not None:
            return self._index.select(mask)
        return Selection.from_mask(mask)

    @property
    def approximates(self) -> bool:
        """Whether answers come from an approximate index, re-ranked."""
        return self._index is not None and self._index.approximate

    def search(
        self,
        query: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | Selection | None,
        kind: QueryKind,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k best rows of one query (1, dim), without padding."""
        scores, ids = self.nearest(query, k, allowed, kind)
        real = ids[0] >= 0
        return scores[0, real], ids[0, real]

    def nearest(
        self,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | Selection | None,
        kind: QueryKind = QueryKind.MEDIA,
        *,
        visited_share: float | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k best rows of each query, (queries, k), as `FaissIndex.search`."""
        if self._indexes:
            index = self._indexes[kind]
            return index.search(queries, k, allowed=allowed, visited_share=visited_share)
        assert self._vectors is not None
        mask = allowed.mask if isinstance(allowed, Selection) else allowed
        return exact_search(self._vectors, queries, k, allowed=mask)

    def item_rows(self, item_id: int) -> slice:
        """Positions of an item's rows, which are neighbours."""
        first, last = np.searchsorted(self.rows.item_ids, [item_id, item_id + 1])
        return slice(int(first), int(last))

    def vectors(self, rows: slice) -> NDArray[np.float32]:
        """Vectors of neighbouring rows."""
        if self._index is not None:
            return self._index.vectors(rows.start, rows.stop)
        assert self._vectors is not None
        return self._vectors[rows].astype(np.float32)

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors of any rows, (n, dim)."""
        if self._index is not None:
            return self._index.gather(rows)
        assert self._vectors is not None
        return self._vectors[rows].astype(np.float32)


class OpenedSpace:
    """A space's parts: those of its index, and newer rows in memory.

    A collection without an index is all tail: searched exactly, with uncalibrated scores.
    `exact` leaves the approximate index aside.
    """

    def __init__(
        self, snapshot: Snapshot, space: Space, *, exact: bool = False, device: str = "cpu"
    ) -> None:
        self.space = space
        self.cards: list[IndexCard] = []
        self.parts: list[Part] = []
        for folder in snapshot.index_folders(space.name):
            card = IndexCard.read(folder / CARD)
            _check_card(card, space, folder)
            self.cards.append(card)
            part = _open_part(folder, card, exact, device)
            if card.rows:
                self.parts.append(part)
        last = self.cards[-1].last_item_id if self.cards else -1
        blocks = list(snapshot.iter_segments(space.name, after_item_id=last))
        if blocks:
            vectors = np.concatenate([block.vectors for block in blocks])
            self.parts.append(Part(RowTable.of_blocks(blocks), {}, vectors))

    @cached_property
    def calibration(self) -> Calibration:
        """What scores mean here: in the largest part that has such rows; empty without an index."""
        known: dict[tuple[QueryKind, Medium], Background] = {}
        for card in sorted(self.cards, key=lambda card: card.rows):
            known |= card.calibration.backgrounds
        return Calibration(known)


def _open_part(folder: Path, card: IndexCard, exact_only: bool, device: str) -> Part:
    exact = FaissIndex(open_index(folder / EXACT, dim=card.dim, rows=card.vectors))
    indexes = dict.fromkeys(QueryKind, exact)
    if card.factory is not None and not exact_only:
        approximate = open_index(folder / APPROXIMATE, dim=card.dim, rows=card.vectors)
        for kind, effort in card.looking.items():
            indexes[kind] = exact.with_approximate(approximate, effort)
    rows = RowTable.open(folder / ROWS)
    vectors = len(rows) if rows.places is None else int(rows.places.max(initial=-1)) + 1
    if (len(rows), vectors) != (card.rows, card.vectors):
        raise damaged(
            folder / ROWS,
            f"{len(rows)} rows of {vectors} vectors, expected {card.rows} of {card.vectors}",
        )
    hardest = indexes[QueryKind.MEDIA]  # which looks at least as hard as texts need
    placed = index_for_device(hardest, device)
    # A GPU holds the rows once.
    by_kind: Mapping[QueryKind, FaissIndex | DeviceIndex] = (
        indexes if placed is hardest else dict.fromkeys(QueryKind, placed)
    )
    if rows.places is None:
        return Part(rows, by_kind)
    return Part(
        rows, {kind: DeduplicatedIndex(index, rows.places) for kind, index in by_kind.items()}
    )


def _check_card(card: IndexCard, space: Space, folder: Path) -> None:
    if (card.space, card.dim) != (space.name, space.dim):
        raise CollectionFormatError(
            f"{folder} holds the index of {card.space[:100]} ({card.dim} numbers a row), expected "
            f"{space.name} ({space.dim}); build it again with: retrieval index"
        )


def bounded(score: float) -> float:
    """A score as it is shown: a stored vector is a little longer or shorter than 1, by rounding."""
    return max(-1.0, min(1.0, score))


def best_items(
    part: Part,
    queries: NDArray[np.float32],
    k: int,
    selected: Selection,
    kind: QueryKind,
) -> list[ItemMatch]:
    """The k best items of a part, by their best rows.

    While fewer than k items are found it asks again without the rows of those it has, so that one
    long recording cannot fill an answer. Several query vectors score an item by the mean, over
    them, of its best row.
    """
    if len(queries) == 1:
        return _best_by_one(part, queries, k, selected, kind)
    found = {
        match.item_id
        for query in queries
        for match in _best_by_one(part, query[None], k, selected, kind)
    }
    matches = [_score_item(part, item_id, queries, selected.mask) for item_id in found]
    return sorted(matches, key=lambda match: (-match.score, match.item_id))[:k]


def _best_by_one(
    part: Part, query: NDArray[np.float32], k: int, selected: Selection, kind: QueryKind
) -> list[ItemMatch]:
    item_ids = part.rows.item_ids
    allowed: NDArray[np.bool_] | Selection = selected
    fetch = min(len(item_ids), FIRST_FETCH * k)
    matches: dict[int, ItemMatch] = {}
    while len(matches) < k:
        scores, rows = part.search(query, max(1, fetch), allowed, kind)
        first_rows = np.sort(np.unique(item_ids[rows], return_index=True)[1])
        for position in first_rows[: k - len(matches)].tolist():
            match = _match(part, int(rows[position]), float(scores[position]))
            matches[match.item_id] = match
        if len(rows) < fetch or len(matches) >= k:
            break
        others = ~np.isin(item_ids, np.fromiter(matches, np.int64, len(matches)))
        allowed = selected.mask & others
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
