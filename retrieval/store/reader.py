"""Reads one generation of a collection in memory-mapped blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retrieval.columns.notices import Notices
from retrieval.columns.types import ColumnType
from retrieval.errors import CollectionDamagedError, CollectionFormatError
from retrieval.store.blocks import (
    SegmentBlock,
    concatenate,
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
from retrieval.store.known_files import NAMES, KnownFiles
from retrieval.store.manifest import TEXT_INDEX, Manifest
from retrieval.store.schema import (
    ITEM_IDS,
    MEDIUM_CODES,
    SPACE_SCHEMAS,
    describe_columns,
)
from retrieval.store.shard_columns import column_types, has_wide_integers
from retrieval.store.shard_reader import ShardReader, concatenated_ids, id_range
from retrieval.store.shards import read_rows, read_schema, with_columns
from retrieval.store.user_columns import UserColumns
from retrieval.types import Failure, Frames, Segments, Sidecar, TextSource

TEXT_BATCH_ROWS = 1024
"""Rows of a block of texts, which can be long."""


class Snapshot(ShardReader):
    """One generation, opened for reading; later generations do not change it."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        super().__init__(root, manifest)
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
                _check_sizes(root, manifest)
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
            _check_sizes(root, manifest)
        except CollectionDamagedError as error:
            raise CollectionDamagedError(
                f"generation {generation} of {root} is incomplete, as after compacting: {error}"
            ) from error
        return cls(root, manifest)

    # ------------------------------------------------------------ spaces

    def last_embedded_id(self, space: str) -> int:
        """Return the last item id for which a space has been computed; -1 for none."""
        self.space(space)
        files = self.manifest.files_in(f"segments/{space}")
        return max((id_range(file)[1] for file in files), default=-1)

    def index_folders(self, space: str) -> list[Path]:
        """Return the folders of the parts of a space's index, in item order."""
        self.space(space)
        return self._index_folders(space)

    def _index_folders(self, space: str) -> list[Path]:
        prefix = f"indexes/{space}/"
        folders = [file.folder for file in self.manifest.files if file.path.startswith(prefix)]
        return [checked_path(self.root, folder) for folder in dict.fromkeys(folders)]

    # ------------------------------------------------------------ items

    def item_ids(self) -> NDArray[np.int64]:
        """Return the sorted ids of all items, without removed ones."""
        ids = concatenated_ids(self._rows("items", ["item_id"]))
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
        return np.unique(concatenated_ids(batches))

    def items(self, item_ids: NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
        """Yield the items with sorted `item_ids` in id order, without removed ones."""
        schema = self.items_schema()
        for batch in self._rows_of("items", item_ids):
            yield with_columns(batch, schema)

    def known_files(self) -> KnownFiles:
        """Return id, size, time and digest of every item by uri, without removed items."""
        return KnownFiles(self._present_rows("items", NAMES, -1))

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

    # ------------------------------------------------------------ texts

    def texts(
        self, item_ids: NDArray[np.int64] | None = None, *, after_item_id: int = -1
    ) -> Iterator[pa.RecordBatch]:
        """Yield texts in item order, without those of removed items, in blocks of bounded memory.

        Args:
            item_ids: Sorted ids of the items; None for all.
            after_item_id: Only texts of items after this one.

        Yields:
            Rows with the columns of `TEXTS`. The rows of an item are neighbours, and within one
            source in order of time.
        """
        return self._text_rows("texts", item_ids, after_item_id)

    def sidecars(self) -> dict[int, tuple[Sidecar, ...]]:
        """Return the files that transcripts were read from, by item id, without removed items."""
        sidecars: dict[int, tuple[Sidecar, ...]] = {}
        for batch in self._text_rows("sidecars", None, -1):
            for item_id, *fields in zip(*(c.to_pylist() for c in batch.columns), strict=True):
                sidecars[item_id] = (*sidecars.get(item_id, ()), Sidecar(*fields))
        return sidecars

    def text_counts(self) -> dict[str, int]:
        """Count the texts of every source, without removed items."""
        counts: Counter[str] = Counter()
        for batch in self._present_rows("texts", ["item_id", "source"], -1):
            counts.update(batch.column("source").to_pylist())
        return dict(sorted(counts.items()))

    def ids_with_texts(self, source: TextSource) -> frozenset[int]:
        """Return the ids of the items that have a text of a source, perhaps an empty one."""
        ids: set[int] = set()
        for batch in self._present_rows("texts", ["item_id", "source"], -1):
            of_source = pc.equal(batch.column("source"), str(source))
            ids.update(batch.column("item_id").filter(of_source).to_pylist())
        return frozenset(ids)

    def text_index_folders(self) -> list[Path]:
        """Return the folders of the parts of the index of texts, in item order."""
        return self._index_folders(TEXT_INDEX)

    def newer_text_ids(self, generation: int) -> NDArray[np.int64]:
        """Return the sorted ids of items whose texts are newer than an index part.

        These are the items after those of the parts up to `generation`, and those whose texts or
        columns changed after `generation`. Some may have no texts.

        Args:
            generation: The generation of a part, the number in the name of its folder.
        """
        last = max(
            (
                file.last_item_id
                for file in self.manifest.files
                if file.path.startswith(f"indexes/{TEXT_INDEX}/")
                and int(Path(file.folder).name) <= generation
                and file.last_item_id is not None
            ),
            default=-1,
        )
        ids = self.item_ids()
        return ids[(ids > last) | isin_sorted(ids, self.updated_ids(generation))]

    def _text_rows(
        self, folder: str, item_ids: NDArray[np.int64] | None, after_item_id: int
    ) -> Iterator[pa.RecordBatch]:
        if item_ids is None:
            return self._present_rows(folder, None, after_item_id, TEXT_BATCH_ROWS)
        return self._rows_of(folder, item_ids[item_ids > after_item_id], TEXT_BATCH_ROWS)

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

    def _checked_dim(self, folder: str, space: str, item_id: int | None = None) -> int:
        """Return the dimension of a space, after comparing it with that of the files to read."""
        dim = self.space(space).dim
        expected = SPACE_SCHEMAS[folder](dim)
        for file in self.manifest.files_in(f"{folder}/{space}"):
            first, last = id_range(file)
            if item_id is None or first <= item_id <= last:
                schema = read_schema(self.root / file.path)
                if not schema.equals(expected):
                    raise CollectionFormatError(
                        f"{self.root / file.path} has the columns {describe_columns(schema)}, "
                        f"expected {describe_columns(expected)}; restore the file from a copy"
                    )
        return dim


def _check_sizes(root: Path, manifest: Manifest) -> None:
    """Compare the sizes of all files but those of the index of texts, which vectors do not need."""
    for file in manifest.files:
        if not file.path.startswith(f"indexes/{TEXT_INDEX}/"):
            check_size(root, file)
