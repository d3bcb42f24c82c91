"""Reads the rows of the shards that one generation lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.errors import CollectionFormatError, SpaceMismatchError
from retrieval.store.blocks import id_array, isin_sorted
from retrieval.store.manifest import ListedFile, Manifest
from retrieval.store.schema import SCHEMAS, SPACE_SCHEMAS
from retrieval.store.shards import read_rows
from retrieval.types import Space


class ShardReader:
    """The shards of one generation, and the ids of its removed items."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = root
        self.manifest = manifest
        self._removed: NDArray[np.int64] | None = None

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces, in the order they were added."""
        return self.manifest.spaces

    def space(self, name: str) -> Space:
        """Return the space of a name.

        Raises:
            SpaceMismatchError: The collection has no space of that name.
        """
        for space in self.spaces:
            if space.name == name:
                return space
        names = ", ".join(space.name for space in self.spaces) or "none"
        raise SpaceMismatchError(f"{self.root} has no space {name!r}; it has: {names}")

    def removed_ids(self) -> NDArray[np.int64]:
        """Return the sorted ids of removed items."""
        if self._removed is None:
            self._removed = np.unique(concatenated_ids(self._rows("removed", ["item_id"])))
        return self._removed

    def required_columns(self, folder: str) -> pa.Schema:
        """Return the columns of every file of a folder; files of items also have user columns."""
        name, _, space = folder.partition("/")
        return SPACE_SCHEMAS[name](self.space(space).dim) if space else SCHEMAS[name]

    def _rows(self, folder: str, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        """Yield all rows of a folder's files, those of removed items included."""
        required = self.required_columns(folder)
        for file in self.manifest.files_in(folder):
            yield from read_rows(self.root / file.path, required, columns=columns)

    def _present_rows(
        self,
        folder: str,
        columns: list[str] | None,
        after_item_id: int,
        batch_rows: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield rows of items after an id, without removed items."""
        removed, required = self.removed_ids(), self.required_columns(folder)
        for file in self.manifest.files_in(folder):
            if id_range(file)[1] <= after_item_id:
                continue
            batches = read_rows(
                self.root / file.path,
                required,
                columns=columns,
                first_item_id=after_item_id + 1,
                batch_rows=batch_rows,
            )
            for batch in batches:
                ids = id_array(batch)
                mask = (ids > after_item_id) & ~isin_sorted(ids, removed)
                if not mask.all():
                    batch = batch.filter(pa.array(mask))
                if batch.num_rows:
                    yield batch

    def _rows_of(
        self, folder: str, item_ids: NDArray[np.int64], batch_rows: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of items with sorted `item_ids`, without removed items."""
        required = self.required_columns(folder)
        for file in self.manifest.files_in(folder):
            first, last = id_range(file)
            ids = item_ids[slice(*np.searchsorted(item_ids, [first, last + 1]))]
            if not len(ids):
                continue
            batches = read_rows(
                self.root / file.path,
                required,
                first_item_id=int(ids[0]),
                last_item_id=int(ids[-1]),
                batch_rows=batch_rows,
            )
            for batch in batches:
                stored = id_array(batch)
                mask = isin_sorted(stored, ids) & ~isin_sorted(stored, self.removed_ids())
                if mask.any():
                    yield batch.filter(pa.array(mask))

    def _item_rows(self, folder: str, item_id: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one item."""
        required = self.required_columns(folder)
        for file in self.manifest.files_in(folder):
            first, last = id_range(file)
            if not first <= item_id <= last:
                continue
            batches = read_rows(
                self.root / file.path, required, first_item_id=item_id, last_item_id=item_id
            )
            for batch in batches:
                rows = np.flatnonzero(id_array(batch) == item_id)
                if len(rows):  # the rows of an item are consecutive
                    yield batch.slice(rows[0], len(rows))


def id_range(file: ListedFile) -> tuple[int, int]:
    """Return the first and last id of a file of rows."""
    if file.first_item_id is None or file.last_item_id is None:
        raise CollectionFormatError(f"{file.path} lacks its range of items")
    return file.first_item_id, file.last_item_id


def concatenated_ids(batches: Iterable[pa.RecordBatch]) -> NDArray[np.int64]:
    """Return the item ids of all rows."""
    return np.concatenate([np.empty(0, np.int64), *(id_array(batch) for batch in batches)])
