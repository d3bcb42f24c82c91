"""Which rows may answer, and which items are chosen: by target, condition and id.

A snapshot never changes, so what a condition selects is worked out once and kept.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from indexes.selection import Selection
from retrieval.caching import LruCache
from retrieval.errors import QueryError
from retrieval.search.arguments import item_ids_of, names_of
from retrieval.search.items import ItemTable
from retrieval.search.open_space import Part
from retrieval.store.blocks import contained
from retrieval.store.filters import matching_ids
from retrieval.store.reader import Snapshot
from retrieval.store.schema import MEDIUM_CODES
from retrieval.targets import Target
from retrieval.types import Medium

AUDIO = MEDIUM_CODES.index(Medium.AUDIO)
MODALITY_OF = {
    Target.IMAGE: MEDIUM_CODES.index(Medium.IMAGE),
    Target.VIDEO: MEDIUM_CODES.index(Medium.VIDEO),
}
EVERYTHING = frozenset({Target.IMAGE, Target.MUSIC, Target.VIDEO})
WITH_MOMENTS = frozenset({Target.MUSIC, Target.VIDEO})

MAX_CONDITIONS = 32
"""Conditions whose items are remembered; the one that was asked for longest ago goes first."""

MAX_SELECTION_BYTES = 128 << 20
"""What remembered selections of rows may take together; the latest is kept whatever its size."""


def media_targets(to: Collection[Target]) -> frozenset[Target]:
    """Targets that choose rows: moments are found in videos and recordings."""
    targets = frozenset(to) - {Target.MOMENT}
    if Target.MOMENT in to and not targets & WITH_MOMENTS:
        targets |= WITH_MOMENTS
    return targets or EVERYTHING


class RowFilter:
    """The rows of a snapshot's parts that a search may answer with.

    Args:
        snapshot: The generation.
        items: Its living items.
    """

    def __init__(self, snapshot: Snapshot, items: ItemTable) -> None:
        self._snapshot = snapshot
        self._items = items
        self._removed = snapshot.removed_ids()
        self._masks: LruCache[tuple[int, frozenset[Target]], NDArray[np.bool_]] = LruCache(
            MAX_SELECTION_BYTES, lambda mask: mask.nbytes
        )
        self._matching: LruCache[str, NDArray[np.bool_]] = LruCache(MAX_CONDITIONS)
        self._selections: LruCache[tuple[int, frozenset[Target], str | None], Selection] = LruCache(
            MAX_SELECTION_BYTES, lambda selection: selection.bytes
        )

    def select(self, part: Part, targets: frozenset[Target], where: str | None = None) -> Selection:
        """Rows of a part that may answer.

        Args:
            part: One of the snapshot's parts.
            targets: Made by `media_targets`.
            where: An SQL condition over the items' columns.

        Raises:
            FilterError: The condition is refused, or slow.
        """

        def select() -> Selection:
            mask = self._target_mask(part, targets)
            if where is not None:
                found = self.matching(where)
                mask = mask & self._items.handed_on(found, part.rows.item_ids, np.False_)
            return part.selection(mask)

        return self._selections.get((id(part), targets, where), select)

    def matching(self, where: str) -> NDArray[np.bool_]:
        """Which living items a condition holds for, in id order.

        Raises:
            FilterError: The condition is refused, or slow.
        """
        return self._matching.get(
            where,
            lambda: contained(self._items.item_ids, matching_ids(self._snapshot, where)),
        )

    def _target_mask(self, part: Part, targets: frozenset[Target]) -> NDArray[np.bool_]:
        def mask() -> NDArray[np.bool_]:
            rows = part.rows
            modalities = self._items.modalities_of(rows.item_ids)
            found = np.isin(modalities, [MODALITY_OF[t] for t in targets if t in MODALITY_OF])
            if Target.MUSIC in targets:
                found |= rows.media == AUDIO
            found &= modalities >= 0
            if len(self._removed):
                found &= ~contained(rows.item_ids, self._removed)
            return found

        return self._masks.get((id(part), targets), mask)


def chosen_items(
    snapshot: Snapshot,
    where: str | Sequence[str] | None,
    ids: int | Sequence[int] | NDArray[np.integer],
) -> dict[int, str]:
    """The uris, by id, of the items that a filter matches or that are named.

    Args:
        snapshot: The generation.
        where: SQL condition over the items' columns; of several all must hold.
        ids: Items to choose as well.

    Raises:
        QueryError: An id is of no item.
        FilterError: The condition is refused.
    """
    living = {file.item_id: uri for uri, file in snapshot.known_files().items()}
    named: list[int] = item_ids_of(ids).tolist()
    unknown = next((item_id for item_id in named if item_id not in living), None)
    if unknown is not None:
        raise QueryError(f"no item has the id {unknown}; every hit of a search shows its id")
    conditions = names_of(where) or []
    matching: list[int] = []
    if conditions:
        found = [matching_ids(snapshot, condition) for condition in conditions]
        matching = reduce(np.intersect1d, found).tolist()
    return {item_id: living[item_id] for item_id in sorted({*named, *matching})}
