"""Opens one space for searching: the parts of its index, and newer rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexes.equal_rows import DeduplicatedIndex
from indexes.exact import exact_search
from indexes.faiss import FaissIndex
from indexes.gpu import DeviceIndex, index_for_device
from indexes.routing import ListRouting
from indexes.saved import open_index
from indexes.selection import Selection
from retrieval.errors import CollectionFormatError
from retrieval.search.calibration import Calibration, QueryType
from retrieval.search.index_files import (
    APPROXIMATE,
    CARD,
    EXACT,
    LISTS,
    ROWS,
    RowTable,
    damaged,
)
from retrieval.search.indexing.card import IndexCard
from retrieval.store.reader import Snapshot
from retrieval.types import Space


class Part:
    """Rows that are searched together: one part of an index, or the rows newer than the index.

    Args:
        rows: Item, medium and times of each row.
        indexes: The index by query type, each with its own effort; empty for newer rows.
        vectors: (rows, dim) float16 vectors of newer rows.
    """

    def __init__(
        self,
        rows: RowTable,
        indexes: Mapping[QueryType, FaissIndex | DeviceIndex | DeduplicatedIndex],
        vectors: NDArray[np.float16] | None = None,
    ) -> None:
        self.rows = rows
        self._indexes = indexes
        self._index = indexes.get(QueryType.MEDIA)
        self._vectors = vectors

    def shifted(self, first_id: int) -> Part:
        """Return the part with larger item ids; it shares the vectors."""
        if not first_id:
            return self
        rows = replace(self.rows, item_ids=self.rows.item_ids + first_id)
        return Part(rows, self._indexes, self._vectors)

    def selection(self, mask: NDArray[np.bool_]) -> Selection:
        """Convert a mask of the rows, (rows,) bool, so that many searches can use it."""
        if self._index is not None:
            return self._index.select(mask)
        return Selection.from_mask(mask)

    @property
    def is_indexed(self) -> bool:
        """Whether the rows belong to an index, and are not newer."""
        return self._index is not None

    @property
    def approximates(self) -> bool:
        """Whether candidates come from an approximate index."""
        return self._index is not None and self._index.approximate

    def search(
        self,
        query: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | Selection | None,
        query_type: QueryType,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k best rows of one query (1, dim); scores and rows come without padding."""
        scores, ids = self.nearest(query, k, allowed, query_type)
        valid = ids[0] >= 0
        return scores[0, valid], ids[0, valid]

    def nearest(
        self,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | Selection | None,
        query_type: QueryType = QueryType.MEDIA,
        *,
        visited_share: float | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k best rows of each query, (queries, k); see `FaissIndex.search`."""
        if self._indexes:
            index = self._indexes[query_type]
            return index.search(queries, k, allowed=allowed, visited_share=visited_share)
        assert self._vectors is not None
        mask = allowed.mask if isinstance(allowed, Selection) else allowed
        return exact_search(self._vectors, queries, k, allowed=mask)

    def item_rows(self, item_id: int) -> slice:
        """Positions of an item's rows, which are contiguous."""
        first, last = np.searchsorted(self.rows.item_ids, [item_id, item_id + 1])
        return slice(int(first), int(last))

    def vectors(self, rows: slice) -> NDArray[np.float32]:
        """Read the vectors of contiguous rows, (n, dim) float32."""
        if self._index is not None:
            return self._index.vectors(rows.start, rows.stop)
        assert self._vectors is not None
        return self._vectors[rows].astype(np.float32)

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read the vectors of any rows, (n, dim) float32."""
        if self._index is not None:
            return self._index.gather(rows)
        assert self._vectors is not None
        return self._vectors[rows].astype(np.float32)


class OpenedSpace:
    """The parts of a space: those of its index, and one of newer rows in memory.

    Rows without an index are searched exactly, and their scores are not calibrated.

    Args:
        snapshot: The generation.
        space: The space.
        exact: Ignore approximate indexes.
        device: Device to search on: `cpu`, `cuda` or `auto`.

    Raises:
        CollectionFormatError: A card is invalid or belongs to another space.
        IndexFileError: A file of the index is missing or damaged.
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
        """Calibration of the largest part that has it; empty without an index."""
        return Calibration(
            statistics
            for card in sorted(self.cards, key=lambda card: card.rows)
            for statistics in card.calibration
        )


def _open_part(folder: Path, card: IndexCard, exact_only: bool, device: str) -> Part:
    exact = FaissIndex(open_index(folder / EXACT, dim=card.dim, rows=card.vectors))
    indexes = dict.fromkeys(QueryType, exact)
    if card.factory is not None and not exact_only:
        approximate = open_index(folder / APPROXIMATE, dim=card.dim, rows=card.vectors)
        routed = any(effort.margin is not None for effort in card.efforts.values())
        routing = ListRouting.open(folder / LISTS, approximate) if routed else None
        for query_type, effort in card.efforts.items():
            indexes[query_type] = exact.with_approximate(approximate, effort, routing)
    rows = RowTable.open(folder / ROWS)
    numbers = rows.vector_numbers
    vectors = len(rows) if numbers is None else int(numbers.max(initial=-1)) + 1
    if (len(rows), vectors) != (card.rows, card.vectors):
        raise damaged(
            folder / ROWS,
            f"{len(rows)} rows of {vectors} vectors, expected {card.rows} of {card.vectors}",
        )
    # Media queries have the highest effort. A GPU holds one copy of the rows, for all query types.
    media_index = indexes[QueryType.MEDIA]
    placed = index_for_device(media_index, device)
    by_type: Mapping[QueryType, FaissIndex | DeviceIndex] = (
        indexes if placed is media_index else dict.fromkeys(QueryType, placed)
    )
    if numbers is None:
        return Part(rows, by_type)
    return Part(rows, {key: DeduplicatedIndex(index, numbers) for key, index in by_type.items()})


def _check_card(card: IndexCard, space: Space, folder: Path) -> None:
    if (card.space, card.dim) != (space.name, space.dim):
        raise CollectionFormatError(
            f"{folder} holds the index of {card.space[:100]} ({card.dim} numbers a row), expected "
            f"{space.name} ({space.dim}); build the index again"
        )
