"""Lists the newest items, for a search without a query."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval.search.filtering import RowFilter
from retrieval.search.items import ItemTable
from retrieval.search.options import SearchOptions
from retrieval.store.reader import Snapshot
from retrieval.store.schema import MEDIUM_CODES
from retrieval.targets import Target
from retrieval.types import Medium

MODALITIES = {
    Target.IMAGE: (Medium.IMAGE,),
    Target.MUSIC: (Medium.AUDIO,),
    Target.VIDEO: (Medium.VIDEO,),
    Target.MOMENT: (Medium.VIDEO, Medium.AUDIO),
}


class NewestItems:
    """The items of a snapshot by modification time, newest first.

    Args:
        snapshot: The generation.
        items: Its items.
    """

    def __init__(self, snapshot: Snapshot, items: ItemTable) -> None:
        self._items = items
        self._filter = RowFilter(snapshot, items)
        ids, times = [np.empty(0, np.int64)], [np.empty(0)]
        for batch in snapshot.iter_columns(["item_id", "mtime"]):
            ids.append(batch.column("item_id").to_numpy())
            times.append(batch.column("mtime").to_numpy(zero_copy_only=False))
        all_ids, mtimes = np.concatenate(ids), np.nan_to_num(np.concatenate(times))
        living = np.isin(all_ids, items.item_ids) & ~np.isin(all_ids, snapshot.removed_ids())
        order = np.lexsort((-all_ids, -mtimes))
        self._ids: NDArray[np.int64] = all_ids[order][living[order]]
        self._times: NDArray[np.float64] = mtimes[order][living[order]]

    def page(self, options: SearchOptions) -> list[tuple[float, int]]:
        """Return times and ids of one page of the items that match the targets and conditions.

        Raises:
            FilterError: A condition is refused or too slow.
        """
        ids, times = self._ids, self._times
        if options.to:
            wanted = {m for target in options.to for m in MODALITIES[target]}
            codes = [MEDIUM_CODES.index(medium) for medium in wanted]
            wanted_items = np.isin(self._items.modalities_of(ids), codes)
            ids, times = ids[wanted_items], times[wanted_items]
        conditions = options.where or ()
        for condition in [conditions] if isinstance(conditions, str) else conditions:
            matching = self._filter.matching(condition)
            is_matching = self._items.spread(matching, ids, np.False_)
            ids, times = ids[is_matching], times[is_matching]
        page = slice(options.offset, options.offset + options.k)
        return list(zip(times[page].tolist(), ids[page].tolist(), strict=True))
