"""Reading one generation: rows are streamed, never a whole shard in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from retrieval.errors import CollectionDamagedError, CollectionError
from retrieval.store.manifest import ListedFile, Manifest, check_listed, read_current
from retrieval.store.schema import ITEMS, MEDIUM_CODES, vectors_of
from retrieval.types import Failure, Frames, KnownFile, Medium, Segments, Space

BATCH_ROWS = 8_192


@dataclass(frozen=True, slots=True)
class SegmentBlock:
    """Consecutive rows of a space: arrays of equal length n.

    Attributes:
        item_ids: (n,) int64, ascending.
        media: (n,) int8 codes: 0 image, 1 audio, 2 video.
        start_seconds: (n,) float32, NaN for an image.
        end_seconds: (n,) float32, NaN for an image.
        vectors: (n, dim) float16.
    """

    item_ids: NDArray[np.int64]
    media: NDArray[np.int8]
    start_seconds: NDArray[np.float32]
    end_seconds: NDArray[np.float32]
    vectors: NDArray[np.float16]


class Snapshot:
    """One generation of a collection, opened for reading; it never changes."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = root
        self.manifest = manifest

    @classmethod
    def open(cls, root: Path) -> Snapshot:
        """Open the current generation; checks the manifest's digest and every file's size.

        Raises:
            CollectionError: Not a collection, damaged, or of another version.
        """
        manifest = read_current(root)
        for file in manifest.files:
            problem = check_listed(root, file)
            if problem is not None:
                raise CollectionDamagedError(f"{problem}; restore it from a copy or embed anew")
        return cls(root, manifest)

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The embedding spaces of the collection."""
        return self.manifest.spaces

    def space(self, name: str) -> Space:
        """A space by its name.

        Raises:
            CollectionError: The collection has no such space.
        """
        for space in self.spaces:
            if space.name == name:
                return space
        names = ", ".join(space.name for space in self.spaces) or "none"
        raise CollectionError(f"{self.root} has no space {name!r}; it has: {names}")

    # ------------------------------------------------------------ items

    @cached_property
    def _removed(self) -> NDArray[np.int64]:
        parts = [self.table(file).column("item_id") for file in self.manifest.listed("removed")]
        return np.unique(np.concatenate([np.empty(0, np.int64), *map(np.asarray, parts)]))

    def removed_ids(self) -> NDArray[np.int64]:
        """Sorted ids of items taken out and perhaps still present in shards or indexes."""
        return self._removed

    def iter_items(
        self, *, after_item_id: int = -1, columns: list[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Living items in id order; all batches share one schema, absent columns are null."""
        schema = self.items_schema()
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        read = list(dict.fromkeys([*schema.names, "item_id"]))
        for file in self.manifest.listed("items"):
            if file.last_item_id is not None and file.last_item_id <= after_item_id:
                continue
            parquet = self._parquet(file)
            present = [name for name in read if name in parquet.schema_arrow.names]
            for batch in parquet.iter_batches(BATCH_ROWS, columns=present):
                living = self._living(batch, after_item_id)
                if living.num_rows:
                    yield _with_schema(living, schema)

    def items_schema(self) -> pa.Schema:
        """The fixed columns, then the user's in order of appearance."""
        shards = (self._parquet(file).schema_arrow for file in self.manifest.listed("items"))
        return pa.unify_schemas([ITEMS, *shards])

    def user_types(self) -> dict[str, pa.DataType]:
        """Type of every column that the user brought along."""
        schema = self.items_schema()
        return {field.name: field.type for field in schema if field.name not in ITEMS.names}

    def known_files(self) -> dict[str, KnownFile]:
        """Living items by uri."""
        known: dict[str, KnownFile] = {}
        for batch in self.iter_items(columns=["item_id", "uri", "bytes", "mtime", "sha256"]):
            item_ids, uris, *rest = (column.to_pylist() for column in batch.columns)
            for item_id, uri, size, mtime, digest in zip(item_ids, uris, *rest, strict=True):
                known[uri] = KnownFile(item_id, size, mtime, digest)
        return known

    def failures(self) -> dict[str, Failure]:
        """Latest failure of every file that has not been embedded since."""
        known = self.known_files()
        latest: dict[str, Failure] = {}
        for file in self.manifest.listed("failures"):
            for row in self.table(file).to_pylist():
                succeeded = known.get(row["uri"])
                if succeeded is None or succeeded.item_id < row.pop("next_item_id"):
                    row.pop("next_item_id", None)
                    latest[row["uri"]] = Failure(**row)
        return latest

    # ------------------------------------------------------------ vectors

    def covered(self, space: str) -> int:
        """Id of the last item that a space has been computed for; -1 for none."""
        files = self.manifest.listed(f"segments/{space}")
        return max(
            (file.last_item_id for file in files if file.last_item_id is not None), default=-1
        )

    def iter_segments(self, space: str, *, after_item_id: int = -1) -> Iterator[SegmentBlock]:
        """Rows of living items in item order, in blocks of bounded size."""
        dim = self.space(space).dim
        for file in self.manifest.listed(f"segments/{space}"):
            if file.last_item_id is not None and file.last_item_id <= after_item_id:
                continue
            for batch in self._parquet(file).iter_batches(BATCH_ROWS):
                living = self._living(batch, after_item_id)
                if living.num_rows:
                    yield _block(living, dim)

    def item_segments(self, space: str, item_id: int) -> Segments:
        """One item's rows; of zero length where it has none in the space."""
        dim = self.space(space).dim
        rows = self._item_rows(f"segments/{space}", item_id)
        blocks = [_block(batch, dim) for batch in rows.to_batches()]
        return Segments(
            [MEDIUM_CODES[code] for block in blocks for code in block.media.tolist()],
            _joined([block.start_seconds for block in blocks], (0,)),
            _joined([block.end_seconds for block in blocks], (0,)),
            _joined([block.vectors.astype(np.float32) for block in blocks], (0, dim)),
        )

    def item_frames(self, space: str, item_id: int) -> Frames | None:
        """One video's sampled frames; None where the space holds none of it."""
        dim = self.space(space).dim
        rows = self._item_rows(f"frames/{space}", item_id).combine_chunks()
        if not rows.num_rows:
            return None
        vectors = [vectors_of(chunk, dim) for chunk in rows.column("embedding").chunks]
        return Frames(
            np.asarray(rows.column("seconds"), np.float32),
            np.concatenate(vectors).astype(np.float32),
        )

    def index_folder(self, space: str) -> Path | None:
        """Folder of the space's index in this generation."""
        prefix = f"indexes/{space}/"
        folders = {
            file.path.rpartition("/")[0]
            for file in self.manifest.files
            if file.path.startswith(prefix)
        }
        return self.root / max(folders) if folders else None

    # ------------------------------------------------------------ files

    def _parquet(self, file: ListedFile) -> pq.ParquetFile:
        path = self.root / file.path
        try:
            return pq.ParquetFile(path, memory_map=True)
        except (OSError, pa.ArrowException) as error:
            raise CollectionDamagedError(
                f"{path} cannot be read ({error}); `retrieval verify` finds what else is damaged"
            ) from error

    def table(self, file: ListedFile, columns: list[str] | None = None) -> pa.Table:
        """A listed Parquet file as it is, removed rows included."""
        return self._parquet(file).read(columns)

    def _item_rows(self, folder: str, item_id: int) -> pa.Table:
        """Rows of one item, from the row groups that may hold them."""
        for file in self.manifest.listed(folder):
            first, last = file.first_item_id, file.last_item_id
            if first is None or last is None or not first <= item_id <= last:
                continue
            parquet = self._parquet(file)
            groups = [
                group
                for group in range(parquet.metadata.num_row_groups)
                if _may_hold(parquet.metadata.row_group(group).column(0).statistics, item_id)
            ]
            rows = parquet.read_row_groups(groups)
            return rows.filter(pc.equal(rows.column("item_id"), item_id))
        return pa.table({"item_id": pa.array([], pa.int64())})

    def _living(self, batch: pa.RecordBatch, after_item_id: int) -> pa.RecordBatch:
        item_ids = np.asarray(batch.column("item_id"))
        keep = item_ids > after_item_id
        if len(self._removed):
            keep &= ~np.isin(item_ids, self._removed)
        return batch if keep.all() else batch.filter(pa.array(keep))


def _with_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    names = set(batch.schema.names)
    columns = [
        batch.column(field.name) if field.name in names else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _block(batch: pa.RecordBatch, dim: int) -> SegmentBlock:
    names = [medium.value for medium in Medium]
    codes = pc.index_in(batch.column("medium"), pa.array(names))
    return SegmentBlock(
        item_ids=np.asarray(batch.column("item_id")),
        media=np.asarray(codes).astype(np.int8),
        start_seconds=_times(batch.column("start_seconds")),
        end_seconds=_times(batch.column("end_seconds")),
        vectors=vectors_of(batch.column("embedding"), dim),
    )


def _times(column: pa.Array) -> NDArray[np.float32]:
    times: NDArray[np.float32] = column.to_numpy(zero_copy_only=False)
    return times.astype(np.float32, copy=False)


def _joined(parts: list[NDArray[Any]], empty: tuple[int, ...]) -> NDArray[np.float32]:
    return np.concatenate(parts) if parts else np.empty(empty, np.float32)


def _may_hold(statistics: Any, item_id: int) -> bool:
    return statistics is None or statistics.min <= item_id <= statistics.max
