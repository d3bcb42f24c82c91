"""Merges small shards, drops the rows of removed items and deletes unused files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from retrieval.store.blocks import id_array, isin_sorted
from retrieval.store.folder import delete_unlisted, recent_manifests
from retrieval.store.manifest import ListedFile, Manifest
from retrieval.store.pending import SHARD_ROWS, failures_batch
from retrieval.store.publish import Publication
from retrieval.store.reader import Snapshot
from retrieval.store.schema import FAILURES, ITEM_IDS, SPACE_SCHEMAS, TEXT_SCHEMAS
from retrieval.store.shards import read_rows, with_columns
from retrieval.store.writer import CollectionWriter

GRACE_SECONDS = 600.0
"""Time after which searches of an older generation are assumed to have ended."""

MERGED_BYTES = 100_000_000
"""Maximum size of a merged shard, in bytes."""


@dataclass(frozen=True, slots=True)
class CompactReport:
    """Numbers of listed files, dropped items and deleted files."""

    files_before: int
    files_after: int
    items_dropped: int
    files_deleted: int
    bytes_freed: int

    def summary(self) -> str:
        """Format the report as one line."""
        items = "item" if self.items_dropped == 1 else "items"
        return (
            f"{self.files_before} files became {self.files_after}, {self.items_dropped} removed "
            f"{items} dropped, {self.files_deleted} unused files deleted "
            f"({self.bytes_freed / 1e6:.1f} MB)"
        )


def compact(root: Path, *, grace_seconds: float = 0.0) -> CompactReport:
    """Rewrite a collection in fewer files; ids, id ranges and indexes do not change.

    The previous generation keeps its files for its readers; older ones are deleted. Ids of removed
    items stay in `removed` while an index still holds their rows.

    Args:
        root: The collection's folder.
        grace_seconds: Older generations that were current this recently keep their files too.

    Raises:
        CollectionNotFoundError: The folder is not a collection.
        CollectionLockedError: Another writer holds the lock.
        StorageError: The disk refused; the collection is unchanged.
    """
    with CollectionWriter.open(root) as writer:
        before = writer.manifest
        _Compaction(Snapshot(root, before)).publish(writer)
        recent = recent_manifests(root, before.generation, grace_seconds)
        deleted, freed = delete_unlisted(root, [*recent, before, writer.manifest])
    return CompactReport(
        files_before=len(before.files),
        files_after=len(writer.manifest.files),
        items_dropped=_item_rows(before) - _item_rows(writer.manifest),
        files_deleted=deleted,
        bytes_freed=freed,
    )


def _item_rows(manifest: Manifest) -> int:
    return sum(file.rows for file in manifest.files_in("items"))


class _Compaction:
    """Rewrites the files of one generation as fewer files with the same content."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._manifest = snapshot.manifest
        self._removed = snapshot.removed_ids()
        self._row_schemas: dict[str, pa.Schema] = {
            "items": snapshot.items_schema(),
            **TEXT_SCHEMAS,
        } | {
            f"{folder}/{space.name}": schema(space.dim)
            for folder, schema in SPACE_SCHEMAS.items()
            for space in snapshot.spaces
        }

    def publish(self, writer: CollectionWriter) -> None:
        """Publish the rewritten generation if anything changes."""
        with writer.publication() as publication:
            files = [
                file
                for folder, schema in self._row_schemas.items()
                for file in self._row_files(publication, folder, schema)
            ]
            files += self._id_files(publication)
            files += self._failure_files(publication)
            files += [file for file in self._manifest.files if file.is_index_file]
            if set(files) != set(self._manifest.files):
                writer.publish_files(files, publication)

    # ------------------------------------------------------------ items, segments, frames

    def _row_files(
        self, publication: Publication, folder: str, schema: pa.Schema
    ) -> Iterator[ListedFile]:
        for group in _merge_groups(self._manifest.files_in(folder)):
            if len(group) == 1 and not self._has_removed(group[0]):
                yield group[0]
                continue
            id_range = (group[0].first_item_id or 0, group[-1].last_item_id or 0)
            rows = self._remaining_rows(group, folder, schema)
            merged = publication.write_shard(folder, schema, rows, id_range)
            # A segments file without rows still records which items were embedded.
            if merged.rows or folder.startswith("segments/"):
                yield merged

    def _remaining_rows(
        self, group: Sequence[ListedFile], folder: str, schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        required = self._snapshot.required_columns(folder)
        for file in group:
            for batch in read_rows(self._snapshot.root / file.path, required):
                remaining = ~isin_sorted(id_array(batch), self._removed)
                yield with_columns(batch.filter(pa.array(remaining)), schema)

    def _has_removed(self, file: ListedFile) -> bool:
        if not len(self._removed):
            return False
        batches = read_rows(self._snapshot.root / file.path, ITEM_IDS, columns=["item_id"])
        return any(isin_sorted(id_array(batch), self._removed).any() for batch in batches)

    # ------------------------------------------------------------ removed, updated, failures

    def _id_files(self, publication: Publication) -> Iterator[ListedFile]:
        """Keep the ids that were removed or updated after the oldest index part was built."""
        built = [int(Path(file.folder).name) for file in self._manifest.files if file.is_index_file]
        for folder in ("removed", "updated"):
            files = self._manifest.files_in(folder)
            needed = [file for file in files if file.number >= min(built, default=2**63)]
            if len(needed) < 2:
                yield from needed
                continue
            ids = [
                id_array(batch)
                for file in needed
                for batch in read_rows(self._snapshot.root / file.path, ITEM_IDS)
            ]
            yield publication.write_ids(folder, np.unique(np.concatenate(ids)))

    def _failure_files(self, publication: Publication) -> Iterator[ListedFile]:
        """Keep the open failures, in one file."""
        files = self._manifest.files_in("failures")
        failures = list(self._snapshot.open_failures().values())
        if len(files) == 1 and files[0].rows == len(failures):
            yield files[0]
        elif failures:
            yield publication.write_shard("failures", FAILURES, [failures_batch(failures)], None)


def _merge_groups(files: Sequence[ListedFile]) -> Iterator[list[ListedFile]]:
    """Group consecutive files that fit into one shard."""
    group: list[ListedFile] = []
    for file in files:
        extended = [*group, file]
        rows, size = sum(each.rows for each in extended), sum(each.bytes for each in extended)
        if group and (rows > SHARD_ROWS or size > MERGED_BYTES):
            yield group
            extended = [file]
        group = extended
    if group:
        yield group
