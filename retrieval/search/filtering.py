"""Selects the rows and items that match targets, conditions and ids.

A snapshot never changes, so the result of a condition is cached.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from indexes.selection import Selection
from retrieval.caching import LruCache
from retrieval.errors import QueryError
from retrieval.media.names import path_to_uri
from retrieval.search.arguments import item_ids_of, names_of
from retrieval.search.items import ItemTable
from retrieval.search.open_space import OpenedSpace, Part
from retrieval.search.options import SearchOptions
from retrieval.store.blocks import isin_sorted
from retrieval.store.filters.evaluation import matching_ids
from retrieval.store.reader import Snapshot
from retrieval.store.schema import MEDIUM_CODES
from retrieval.targets import Target
from retrieval.types import Medium

AUDIO = MEDIUM_CODES.index(Medium.AUDIO)
MODALITY_OF = {
    Target.IMAGE: MEDIUM_CODES.index(Medium.IMAGE),
    Target.VIDEO: MEDIUM_CODES.index(Medium.VIDEO),
}
ALL_MEDIA = frozenset({Target.IMAGE, Target.MUSIC, Target.VIDEO})
TIMED_MEDIA = frozenset({Target.MUSIC, Target.VIDEO})

MAX_CONDITIONS = 32
"""Number of conditions whose items are cached; the least recently used one is dropped first."""

MAX_SELECTION_BYTES = 128 << 20
"""Size of all cached row selections; the latest is kept whatever its size."""


FieldTuple = tuple[pa.Field, ...]
"""Columns that no item of the snapshot has."""


class SelectedPart(NamedTuple):
    """A part and those of its rows that a search may return."""

    part: Part
    selection: Selection


def media_targets(to: Collection[Target]) -> frozenset[Target]:
    """Return the targets that select rows; moments come from videos and recordings."""
    targets = frozenset(to) - {Target.MOMENT}
    if Target.MOMENT in to and not targets & TIMED_MEDIA:
        targets |= TIMED_MEDIA
    return targets or ALL_MEDIA


class RowFilter:
    """Selects rows of a snapshot's parts.

    Args:
        snapshot: The generation.
        items: Its items.
    """

    def __init__(self, snapshot: Snapshot, items: ItemTable) -> None:
        self._snapshot = snapshot
        self._items = items
        self._removed = snapshot.removed_ids()
        self._masks: LruCache[tuple[int, frozenset[Target]], NDArray[np.bool_]] = LruCache(
            MAX_SELECTION_BYTES, lambda mask: mask.nbytes
        )
        self._matching: LruCache[tuple[str, FieldTuple], NDArray[np.bool_]] = LruCache(
            MAX_CONDITIONS
        )
        self._selections: LruCache[
            tuple[int, frozenset[Target], str | None, FieldTuple], Selection
        ] = LruCache(MAX_SELECTION_BYTES, lambda selection: selection.bytes)

    def select_rows(
        self,
        spaces: Sequence[OpenedSpace],
        options: SearchOptions,
        excluded: Sequence[int] = (),
        empty_columns: FieldTuple = (),
    ) -> dict[str, list[SelectedPart]]:
        """Select the rows to search, by space; parts without such a row are left out.

        Args:
            spaces: Spaces to search.
            options: Their targets, conditions and ids select the rows.
            excluded: Items that the query consists of. They are not searched.
            empty_columns: Further columns of conditions; their values are null.

        Raises:
            FilterError: A condition is refused or too slow.
            QueryError: An excluded item does not exist, or an id is not an integer.
        """
        conditions = names_of(options.where) or []
        for condition in conditions:
            self.matching(
                condition, empty_columns
            )  # Refuse it even if there are no rows to filter.
        # Parentheses keep an OR inside its own condition.
        if len(conditions) > 1:
            conditions = [" AND ".join(f"({condition})" for condition in conditions)]
        where = conditions[0] if conditions else None
        self._check_existing(excluded)
        targets = media_targets(options.to)
        selected = {}
        for opened in spaces:
            pairs = [
                SelectedPart(part, self.select(part, targets, where, empty_columns))
                for part in opened.parts
            ]
            if options.ids is not None or excluded:
                pairs = _restrict(pairs, options.ids, excluded)
            selected[opened.space.name] = [pair for pair in pairs if pair.selection.count]
        return selected

    def select_items(
        self,
        spaces: Sequence[OpenedSpace],
        options: SearchOptions,
        empty_columns: FieldTuple = (),
    ) -> NDArray[np.bool_]:
        """Select the living items that match targets, conditions and ids, (items,) in id order.

        Args:
            spaces: All spaces; their rows tell which videos have sound.
            options: Their targets, conditions and ids select the items.
            empty_columns: Further columns of conditions; their values are null.

        Raises:
            FilterError: A condition is refused or too slow.
            QueryError: An id is not an integer.
        """
        ids, targets = self._items.item_ids, media_targets(options.to)
        mask = self._item_mask(spaces, targets)
        for condition in names_of(options.where) or []:
            mask = mask & self.matching(condition, empty_columns)
        if options.ids is not None:
            mask = mask & isin_sorted(ids, np.unique(item_ids_of(options.ids)))
        return mask

    def _item_mask(
        self, spaces: Sequence[OpenedSpace], targets: frozenset[Target]
    ) -> NDArray[np.bool_]:
        """Select the living items of some targets; `music` includes videos with sound."""

        def compute() -> NDArray[np.bool_]:
            ids, modalities = self._items.item_ids, self._items.modalities
            codes = [MODALITY_OF[target] for target in targets if target in MODALITY_OF]
            if Target.MUSIC in targets:
                codes.append(AUDIO)
            mask = np.isin(modalities, codes)
            if Target.MUSIC in targets and Target.VIDEO not in targets:
                for part in (part for opened in spaces for part in opened.parts):
                    sound = part.rows.item_ids[part.rows.media == AUDIO]
                    mask |= isin_sorted(ids, np.unique(sound))
            return mask & ~isin_sorted(ids, self._removed)

        return self._masks.get((0, targets), compute)  # no part has the id 0

    def select(
        self,
        part: Part,
        targets: frozenset[Target],
        where: str | None = None,
        empty_columns: FieldTuple = (),
    ) -> Selection:
        """Select rows of one part.

        Args:
            part: A part of the snapshot.
            targets: Result of `media_targets`.
            where: SQL condition over the items' columns.
            empty_columns: Further columns of the condition; their values are null.

        Raises:
            FilterError: The condition is refused or too slow.
        """

        def select() -> Selection:
            mask = self._target_mask(part, targets)
            if where is not None:
                matching = self.matching(where, empty_columns)
                mask = mask & self._items.spread(matching, part.rows.item_ids, np.False_)
            return part.selection(mask)

        return self._selections.get((id(part), targets, where, empty_columns), select)

    def matching(self, where: str, empty_columns: FieldTuple = ()) -> NDArray[np.bool_]:
        """Evaluate a condition for each living item, in id order.

        Raises:
            FilterError: The condition is refused or too slow.
        """

        def evaluate() -> NDArray[np.bool_]:
            matching = matching_ids(self._snapshot, where, empty_columns=empty_columns)
            return isin_sorted(self._items.item_ids, matching)

        return self._matching.get((where, empty_columns), evaluate)

    def _target_mask(self, part: Part, targets: frozenset[Target]) -> NDArray[np.bool_]:
        def compute() -> NDArray[np.bool_]:
            rows = part.rows
            modalities = self._items.modalities_of(rows.item_ids)
            mask = np.isin(modalities, [MODALITY_OF[t] for t in targets if t in MODALITY_OF])
            if Target.MUSIC in targets:
                mask |= rows.media == AUDIO
            mask &= modalities >= 0
            if len(self._removed):
                mask &= ~isin_sorted(rows.item_ids, self._removed)
            return mask

        return self._masks.get((id(part), targets), compute)

    def _check_existing(self, item_ids: Sequence[int]) -> None:
        if not item_ids:
            return
        ids = np.array(item_ids, np.int64)
        existing = isin_sorted(ids, self._items.item_ids) & ~isin_sorted(ids, self._removed)
        for item_id in ids[~existing]:
            raise unknown_item_error(item_id)


def _restrict(
    pairs: Sequence[SelectedPart],
    ids: Sequence[int] | NDArray[np.integer] | None,
    excluded: Sequence[int],
) -> list[SelectedPart]:
    """Keep rows of some items, or of all for None, and drop those of excluded items."""
    included = None if ids is None else np.unique(item_ids_of(ids))
    dropped = np.asarray(sorted(excluded), np.int64)
    restricted = []
    for part, selection in pairs:
        mask = selection.mask & ~isin_sorted(part.rows.item_ids, dropped)
        if included is not None:
            mask &= isin_sorted(part.rows.item_ids, included)
        restricted.append(SelectedPart(part, part.selection(mask)))
    return restricted


def conditions_below(
    folder: Path | None, where: str | Sequence[str] | None
) -> str | Sequence[str] | None:
    """Add to some conditions that a file lies below a folder; None adds nothing."""
    if folder is None:
        return where
    prefix = path_to_uri(str(folder)).rstrip("/") + "/"
    pattern = re.sub(r"[\\%_]", r"\\\g<0>", prefix).replace("'", "''")
    return [f"uri LIKE '{pattern}%' ESCAPE '\\'", *(names_of(where) or [])]


def chosen_items(
    snapshot: Snapshot,
    where: str | Sequence[str] | None,
    ids: int | Sequence[int] | NDArray[np.integer],
) -> dict[int, str]:
    """Return the uris, by id, of items that match a filter or are named.

    Args:
        snapshot: The generation.
        where: SQL condition over the items' columns; several must all hold.
        ids: Further items.

    Raises:
        QueryError: An id does not exist.
        FilterError: The condition is refused.
    """
    living = {file.item_id: uri for uri, file in snapshot.known_files().items()}
    named: list[int] = item_ids_of(ids).tolist()
    for item_id in named:
        if item_id not in living:
            raise unknown_item_error(item_id)
    conditions = names_of(where) or []
    matching: list[int] = []
    if conditions:
        results = [matching_ids(snapshot, condition) for condition in conditions]
        matching = reduce(np.intersect1d, results).tolist()
    return {item_id: living[item_id] for item_id in sorted({*named, *matching})}


def unknown_item_error(item_id: int) -> QueryError:
    """Create the error for an item that does not exist."""
    return QueryError(f"no item has the id {item_id}; hits show the ids of items")
