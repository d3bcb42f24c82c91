"""Reads one generation of a collection in memory-mapped blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retrieval.columns.notices import Notices
from retrieval.columns.types import ColumnType
from retrieval.errors import CollectionDamagedError, CollectionFormatError, SpaceMismatchError
from retrieval.store.blocks import (
    SegmentBlock,
    concatenate,
    id_array,
    isin_sorted,
    segment_block,
    vector_array,
)
from retrieval.store.current import (
    check_size,
    checked_path,
    not_found_error,
    read_current,
    read_generation,
    read_manifest,
)
from retrieval.store.manifest import ListedFile, Manifest
from retrieval.store.schema import (
    ITEM_IDS,
    ITEMS,
    MEDIUM_CODES,
    SCHEMAS,
    SPACE_SCHEMAS,
    describe_columns,
)
from retrieval.store.shard_columns import column_types, has_wide_integers
from retrieval.store.shards import read_rows, read_schema, with_columns
from retrieval.store.user_columns import UserColumns
from retrieval.types import Failure, Frames, KnownFile, Segments, Space


class Snapshot:
    """One generation, opened for reading; later generations do not change it."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = root
        self.manifest = manifest
        self._removed: NDArray[np.int64] | None = None
        self._user_types: dict[str, ColumnType] | None = None

    @classmethod
    def open(cls, root: Path) -> Snapshot:
        """Open the current generation after checking its manifest and the sizes of its files.

        Raises:
            CollectionNotFoundError: The folder is not a collection.
            CollectionDamagedError: A file is missing or of another size, or the manifest differs
                from its digest.
            CollectionFormatError: The manifest has another schema version or breaks a rule.
        """
        while True:
            current = read_current(root)
            if current is None:
                raise not_found_error(root)
            try:
                manifest = read_manifest(root, current)
                for file in manifest.files:
                    check_size(root, file)
            except CollectionDamagedError:
                # A compaction since the reading of CURRENT can have deleted files.
                if read_current(root) == current:
                    raise
            else:
                return cls(root, manifest)

    @classmethod
    def open_generation(cls, root: Path, generation: int) -> Snapshot:
        """Open an older generation that still exists.

        Raises:
            CollectionNotFoundError: The folder is not a collection, or has no such generation.
            CollectionDamagedError: A file of the generation is missing or of another size.
            CollectionFormatError: The manifest has another schema version or breaks a rule.
        """
        manifest = read_generation(root, generation)
        try:
            for file in manifest.files:
                check_size(root, file)
        except CollectionDamagedError as error:
            raise CollectionDamagedError(
                f"generation {generation} of {root} is incomplete, as after compacting: {error}"
            ) from error
        return cls(root, manifest)

    # ------------------------------------------------------------ spaces

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

    def last_embedded_id(self, space: str) -> int:
        """Return the last item id for which a space has been computed; -1 for none."""
        self.space(space)
        files = self.manifest.files_in(f"segments/{space}")
        return max((_id_range(file)[1] for file in files), default=-1)

    def index_folders(self, space: str) -> list[Path]:
        """Return the folders of the parts of a space's index, in item order."""
        self.space(space)
        prefix = f"indexes/{space}/"
        folders = [file.folder for file in self.manifest.files if file.path.startswith(prefix)]
        return [checked_path(self.root, folder) for folder in dict.fromkeys(folders)]

    # ------------------------------------------------------------ items

    def removed_ids(self) -> NDArray[np.int64]:
        """Return the sorted ids of removed items."""
        if self._removed is None:
            self._removed = np.unique(_concatenated_ids(self._rows("removed", ["item_id"])))
        return self._removed

    def item_ids(self) -> NDArray[np.int64]:
        """Return the sorted ids of all items, without removed ones."""
        ids = _concatenated_ids(self._rows("items", ["item_id"]))
        return ids[~isin_sorted(ids, self.removed_ids())]

    def items_schema(self) -> pa.Schema:
        """Return the columns of `iter_items`: the fixed ones, then the user columns of all shards.

        Raises:
            CollectionFormatError: A shard lacks a fixed column, or a user column has an unknown
                type.
        """
        return self.user_columns().items_schema()

    def user_columns(self, notices: Notices | None = None) -> UserColumns:
        """Return the user columns with the types that hold the values of all shards."""
        if self._user_types is None:
            paths = [self.root / file.path for file in self.manifest.files_in("items")]
            self._user_types = column_types(paths)
        return UserColumns(
            self._user_types,
            lambda name: has_wide_integers(name, self._rows("items", [name])),
            notices,
        )

    def iter_items(self, *, after_item_id: int = -1) -> Iterator[pa.RecordBatch]:
        """Yield items in id order, without removed ones; columns that a shard lacks are null."""
        schema = self.items_schema()
        for batch in self._present_rows("items", None, after_item_id):
            yield with_columns(batch, schema)

    def iter_columns(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield columns of all items in id order, removed items included."""
        schema = self.items_schema()
        schema = pa.schema([schema.field(name) for name in names])
        for batch in self._rows("items", list(names)):
            yield with_columns(batch, schema)

    def updated_ids(self, generation: int) -> NDArray[np.int64]:
        """Return the sorted ids of items whose columns changed after a generation."""
        files = [file for file in self.manifest.files_in("updated") if file.number > generation]
        batches = (batch for file in files for batch in read_rows(self.root / file.path, ITEM_IDS))
        return np.unique(_concatenated_ids(batches))

    def items(self, item_ids: NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
        """Yield the items with sorted `item_ids` in id order, without removed ones."""
        schema = self.items_schema()
        for file in self.manifest.files_in("items"):
            first, last = _id_range(file)
            ids = item_ids[slice(*np.searchsorted(item_ids, [first, last + 1]))]
            if not len(ids):
                continue
            batches = read_rows(
                self.root / file.path,
                ITEMS,
                first_item_id=int(ids[0]),
                last_item_id=int(ids[-1]),
            )
            for batch in batches:
                stored = id_array(batch)
                mask = isin_sorted(stored, ids) & ~isin_sorted(stored, self.removed_ids())
                yield with_columns(batch.filter(pa.array(mask)), schema)

    def known_files(self) -> dict[str, KnownFile]:
        """Return id, size, time and digest of every item by uri, without removed items."""
        names = ["item_id", "uri", "bytes", "mtime", "sha256"]
        known: dict[str, KnownFile] = {}
        for batch in self._present_rows("items", names, -1):
            columns = (batch.column(name).to_pylist() for name in names)
            for item_id, uri, size, mtime, sha256 in zip(*columns, strict=True):
                known[uri] = KnownFile(item_id, size, mtime, sha256)
        return known

    def failures(self) -> dict[str, Failure]:
        """Return the latest failure of every uri that was not embedded later."""
        return {uri: failure for uri, (failure, _) in self.open_failures().items()}

    def open_failures(self) -> dict[str, tuple[Failure, int]]:
        """Return `failures`, each with the lowest id that a later item of the uri would have."""
        latest: dict[str, tuple[Failure, int]] = {}
        for batch in self._rows("failures", None):
            for row in batch.to_pylist():
                next_item_id = row.pop("next_item_id")
                latest.pop(row["uri"], None)
                latest[row["uri"]] = (Failure(**row), next_item_id)
        if latest:
            self._drop_resolved(latest)
        return latest

    def _drop_resolved(self, latest: dict[str, tuple[Failure, int]]) -> None:
        # A removed item resolves a failure as well: its file was embedded.
        failed = pa.array(list(latest), pa.string())
        for batch in self._rows("items", ["item_id", "uri"]):
            batch = batch.filter(pc.is_in(batch.column("uri"), failed))
            for item_id, uri in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if uri in latest and item_id >= latest[uri][1]:
                    del latest[uri]

    # ------------------------------------------------------------ vectors

    def iter_segments(self, space: str, *, after_item_id: int = -1) -> Iterator[SegmentBlock]:
        """Yield the rows of a space in item order, in blocks of at most `ROW_GROUP_ROWS`."""
        dim = self._checked_dim("segments", space)
        for batch in self._present_rows(f"segments/{space}", None, after_item_id):
            yield segment_block(batch, dim)

    def count_segments(self, space: str, *, after_item_id: int = -1) -> int:
        """Count the rows of a space, without removed items."""
        self.space(space)
        batches = self._present_rows(f"segments/{space}", ["item_id"], after_item_id)
        return sum(batch.num_rows for batch in batches)

    def item_segments(self, space: str, item_id: int) -> Segments:
        """Return the segments of one item as float32; of length 0 if it has none in the space."""
        dim = self._checked_dim("segments", space, item_id)
        blocks = [
            segment_block(batch, dim) for batch in self._item_rows(f"segments/{space}", item_id)
        ]
        return Segments(
            media=[MEDIUM_CODES[code] for block in blocks for code in block.media],
            start_seconds=concatenate([block.start_seconds for block in blocks]),
            end_seconds=concatenate([block.end_seconds for block in blocks]),
            vectors=concatenate([block.vectors for block in blocks]).reshape(-1, dim),
        )

    def item_frames(self, space: str, item_id: int) -> Frames | None:
        """Return the frames of one video as float32; None if it has none in the space."""
        dim = self._checked_dim("frames", space, item_id)
        batches = list(self._item_rows(f"frames/{space}", item_id))
        if not batches:
            return None
        return Frames(
            seconds=concatenate([batch.column("seconds").to_numpy() for batch in batches]),
            vectors=concatenate([vector_array(batch, dim) for batch in batches]).reshape(-1, dim),
        )

    def iter_frames(self, space: str) -> Iterator[NDArray[np.float16]]:
        """Yield frame vectors of all videos in item order, in blocks of shape (n, dim)."""
        dim = self._checked_dim("frames", space)
        for batch in self._present_rows(f"frames/{space}", ["item_id", "embedding"], -1):
            yield vector_array(batch, dim)

    # ------------------------------------------------------------ files

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
        self, folder: str, columns: list[str] | None, after_item_id: int
    ) -> Iterator[pa.RecordBatch]:
        """Yield rows of items after an id, without removed items."""
        removed, required = self.removed_ids(), self.required_columns(folder)
        for file in self.manifest.files_in(folder):
            if _id_range(file)[1] <= after_item_id:
                continue
            batches = read_rows(
                self.root / file.path, required, columns=columns, first_item_id=after_item_id + 1
            )
            for batch in batches:
                ids = id_array(batch)
                mask = (ids > after_item_id) & ~isin_sorted(ids, removed)
                if not mask.all():
                    batch = batch.filter(pa.array(mask))
                if batch.num_rows:
                    yield batch

    def _item_rows(self, folder: str, item_id: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one item."""
        required = self.required_columns(folder)
        for file in self.manifest.files_in(folder):
            first, last = _id_range(file)
            if not first <= item_id <= last:
                continue
            batches = read_rows(
                self.root / file.path, required, first_item_id=item_id, last_item_id=item_id
            )
            for batch in batches:
                rows = np.flatnonzero(id_array(batch) == item_id)
                if len(rows):  # the rows of an item are consecutive
                    yield batch.slice(rows[0], len(rows))

    def _checked_dim(self, folder: str, space: str, item_id: int | None = None) -> int:
        """Return the dimension of a space, after comparing it with that of the files to read."""
        dim = self.space(space).dim
        expected = SPACE_SCHEMAS[folder](dim)
        for file in self.manifest.files_in(f"{folder}/{space}"):
            first, last = _id_range(file)
            if item_id is None or first <= item_id <= last:
                schema = read_schema(self.root / file.path)
                if not schema.equals(expected):
                    raise CollectionFormatError(
                        f"{self.root / file.path} has the columns {describe_columns(schema)}, "
                        f"expected {describe_columns(expected)}; restore the file from a copy"
                    )
        return dim


def _id_range(file: ListedFile) -> tuple[int, int]:
    """Return the first and last id of a file of rows."""
    if file.first_item_id is None or file.last_item_id is None:
        raise CollectionFormatError(f"{file.path} lacks its range of items")
    return file.first_item_id, file.last_item_id


def _concatenated_ids(batches: Iterable[pa.RecordBatch]) -> NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *(id_array(batch) for batch in batches)])
