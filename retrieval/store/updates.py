"""Items whose columns change while their rows stay: a shard is written again in its place.

Item ids, segments and frames are not touched. An index holds copies of the items' columns, so the
ids that changed are listed in `updated/` until every part of the indexes is newer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.store.schema import ITEMS, items_batch
from retrieval.store.shards import read_rows, with_columns
from retrieval.types import MediaInfo


@dataclass(frozen=True, slots=True)
class Update:
    """New values of an item.

    Attributes:
        info: Holds the new values.
        names: The columns to take from it; all others stay as they are.
    """

    info: MediaInfo
    names: frozenset[str]

    def after(self, older: Update | None) -> Update:
        """Both of two updates of one item, this one being the later."""
        if older is None:
            return self
        own = {name: getattr(self.info, name) for name in self.names if name in ITEMS.names}
        columns = {name: self.info.columns.get(name) for name in self.names - own.keys()}
        info = replace(older.info, columns={**older.info.columns, **columns}, **own)
        return Update(info, older.names | self.names)


def updated_rows(
    path: Path, schema: pa.Schema, updates: Mapping[int, Update]
) -> Iterator[pa.RecordBatch]:
    """The rows of a shard of items with their new values.

    Args:
        path: The shard.
        schema: Columns of the rows to give.
        updates: By item id.
    """
    for batch in read_rows(path, ITEMS):
        batch = with_columns(batch, schema)
        ids: NDArray[np.int64] = batch.column("item_id").to_numpy()
        concerned = [
            (row, update)
            for row, item_id in enumerate(ids.tolist())
            if (update := updates.get(item_id)) is not None
        ]
        yield _with_values(batch, concerned, schema) if concerned else batch


def _with_values(
    batch: pa.RecordBatch, updates: list[tuple[int, Update]], schema: pa.Schema
) -> pa.RecordBatch:
    # The same conversions as for new items.
    values = items_batch(0, [update.info for _, update in updates], schema)
    for name in frozenset().union(*(update.names for _, update in updates)):
        column = batch.column(name).to_pylist()
        for (row, update), value in zip(updates, values.column(name).to_pylist(), strict=True):
            if name in update.names:
                column[row] = value
        place = schema.get_field_index(name)
        array = pa.array(column, schema.field(place).type)
        batch = batch.set_column(place, schema.field(place), array)
    return batch
