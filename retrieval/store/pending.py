"""Collects the changes of the next generation."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retrieval.store.schema import FAILURES, items_batch
from retrieval.store.shards import with_columns
from retrieval.store.space_rows import ITEM_BYTES, BatchRows, PendingRows, SpaceRows
from retrieval.store.text_rows import (
    ALL_SOURCES,
    TEXT_BYTES,
    TextUpdate,
    text_batches,
    text_bytes,
)
from retrieval.store.updates import Update
from retrieval.types import Failure, MediaInfo, Space

SHARD_ROWS = 65_536
"""Rows of a full shard."""

SHARD_BYTES = 64 << 20
"""Memory of the pending rows of a full shard."""

SHARD_SECONDS = 60.0
"""Age at which a shard is published regardless of its size, so that a kill loses little work."""

_BATCH_ITEMS = 1024


@dataclass(frozen=True, slots=True)
class ItemBatch:
    """New items in columns.

    Attributes:
        items: The columns of `ITEMS` without `item_id`, then user columns; see
            `UserColumns.register_batch`.
        texts: Rows of `TEXTS`; `item_id` is the position of the item in the batch.
        rows: By the name of every space the items were embedded in.
    """

    items: pa.RecordBatch
    texts: pa.RecordBatch
    rows: dict[str, BatchRows]


@dataclass(slots=True)
class PendingChanges:
    """Everything that the next generation changes.

    Pending items get consecutive ids from `first_item_id` in their order.
    """

    first_item_id: int
    spaces: list[Space] = field(default_factory=list)
    item_count: int = 0
    rows: dict[str, PendingRows] = field(default_factory=dict)
    failures: list[tuple[Failure, int]] = field(default_factory=list)
    removed: set[int] = field(default_factory=set)
    updates: dict[int, Update] = field(default_factory=dict)
    text_updates: dict[int, TextUpdate] = field(default_factory=dict)
    resolved_failures: set[str] = field(default_factory=set)
    _items: list[list[MediaInfo] | ItemBatch] = field(default_factory=list)
    _new_rows: dict[str, PendingRows] = field(default_factory=dict)
    _bytes: int = 0
    _max_rows: int = 0
    _started_at: float | None = None

    def __bool__(self) -> bool:
        rows = self.item_count or self.rows or self.failures or self.removed
        updates = self.updates or self.text_updates
        return bool(self.spaces or rows or updates or self.resolved_failures)

    @property
    def next_item_id(self) -> int:
        """The id after that of the last pending item."""
        return self.first_item_id + self.item_count

    def add(self, info: MediaInfo, rows: dict[str, SpaceRows]) -> None:
        """Add a new item with its rows in every space."""
        last = self._items[-1] if self._items else None
        if isinstance(last, list):
            last.append(info)
        else:
            self._items.append([info])
        for name, each in rows.items():
            self._of(self._new_rows, name).parts.append((self.next_item_id, each))
        self.item_count += 1
        self._count(rows.values(), texts=text_bytes(info.texts) if info.texts else 0)

    def add_batch(self, batch: ItemBatch, rows: dict[str, SpaceRows]) -> None:
        """Add new items with their rows in every space, as `add` does one by one."""
        self._items.append(replace(batch, rows={}))  # frees the vectors in float32
        for name, each in rows.items():
            ids = self.next_item_id + batch.rows[name].items
            self._of(self._new_rows, name).parts.append((ids, each))
        count = batch.items.num_rows
        self.item_count += count
        characters = pc.sum(pc.utf8_length(batch.texts.column("text"))).as_py() or 0
        texts = TEXT_BYTES * batch.texts.num_rows + characters
        self._count(rows.values(), items=count, texts=texts)

    def add_rows(self, item_id: int, space: str, rows: SpaceRows) -> None:
        """Add the rows of an existing item."""
        self._of(self.rows, space).parts.append((item_id, rows))
        self._count([rows])

    def add_failure(self, failure: Failure) -> None:
        """Add a failure; an item of the same uri that is added later resolves it."""
        self.failures.append((failure, self.next_item_id))
        self._count()

    def update(self, item_id: int, update: Update) -> None:
        """Set new values of an existing item."""
        self.updates[item_id] = update.merged_with(self.updates.get(item_id))
        self._count()

    def update_texts(self, item_id: int, update: TextUpdate) -> None:
        """Set new texts of an existing item."""
        self.text_updates[item_id] = update.merged_with(self.text_updates.get(item_id))
        self._count(texts=text_bytes(update.texts))

    @property
    def updated_ids(self) -> NDArray[np.int64]:
        """The sorted ids of existing items with new columns or texts."""
        return np.array(sorted(self.updates.keys() | self.text_updates.keys()), np.int64)

    def is_due(self) -> bool:
        """Whether the changes fill a shard, or the oldest one is a minute old."""
        full = self._max_rows >= SHARD_ROWS or self._bytes >= SHARD_BYTES
        old = self._started_at is not None and time.monotonic() - self._started_at >= SHARD_SECONDS
        return full or old or self.item_count >= SHARD_ROWS

    def free_rows(self) -> int:
        """Return the number of rows until a shard is full, at least 1."""
        return max(1, SHARD_ROWS - max(self._max_rows, self.item_count))

    def _count(self, rows: Iterable[SpaceRows] = (), *, items: int = 1, texts: int = 0) -> None:
        if self._started_at is None:
            self._started_at = time.monotonic()
        self._bytes += ITEM_BYTES * items + texts
        for each in rows:
            self._bytes += each.bytes + ITEM_BYTES * items
            # The sum over all spaces is an upper bound of the rows of each shard.
            self._max_rows += max(len(each.vectors), len(each.frame_vectors))

    @staticmethod
    def _of(rows: dict[str, PendingRows], space: str) -> PendingRows:
        found = rows.get(space)
        if found is None:
            found = rows[space] = PendingRows()
        return found

    # ------------------------------------------------------------ rows of the files

    def item_batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Build the rows of `items/`."""
        for first_id, group in self._item_groups():
            if isinstance(group, ItemBatch):
                ids = pa.array(np.arange(first_id, first_id + group.items.num_rows))
                columns = [ids, *group.items.columns]
                names = ["item_id", *group.items.schema.names]
                yield with_columns(pa.RecordBatch.from_arrays(columns, names=names), schema)
                continue
            for start in range(0, len(group), _BATCH_ITEMS):
                yield items_batch(first_id + start, group[start : start + _BATCH_ITEMS], schema)

    def text_batches(self, folder: str) -> Iterator[pa.RecordBatch]:
        """Build the rows of `texts/` or `sidecars/` of the new items."""
        for first_id, group in self._item_groups():
            if not isinstance(group, ItemBatch):
                updates = (
                    (item_id, TextUpdate(info.texts, ALL_SOURCES, info.sidecars))
                    for item_id, info in enumerate(group, first_id)
                    if info.texts or info.sidecars
                )
                yield from text_batches(folder, updates)
            elif folder == "texts" and group.texts.num_rows:
                ids = pa.array(first_id + group.texts.column("item_id").to_numpy())
                columns = [ids, *group.texts.columns[1:]]
                yield pa.RecordBatch.from_arrays(columns, schema=group.texts.schema)

    def id_range(self, space: str) -> tuple[int, int] | None:
        """Return the first and last id of the items with pending rows in a space."""
        ids = [item_id for item_id, _ in self.rows[space].parts] if space in self.rows else []
        if self.item_count:
            ids += [self.first_item_id, self.next_item_id - 1]
        return (int(ids[0]), int(ids[-1])) if ids else None

    def rows_of(self, space: str) -> PendingRows:
        """Return the rows of a space: those of existing items, then those of new ones."""
        pending = (self.rows.get(space), self._new_rows.get(space))
        return PendingRows([part for rows in pending if rows is not None for part in rows.parts])

    def _item_groups(self) -> Iterator[tuple[int, list[MediaInfo] | ItemBatch]]:
        first_id = self.first_item_id
        for group in self._items:
            yield first_id, group
            first_id += group.items.num_rows if isinstance(group, ItemBatch) else len(group)


def failures_batch(failures: Sequence[tuple[Failure, int]]) -> pa.RecordBatch:
    """Build rows of `failures/` from failures and the lowest item id of a later success."""
    rows = [
        {
            **asdict(failure),
            # Messages of libraries can quote text that is not valid Unicode.
            "reason": failure.reason.encode(errors="replace").decode(),
            "next_item_id": next_item_id,
        }
        for failure, next_item_id in failures
    ]
    return pa.RecordBatch.from_pylist(rows, schema=FAILURES)
