"""Writes the data files of the next generation and lists those that it keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from retrieval.store.manifest import TEXT_INDEX, ListedFile, Manifest
from retrieval.store.pending import PendingChanges, failures_batch
from retrieval.store.publish import IdRange, Publication
from retrieval.store.schema import (
    FAILURES,
    TEXT_SCHEMAS,
    frames_schema,
    segments_schema,
)
from retrieval.store.text_rows import text_shards
from retrieval.store.updates import updated_rows
from retrieval.types import Failure, Space


@dataclass(frozen=True, slots=True)
class GenerationFiles:
    """The data of a generation that is to be written.

    Attributes:
        root: The collection's folder.
        manifest: The current generation.
        pending: The changes.
        spaces: All spaces of the next generation.
        excluded_spaces: Spaces that have no rows of the pending items yet.
        items_schema: Columns of `items/`.
        open_failures: By uri, as `Snapshot.open_failures`; needed only if failures are resolved.
    """

    root: Path
    manifest: Manifest
    pending: PendingChanges
    spaces: tuple[Space, ...]
    excluded_spaces: frozenset[str]
    items_schema: pa.Schema
    open_failures: Mapping[str, tuple[Failure, int]]

    def write(self, publication: Publication) -> tuple[ListedFile, ...]:
        """Write the new files and return all files of the generation.

        Raises:
            StorageError: The disk refused.
        """
        added = list(self._write_added(publication))
        files = list(self.manifest.files)
        if self.pending.resolved_failures:
            files = [file for file in files if file.folder != "failures"]
        rewritten = self._write_updated(publication)
        files = [rewritten.get(file, file) for file in files]
        for folder in TEXT_SCHEMAS:
            files = self._with_updated_texts(publication, folder, files)
        return (*files, *added)

    def _write_added(self, publication: Publication) -> Iterator[ListedFile]:
        pending = self.pending
        if pending.item_count:
            id_range = (pending.first_item_id, pending.next_item_id - 1)
            batches = pending.item_batches(self.items_schema)
            yield publication.write_shard("items", self.items_schema, batches, id_range)
            for folder, schema in TEXT_SCHEMAS.items():
                texts = pending.text_batches(folder)
                first = next(texts, None)
                if first is not None:
                    yield publication.write_shard(folder, schema, chain([first], texts), id_range)
        for space in self.spaces:
            ids = None if space.name in self.excluded_spaces else pending.id_range(space.name)
            if ids is None:
                continue
            rows = pending.rows_of(space.name)
            schema, batches = segments_schema(space.dim), rows.segment_batches(space)
            yield publication.write_shard(f"segments/{space.name}", schema, batches, ids)
            if rows.has_frames():
                schema, batches = frames_schema(space.dim), rows.frame_batches(space)
                yield publication.write_shard(f"frames/{space.name}", schema, batches, ids)
        if pending.removed:
            yield publication.write_ids("removed", np.array(sorted(pending.removed), np.int64))
        if len(pending.updated_ids) and any(file.is_index_file for file in self.manifest.files):
            yield publication.write_ids("updated", pending.updated_ids)
        failures = self._unresolved_failures() + pending.failures
        if failures:
            yield publication.write_shard("failures", FAILURES, [failures_batch(failures)], None)

    def _unresolved_failures(self) -> list[tuple[Failure, int]]:
        """Return the failures to rewrite, because files with resolved failures are dropped."""
        resolved = self.pending.resolved_failures
        if not resolved:
            return []
        return [failure for uri, failure in self.open_failures.items() if uri not in resolved]

    def _write_updated(self, publication: Publication) -> dict[ListedFile, ListedFile]:
        """Rewrite the shards of updated items; returns the new file of each old one."""
        schema = self.items_schema
        rewritten = {}
        for file in self.manifest.files_in("items"):
            first, last = file.first_item_id or 0, file.last_item_id or 0
            updates = {
                id_: new for id_, new in self.pending.updates.items() if first <= id_ <= last
            }
            if updates:
                batches = updated_rows(self.root / file.path, schema, updates)
                rewritten[file] = publication.write_shard("items", schema, batches, (first, last))
        return rewritten

    def _with_updated_texts(
        self, publication: Publication, folder: str, files: list[ListedFile]
    ) -> list[ListedFile]:
        """Write the shards of updated texts; return all files, those of the folder in order."""
        listed = self.manifest.files_in(folder)
        shards = text_shards(listed, folder, self.pending.text_updates)
        if not shards:
            return files
        replaced = {shard.older for shard in shards}
        kept = [file for file in listed if file not in replaced]
        for shard in shards:
            id_range = (shard.first_item_id, shard.last_item_id)
            batches = shard.batches(self.root, folder)
            kept.append(publication.write_shard(folder, TEXT_SCHEMAS[folder], batches, id_range))
        kept.sort(key=lambda file: file.first_item_id or 0)
        return [file for file in files if file.folder != folder] + kept


def split_index(
    manifest: Manifest, space: str, kept_parts: int
) -> tuple[list[ListedFile], list[ListedFile]]:
    """Return the files outside an index, and those of its leading parts.

    Args:
        manifest: A generation.
        space: The space, or `TEXT_INDEX`.
        kept_parts: Number of leading parts; files of later parts are in neither list.
    """
    prefix = f"indexes/{space}/"
    index_files = [file for file in manifest.files if file.path.startswith(prefix)]
    folders = list(dict.fromkeys(file.folder for file in index_files))[:kept_parts]
    kept = [file for file in index_files if file.folder in folders]
    others = [file for file in manifest.files if not file.path.startswith(prefix)]
    return others, kept


def id_range_after(manifest: Manifest, space: str, parts: Sequence[ListedFile]) -> IdRange | None:
    """Return the range of the items of a space, or of texts, that follow those of index parts."""
    files = manifest.files_in("items" if space == TEXT_INDEX else f"segments/{space}")
    if not files or files[0].first_item_id is None or files[-1].last_item_id is None:
        return None
    first = files[0].first_item_id
    if parts and parts[-1].last_item_id is not None:
        first = parts[-1].last_item_id + 1
    return first, files[-1].last_item_id
