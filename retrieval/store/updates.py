"""Changes columns of existing items by rewriting their shards of `items/`.

Item ids, segments and frames do not change. Indexes hold copies of the items' columns, so the ids
of changed items are listed in `updated/` until every index part is newer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from retrieval.store.schema import ITEMS, items_batch
from retrieval.store.shards import read_rows, with_columns
from retrieval.types import MediaInfo


@dataclass(frozen=True, slots=True)
class Update:
    """New values of an item.

    Attributes:
        info: Holds the new values.
        names: The columns to change.
    """

    info: MediaInfo
    names: frozenset[str]

    def merged_with(self, older: Update | None) -> Update:
        """Combine this update with an older one of the same item."""
        if older is None:
            return self
        own = {name: getattr(self.info, name) for name in self.names if name in ITEMS.names}
        columns = {name: self.info.columns.get(name) for name in self.names - own.keys()}
        info = replace(older.info, columns={**older.info.columns, **columns}, **own)
        return Update(info, older.names | self.names)


def updated_rows(
    path: Path, schema: pa.Schema, updates: Mapping[int, Update]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a shard of items with new values.

    Args:
        path: The shard.
        schema: Columns of the result.
        updates: By item id.
    """
    for batch in read_rows(path, ITEMS):
        batch = with_columns(batch, schema)
        updated = [
            (row, update)
            for row, item_id in enumerate(batch.column("item_id").to_pylist())
            if (update := updates.get(item_id)) is not None
        ]
        yield _with_values(batch, updated, schema) if updated else batch


def _with_values(
    batch: pa.RecordBatch, updates: list[tuple[int, Update]], schema: pa.Schema
) -> pa.RecordBatch:
    # Convert the values as those of new items.
    values = items_batch(0, [update.info for _, update in updates], schema)
    for name in frozenset().union(*(update.names for _, update in updates)):
        column = batch.column(name).to_pylist()
        for (row, update), value in zip(updates, values.column(name).to_pylist(), strict=True):
            if name in update.names:
                column[row] = value
        position = schema.get_field_index(name)
        array = pa.array(column, schema.field(position).type)
        batch = batch.set_column(position, schema.field(position), array)
    return batch
