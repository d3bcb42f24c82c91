"""The files of the next generation: those it adds, those it keeps, those written again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from retrieval.store.manifest import ListedFile, Manifest
from retrieval.store.pending import Pending, failures_batch
from retrieval.store.publish import Publication, Span
from retrieval.store.schema import (
    FAILURES,
    REMOVED,
    UPDATED,
    frames_schema,
    items_batch,
    segments_schema,
)
from retrieval.store.updates import updated_rows
from retrieval.types import Failure, Space


@dataclass(frozen=True, slots=True)
class GenerationFiles:
    """What a generation is made of.

    Attributes:
        root: The collection's folder.
        manifest: The generation before.
        pending: What the next one adds, changes and takes out.
        spaces: All spaces of the next one.
        left_out: Spaces that the pending items have no rows in yet.
        items_schema: Columns of `items/`.
        open_failures: By uri, as `Snapshot.open_failures`; only read where some are settled.
    """

    root: Path
    manifest: Manifest
    pending: Pending
    spaces: tuple[Space, ...]
    left_out: frozenset[str]
    items_schema: pa.Schema
    open_failures: Mapping[str, tuple[Failure, int]]

    def write(self, publication: Publication) -> tuple[ListedFile, ...]:
        """Write what is new, and list all files of the generation.

        Raises:
            StorageError: The disk refused.
        """
        added = list(self._added(publication))
        instead = self._rewritten(publication)
        stay = (instead.get(file, file) for file in self.manifest.files)
        return (*(file for file in stay if file is not None), *added)

    def _added(self, publication: Publication) -> Iterator[ListedFile]:
        """Write every file that the generation adds."""
        pending = self.pending
        if pending.items:
            span = (pending.first_item_id, pending.next_item_id - 1)
            yield publication.shard("items", self.items_schema, self._item_batches(), span)
        for space in self.spaces:
            covered = None if space.name in self.left_out else pending.covered(space.name)
            if covered is None:
                continue
            schema, batches = segments_schema(space.dim), pending.segment_batches(space)
            yield publication.shard(f"segments/{space.name}", schema, batches, covered)
            if pending.has_frames(space):
                schema, batches = frames_schema(space.dim), pending.frame_batches(space)
                yield publication.shard(f"frames/{space.name}", schema, batches, covered)
        if pending.removed:
            ids = pa.array(sorted(pending.removed), pa.int64())
            batch = pa.RecordBatch.from_arrays([ids], schema=REMOVED)
            yield publication.removed(REMOVED, batch)
        if pending.updates and any(f.path.startswith("indexes/") for f in self.manifest.files):
            ids = pa.array(sorted(pending.updates), pa.int64())
            yield publication.updated(UPDATED, pa.RecordBatch.from_arrays([ids], schema=UPDATED))
        failures = self._standing() + pending.failures
        if failures:
            yield publication.shard("failures", FAILURES, [failures_batch(failures)], None)

    def _standing(self) -> list[tuple[Failure, int]]:
        """Failures to write again, since a file of failures that has settled ones goes."""
        settled = self.pending.settled
        if not settled:
            return []
        return [pair for uri, pair in self.open_failures.items() if uri not in settled]

    def _rewritten(self, publication: Publication) -> dict[ListedFile, ListedFile | None]:
        """Listed files that another one takes the place of, or none."""
        pending, schema = self.pending, self.items_schema
        instead: dict[ListedFile, ListedFile | None] = {}
        if pending.settled:
            instead |= dict.fromkeys(self.manifest.listed("failures"))
        for file in self.manifest.listed("items"):
            first, last = file.first_item_id or 0, file.last_item_id or 0
            updates = {id_: new for id_, new in pending.updates.items() if first <= id_ <= last}
            if updates:
                batches = updated_rows(self.root / file.path, schema, updates)
                instead[file] = publication.shard("items", schema, batches, (first, last))
        return instead

    def _item_batches(self) -> Iterator[pa.RecordBatch]:
        step = 1024
        for start in range(0, len(self.pending.items), step):
            infos = [info for info, _ in self.pending.items[start : start + step]]
            yield items_batch(self.pending.first_item_id + start, infos, self.items_schema)


def split_index(
    manifest: Manifest, space: str, kept: int
) -> tuple[list[ListedFile], list[ListedFile]]:
    """The files that are not of a space's index, and those of its leading parts.

    Args:
        manifest: A generation.
        space: The space.
        kept: Leading parts to give; files of later parts are in neither list.
    """
    above = f"indexes/{space}/"
    parts = [file for file in manifest.files if file.path.startswith(above)]
    folders = list(dict.fromkeys(file.folder for file in parts))[:kept]
    stay = [file for file in parts if file.folder in folders]
    others = [file for file in manifest.files if not file.path.startswith(above)]
    return others, stay


def span_behind(manifest: Manifest, space: str, parts: Sequence[ListedFile]) -> Span | None:
    """The items that a space covers behind those of some parts of its index."""
    files = manifest.listed(f"segments/{space}")
    if not files or files[0].first_item_id is None or files[-1].last_item_id is None:
        return None
    first = files[0].first_item_id
    if parts and parts[-1].last_item_id is not None:
        first = parts[-1].last_item_id + 1
    return first, files[-1].last_item_id
