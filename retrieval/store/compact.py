"""Merges small shards, drops removed rows, and collects what no generation needs any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.store.blocks import contained, ids_of
from retrieval.store.folder import delete_unlisted, recent_manifests
from retrieval.store.manifest import ListedFile, Manifest
from retrieval.store.pending import SHARD_ROWS, failures_batch
from retrieval.store.publish import Publication
from retrieval.store.reader import Snapshot
from retrieval.store.schema import FAILURES, REMOVED, SPACE_SCHEMAS
from retrieval.store.shards import read_rows, with_columns
from retrieval.store.writer import CollectionWriter

GRACE_SECONDS = 600.0
"""A search that opened an older generation has ended by then, unless somebody keeps it open."""

MERGED_BYTES = 100_000_000
"""Size up to which neighbouring shards are merged into one."""


@dataclass(frozen=True, slots=True)
class CompactReport:
    """Listed files before and after, removed items dropped, unused files deleted."""

    files_before: int
    files_after: int
    items_dropped: int
    files_deleted: int
    bytes_freed: int

    def summary(self) -> str:
        """One line for people."""
        items = "item" if self.items_dropped == 1 else "items"
        return (
            f"{self.files_before} files became {self.files_after}, {self.items_dropped} removed "
            f"{items} dropped, {self.files_deleted} unused files deleted "
            f"({self.bytes_freed / 1e6:.1f} MB)"
        )


def compact(root: Path, *, grace_seconds: float = 0.0) -> CompactReport:
    """Rewrite a collection in fewer files; ids, coverage and indexes stay as they are.

    The generation that was current when it began keeps its files for whoever reads it; older ones
    are deleted. Ids of removed items stay in `removed` while an index still holds their rows.

    Args:
        root: The collection's folder.
        grace_seconds: Generations that were current as short a time ago keep their files too.

    Raises:
        CollectionNotFoundError: The folder is not a collection.
        CollectionLockedError: A writer is at work.
        StorageError: The disk refused; the collection is as it was.
    """
    with CollectionWriter.open(root) as writer:
        before = writer.manifest
        _Compaction(Snapshot(root, before)).publish(writer)
        recent = recent_manifests(root, before.generation, grace_seconds)
        deleted, freed = delete_unlisted(root, [*recent, before, writer.manifest])
    return CompactReport(
        files_before=len(before.files),
        files_after=len(writer.manifest.files),
        items_dropped=_items(before) - _items(writer.manifest),
        files_deleted=deleted,
        bytes_freed=freed,
    )


def _items(manifest: Manifest) -> int:
    """Items in the shards, removed ones included."""
    return sum(file.rows for file in manifest.listed("items"))


class _Compaction:
    """The files of one generation, and the fewer ones that say the same."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._manifest = snapshot.manifest
        self._removed = snapshot.removed_ids()
        spaces = snapshot.spaces
        self._row_folders: dict[str, pa.Schema] = {"items": snapshot.items_schema()} | {
            f"{kind}/{space.name}": schema(space.dim)
            for kind, schema in SPACE_SCHEMAS.items()
            for space in spaces
        }

    def publish(self, writer: CollectionWriter) -> None:
        """Publish the rewritten generation if anything changes."""
        with writer.publication() as publication:
            files = [
                file
                for folder, schema in self._row_folders.items()
                for file in self._rows(publication, folder, schema)
            ]
            files += self._masked_files(publication)
            files += self._failure_files(publication)
            files += [file for file in self._manifest.files if file.path.startswith("indexes/")]
            if set(files) != set(self._manifest.files):
                writer.publish_files(files, publication)

    # ------------------------------------------------------------ items, segments, frames

    def _rows(
        self, publication: Publication, folder: str, schema: pa.Schema
    ) -> Iterator[ListedFile]:
        for group in _neighbours(self._manifest.listed(folder)):
            if len(group) == 1 and not self._has_removed(group[0]):
                yield group[0]
                continue
            span = (group[0].first_item_id or 0, group[-1].last_item_id or 0)
            rows = self._living(group, folder, schema)
            merged = publication.shard(folder, schema, rows, span)
            # Only of segments does a file without rows say something: what was computed.
            if merged.rows or folder.startswith("segments/"):
                yield merged

    def _living(
        self, group: Sequence[ListedFile], folder: str, schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        for file in group:
            own = self._snapshot.own_columns(folder)
            for batch in read_rows(self._snapshot.root / file.path, own):
                living = ~contained(ids_of(batch), self._removed)
                yield with_columns(batch.filter(pa.array(living)), schema)

    def _has_removed(self, file: ListedFile) -> bool:
        if not len(self._removed):
            return False
        batches = read_rows(self._snapshot.root / file.path, REMOVED, columns=["item_id"])
        return any(contained(ids_of(batch), self._removed).any() for batch in batches)

    # ------------------------------------------------------------ removed, failures

    def _masked_files(self, publication: Publication) -> Iterator[ListedFile]:
        """Ids that some index has older rows of: taken out or changed since it was built."""
        built = [_generation(file.folder) for file in self._manifest.files if _is_of_index(file)]
        writers = {"removed": publication.removed, "updated": publication.updated}
        for folder, write in writers.items():
            files = self._manifest.listed(folder)
            needed = [file for file in files if file.number >= min(built, default=2**63)]
            if len(needed) < 2:
                yield from needed
                continue
            ids = np.unique(np.concatenate([self._ids_of(file) for file in needed]))
            yield write(REMOVED, pa.RecordBatch.from_arrays([pa.array(ids)], schema=REMOVED))

    def _ids_of(self, file: ListedFile) -> NDArray[np.int64]:
        batches = [ids_of(batch) for batch in read_rows(self._snapshot.root / file.path, REMOVED)]
        return np.concatenate([np.empty(0, np.int64), *batches])

    def _failure_files(self, publication: Publication) -> Iterator[ListedFile]:
        """Failures that still stand, in one file."""
        files = self._manifest.listed("failures")
        standing = list(self._snapshot.open_failures().values())
        if len(files) == 1 and files[0].rows == len(standing):
            yield files[0]
        elif standing:
            yield publication.shard("failures", FAILURES, [failures_batch(standing)], None)


def _neighbours(files: Sequence[ListedFile]) -> Iterator[list[ListedFile]]:
    """Files in item order, in groups that fit one shard each."""
    group: list[ListedFile] = []
    for file in files:
        together = [*group, file]
        rows, size = sum(one.rows for one in together), sum(one.bytes for one in together)
        if group and (rows > SHARD_ROWS or size > MERGED_BYTES):
            yield group
            together = [file]
        group = together
    if group:
        yield group


def _generation(path: str) -> int:
    """The number that names a file or folder."""
    return int(Path(path).stem)


def _is_of_index(file: ListedFile) -> bool:
    return file.path.startswith("indexes/")
