"""Reading one generation of a collection, mapped and in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    contained,
    ids_of,
    joined,
    segment_block,
    vectors_of,
)
from retrieval.store.current import (
    check_size,
    checked_path,
    not_a_collection,
    read_current,
    read_generation,
    read_manifest,
)
from retrieval.store.manifest import ListedFile, Manifest
from retrieval.store.schema import (
    ITEMS,
    MEDIUM_CODES,
    SCHEMAS,
    SPACE_SCHEMAS,
    UPDATED,
    UserColumns,
)
from retrieval.store.shard_columns import column_types, has_wide_integers, named
from retrieval.store.shards import read_rows, read_schema, with_columns
from retrieval.types import Failure, Frames, KnownFile, Segments, Space


class Snapshot:
    """One generation, opened for reading; whatever is published later, it stays the same."""

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
            CollectionDamagedError: A file is missing, of another size, or not the one digested.
            CollectionFormatError: Another schema version, or a manifest that breaks the rules.
        """
        while True:
            current = read_current(root)
            if current is None:
                raise not_a_collection(root)
            try:
                manifest = read_manifest(root, current)
                for file in manifest.files:
                    check_size(root, file)
            except CollectionDamagedError:
                # A compaction between the reading of CURRENT and now takes files away.
                if read_current(root) == current:
                    raise
            else:
                return cls(root, manifest)

    @classmethod
    def at(cls, root: Path, generation: int) -> Snapshot:
        """Open an older generation that is still there.

        Raises:
            CollectionNotFoundError: The folder is not a collection, or never had the generation.
            CollectionDamagedError: Its manifest or a file of it is gone.
            CollectionFormatError: As `open`.
        """
        manifest = read_generation(root, generation)
        try:
            for file in manifest.files:
                check_size(root, file)
        except CollectionDamagedError as error:
            raise CollectionDamagedError(
                f"generation {generation} of {root} is no longer whole, as after `compact`: {error}"
            ) from error
        return cls(root, manifest)

    # ------------------------------------------------------------ spaces

    @property
    def spaces(self) -> tuple[Space, ...]:
        """In the order they were added."""
        return self.manifest.spaces

    def space(self, name: str) -> Space:
        """The space of a name.

        Raises:
            SpaceMismatchError: The collection has none of that name.
        """
        for space in self.spaces:
            if space.name == name:
                return space
        names = ", ".join(space.name for space in self.spaces) or "none"
        raise SpaceMismatchError(f"{self.root} has no space {name!r}; it has: {names}")

    def covered(self, space: str) -> int:
        """The last item id that the space has been computed for; -1 for none."""
        self.space(space)
        files = self.manifest.listed(f"segments/{space}")
        return max((_span(file)[1] for file in files), default=-1)

    def index_folders(self, space: str) -> list[Path]:
        """The folders of the parts of the space's index, in item order."""
        self.space(space)
        above = f"indexes/{space}/"
        folders = [file.folder for file in self.manifest.files if file.path.startswith(above)]
        return [checked_path(self.root, folder) for folder in dict.fromkeys(folders)]

    # ------------------------------------------------------------ items

    def removed_ids(self) -> NDArray[np.int64]:
        """Sorted ids of the items taken out."""
        if self._removed is None:
            ids = [ids_of(b) for b in self._rows("removed", ["item_id"])]
            self._removed = np.unique(np.concatenate([*ids, np.empty(0, np.int64)]))
        return self._removed

    def living_ids(self) -> NDArray[np.int64]:
        """Sorted ids of the items that were not taken out."""
        ids = [ids_of(batch) for batch in self._rows("items", ["item_id"])]
        all_ids = np.concatenate([*ids, np.empty(0, np.int64)])
        return all_ids[~contained(all_ids, self.removed_ids())]

    def items_schema(self) -> pa.Schema:
        """Columns of `iter_items`: the collection's own, then the user's over all shards.

        Raises:
            CollectionFormatError: A shard lacks a column of the collection's own, or has one of
                another type than any column can have.
        """
        return self.user_columns().items_schema()

    def user_columns(self, notices: Notices | None = None) -> UserColumns:
        """The users' columns with the types that hold the values of all shards."""
        if self._user_types is None:
            paths = [self.root / file.path for file in self.manifest.listed("items")]
            self._user_types = column_types(paths)
        return UserColumns(
            self._user_types,
            lambda name: has_wide_integers(name, self._rows("items", [name])),
            notices,
        )

    def iter_items(self, *, after_item_id: int = -1) -> Iterator[pa.RecordBatch]:
        """Living items in id order; a user column that a shard lacks is null there."""
        schema = self.items_schema()
        for batch in self._living("items", None, after_item_id):
            yield with_columns(batch, schema)

    def iter_columns(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Some columns of all items, those that were taken out included, in id order."""
        schema = self.items_schema()
        schema = pa.schema([schema.field(name) for name in names])
        for batch in self._rows("items", list(names)):
            yield with_columns(batch, schema)

    def updated_ids(self, generation: int) -> NDArray[np.int64]:
        """Sorted ids of the items whose columns changed after an index part was written."""
        files = [f for f in self.manifest.listed("updated") if f.number > generation]
        batches = [b for f in files for b in read_rows(self.root / f.path, UPDATED)]
        ids = [ids_of(batch) for batch in batches]
        return np.unique(np.concatenate([*ids, np.empty(0, np.int64)]))

    def items(self, item_ids: NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
        """Those of some items that live, in id order; `item_ids` are sorted."""
        schema = self.items_schema()
        for file in self.manifest.listed("items"):
            first, last = _span(file)
            within = item_ids[slice(*np.searchsorted(item_ids, [first, last + 1]))]
            if not len(within):
                continue
            path, ends = self.root / file.path, (int(within[0]), int(within[-1]))
            for batch in read_rows(path, ITEMS, first_item_id=ends[0], last_item_id=ends[1]):
                ids = ids_of(batch)
                wanted = contained(ids, within) & ~contained(ids, self.removed_ids())
                yield with_columns(batch.filter(pa.array(wanted)), schema)

    def known_files(self) -> dict[str, KnownFile]:
        """What is known of every living item, by uri."""
        names = ["item_id", "uri", "bytes", "mtime", "sha256"]
        known: dict[str, KnownFile] = {}
        for batch in self._living("items", names, -1):
            columns = (batch.column(name).to_pylist() for name in names)
            for item_id, uri, size, mtime, sha256 in zip(*columns, strict=True):
                known[uri] = KnownFile(item_id, size, mtime, sha256)
        return known

    def failures(self) -> dict[str, Failure]:
        """The latest failure of every uri that was not embedded since."""
        return {uri: failure for uri, (failure, _) in self.open_failures().items()}

    def open_failures(self) -> dict[str, tuple[Failure, int]]:
        """`failures`, each with the item id from which on its uri would have been embedded."""
        latest: dict[str, tuple[Failure, int]] = {}
        for batch in self._rows("failures", None):
            for row in batch.to_pylist():
                next_item_id = row.pop("next_item_id")
                latest.pop(row["uri"], None)
                latest[row["uri"]] = (Failure(**row), next_item_id)
        if latest:
            self._drop_embedded_since(latest)
        return latest

    def _drop_embedded_since(self, latest: dict[str, tuple[Failure, int]]) -> None:
        # Removed items count as well: embedding them did work.
        failed = pa.array(list(latest), pa.string())
        for batch in self._rows("items", ["item_id", "uri"]):
            batch = batch.filter(pc.is_in(batch.column("uri"), failed))
            for item_id, uri in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if uri in latest and item_id >= latest[uri][1]:
                    del latest[uri]

    # ------------------------------------------------------------ vectors

    def iter_segments(self, space: str, *, after_item_id: int = -1) -> Iterator[SegmentBlock]:
        """Rows of living items in item order, in blocks of at most `ROW_GROUP_ROWS`."""
        dim = self._checked_dim("segments", space)
        for batch in self._living(f"segments/{space}", None, after_item_id):
            yield segment_block(batch, dim)

    def count_segments(self, space: str, *, after_item_id: int = -1) -> int:
        """Rows of living items in a space."""
        self.space(space)
        batches = self._living(f"segments/{space}", ["item_id"], after_item_id)
        return sum(batch.num_rows for batch in batches)

    def item_segments(self, space: str, item_id: int) -> Segments:
        """The segments of one item, as float32; of length 0 where it has none in the space."""
        dim = self._checked_dim("segments", space, item_id)
        blocks = [
            segment_block(batch, dim) for batch in self._item_rows(f"segments/{space}", item_id)
        ]
        return Segments(
            media=[MEDIUM_CODES[code] for block in blocks for code in block.media],
            start_seconds=joined([block.start_seconds for block in blocks]),
            end_seconds=joined([block.end_seconds for block in blocks]),
            vectors=joined([block.vectors for block in blocks]).reshape(-1, dim),
        )

    def item_frames(self, space: str, item_id: int) -> Frames | None:
        """The frames of one video, as float32; None where it has none in the space."""
        dim = self._checked_dim("frames", space, item_id)
        batches = list(self._item_rows(f"frames/{space}", item_id))
        if not batches:
            return None
        return Frames(
            seconds=joined([batch.column("seconds").to_numpy() for batch in batches]),
            vectors=joined([vectors_of(batch, dim) for batch in batches]).reshape(-1, dim),
        )

    def iter_frames(self, space: str) -> Iterator[NDArray[np.float16]]:
        """Vectors of the frames of all living videos, in item order: (n, dim) blocks."""
        dim = self._checked_dim("frames", space)
        for batch in self._living(f"frames/{space}", ["item_id", "embedding"], -1):
            yield vectors_of(batch, dim)

    # ------------------------------------------------------------ files

    def own_columns(self, folder: str) -> pa.Schema:
        """Columns that every file of a folder has; files of items have user columns, too."""
        kind, _, space = folder.partition("/")
        return SPACE_SCHEMAS[kind](self.space(space).dim) if space else SCHEMAS[kind]

    def _rows(self, folder: str, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
        """All rows of a folder's files, those of removed items included."""
        for file in self.manifest.listed(folder):
            yield from read_rows(self.root / file.path, self.own_columns(folder), columns=columns)

    def _living(
        self, folder: str, columns: list[str] | None, after_item_id: int
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a folder's files, without removed items and those up to `after_item_id`."""
        removed = self.removed_ids()
        for file in self.manifest.listed(folder):
            if _span(file)[1] <= after_item_id:
                continue
            path = self.root / file.path
            for batch in read_rows(
                path, self.own_columns(folder), columns=columns, first_item_id=after_item_id + 1
            ):
                ids = ids_of(batch)
                kept = (ids > after_item_id) & ~contained(ids, removed)
                if not kept.all():
                    batch = batch.filter(pa.array(kept))
                if batch.num_rows:
                    yield batch

    def _item_rows(self, folder: str, item_id: int) -> Iterator[pa.RecordBatch]:
        """Rows of one item, by reading the row groups that can hold it."""
        for file in self.manifest.listed(folder):
            first, last = _span(file)
            if not first <= item_id <= last:
                continue
            path = self.root / file.path
            for batch in read_rows(
                path, self.own_columns(folder), first_item_id=item_id, last_item_id=item_id
            ):
                rows = np.flatnonzero(ids_of(batch) == item_id)
                if len(rows):  # one item's rows are neighbours
                    yield batch.slice(rows[0], len(rows))

    def _checked_dim(self, kind: str, space: str, item_id: int | None = None) -> int:
        """The space's dimension, after comparing it with that of the files to be read."""
        dim = self.space(space).dim
        expected = SPACE_SCHEMAS[kind](dim)
        for file in self.manifest.listed(f"{kind}/{space}"):
            first, last = _span(file)
            if item_id is None or first <= item_id <= last:
                found = read_schema(self.root / file.path)
                if not found.equals(expected):
                    raise CollectionFormatError(
                        f"{self.root / file.path} has the columns {named(found)}; space {space} "
                        f"has {named(expected)}; restore the file from a copy"
                    )
        return dim


def _span(file: ListedFile) -> tuple[int, int]:
    """First and last id of a file of rows; every manifest that was parsed has both."""
    if file.first_item_id is None or file.last_item_id is None:
        raise CollectionFormatError(f"{file.path} lacks its range of items")
    return file.first_item_id, file.last_item_id
