"""Which rows may answer: by target, without removed items, and by a condition.

A snapshot never changes, so what a condition selects is worked out once and kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from indexes.selection import Selection
from retrieval.search.items import ItemTable
from retrieval.search.opened import Part
from retrieval.store.filters import matching_ids
from retrieval.store.reader import Snapshot, contained
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
        self._masks: dict[tuple[int, frozenset[Target]], NDArray[np.bool_]] = {}
        self._matching: OrderedDict[str, NDArray[np.bool_]] = OrderedDict()
        self._selections: OrderedDict[tuple[int, frozenset[Target], str | None], Selection] = (
            OrderedDict()
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
        key = (id(part), targets, where)
        selection = self._selections.get(key)
        if selection is None:
            mask = self._target_mask(part, targets)
            if where is not None:
                found = self.matching(where)
                mask = mask & self._items.handed_on(found, part.rows.item_ids, np.False_)
            selection = part.selection(mask)
            self._selections[key] = selection
            self._forget_selections()
        self._selections.move_to_end(key)
        return selection

    def matching(self, where: str) -> NDArray[np.bool_]:
        """Which living items a condition holds for, in id order.

        Raises:
            FilterError: The condition is refused, or slow.
        """
        if where not in self._matching:
            ids = matching_ids(self._snapshot, where)
            self._matching[where] = contained(self._items.item_ids, ids)
            if len(self._matching) > MAX_CONDITIONS:
                self._matching.popitem(last=False)
        self._matching.move_to_end(where)
        return self._matching[where]

    def _forget_selections(self) -> None:
        total = sum(selection.bytes for selection in self._selections.values())
        while total > MAX_SELECTION_BYTES and len(self._selections) > 1:
            total -= self._selections.popitem(last=False)[1].bytes

    def _target_mask(self, part: Part, targets: frozenset[Target]) -> NDArray[np.bool_]:
        key = (id(part), targets)
        if key not in self._masks:
            rows = part.rows
            modalities = self._items.modalities_of(rows.item_ids)
            mask = np.isin(modalities, [MODALITY_OF[t] for t in targets if t in MODALITY_OF])
            if Target.MUSIC in targets:
                mask |= rows.media == AUDIO
            mask &= modalities >= 0
            if len(self._removed):
                mask &= ~contained(rows.item_ids, self._removed)
            self._masks[key] = mask
        return self._masks[key]
