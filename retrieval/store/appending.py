"""Appends items of other collections to a collection, without embedding them again.

Items get new ids in the order of their old ones, and one generation adds all of them. Shards are
read, renumbered and written in batches, one shard at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.errors import CollectionDamagedError, SpaceMismatchError
from retrieval.progress import Progress, no_progress
from retrieval.store.blocks import id_array, isin_sorted
from retrieval.store.compact import MERGED_BYTES
from retrieval.store.manifest import ListedFile
from retrieval.store.pending import SHARD_ROWS, failures_batch
from retrieval.store.publish import Publication
from retrieval.store.reader import Snapshot
from retrieval.store.schema import FAILURES, SPACE_SCHEMAS, TEXT_SCHEMAS
from retrieval.store.shard_reader import id_range
from retrieval.store.shards import read_rows, with_columns
from retrieval.store.verify import file_problem
from retrieval.store.writer import CollectionWriter
from retrieval.types import Failure, Space


@dataclass(frozen=True, slots=True)
class Addition:
    """Items of another collection to append.

    Attributes:
        snapshot: A generation of the other collection.
        item_ids: Sorted ids of the items to append; none of them is removed.
        first_item_id: New id of the first of them; set by `numbered`.
    """

    snapshot: Snapshot
    item_ids: NDArray[np.int64]
    first_item_id: int = 0

    def new_ids(self, item_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the new ids of some of the items."""
        ids: NDArray[np.int64] = self.first_item_id + np.searchsorted(self.item_ids, item_ids)
        return ids

    def last_embedded_id(self, space: str) -> int:
        """Return the last id for which a space was computed; -1 for none."""
        names = [each.name for each in self.snapshot.spaces]
        return self.snapshot.last_embedded_id(space) if space in names else -1


def numbered(next_item_id: int, additions: Sequence[Addition]) -> list[Addition]:
    """Assign consecutive new ids from `next_item_id` on."""
    result = []
    for addition in additions:
        result.append(replace(addition, first_item_id=next_item_id))
        next_item_id += len(addition.item_ids)
    return result


def append_items(
    writer: CollectionWriter,
    additions: Sequence[Addition],
    *,
    removed: Sequence[int] = (),
    failures: Sequence[Failure] = (),
    progress: Progress = no_progress,
) -> list[Addition]:
    """Publish pending changes, then one generation with the items of other collections.

    Items keep their columns, segments, frames, texts and sidecars. Spaces that the collection lacks
    are added. The index is not extended; `index` does that.

    Args:
        writer: The collection.
        additions: The items, in order of their new ids.
        removed: Existing items that the new ones replace.
        failures: Failures to record; an item of these uris that is added later resolves them.
        progress: Receives the number of copied files.

    Returns:
        The additions with their new ids.

    Raises:
        SpaceMismatchError: Two spaces of one name have different digests.
        CollectionDamagedError: A file of another collection differs from its digest.
        StorageError: The disk refused; the collection is unchanged.
    """
    writer.publish()
    manifest = writer.manifest
    additions = numbered(manifest.next_item_id, additions)
    spaces = joined_spaces(manifest.spaces, additions)
    _report_gaps(writer, spaces, additions)
    copying = _Copying(writer, spaces, additions, progress)
    next_item_id = manifest.next_item_id + sum(len(each.item_ids) for each in additions)
    with writer.publication() as publication:
        files = [*manifest.files, *copying.write(publication)]
        if removed:
            files.append(publication.write_ids("removed", np.unique(np.array(removed, np.int64))))
        if failures:
            rows = failures_batch([(failure, next_item_id) for failure in failures])
            files.append(publication.write_shard("failures", FAILURES, [rows], None))
        new = replace(manifest, spaces=spaces, next_item_id=next_item_id, files=tuple(files))
        writer.commit(publication, new)
    writer.reload()
    return additions


def joined_spaces(existing: Sequence[Space], additions: Sequence[Addition]) -> tuple[Space, ...]:
    """Return the spaces of all collections, in the order of their first appearance.

    Raises:
        SpaceMismatchError: Two spaces of one name have different digests.
    """
    spaces = {space.name: space for space in existing}
    for addition in additions:
        for space in addition.snapshot.spaces:
            known = spaces.setdefault(space.name, space)
            if (known.digest, known.dim) != (space.digest, space.dim):
                raise SpaceMismatchError(
                    f"the space {space.name} of {addition.snapshot.root} has the digest "
                    f"{space.digest[:12]}, another collection's has {known.digest[:12]}: their "
                    "vectors cannot be compared; embed one of them again with the other's model"
                )
    return tuple(spaces.values())


def _report_gaps(
    writer: CollectionWriter, spaces: Sequence[Space], additions: Sequence[Addition]
) -> None:
    """Add a notice for items without rows in a space that later items have rows in.

    A space lacks the items above its last id only, so that `embed` does not complete the others.
    """
    for space in spaces:
        gaps: list[tuple[str, int]] = []
        for addition in additions:
            last = addition.last_embedded_id(space.name)
            missing = int((addition.item_ids > last).sum())
            if missing < len(addition.item_ids):
                for source, count in gaps:
                    writer.notices.add(
                        f"{count} items have no vectors in {space.name} and are not found there; "
                        "embed their files into a new collection to change that",
                        source=source,
                    )
                gaps = []
            if missing:
                gaps.append((str(addition.snapshot.root), missing))


class _Copying:
    """Copies the files of all additions into one publication."""

    def __init__(
        self,
        writer: CollectionWriter,
        spaces: Sequence[Space],
        additions: Sequence[Addition],
        progress: Progress,
    ) -> None:
        self._additions = additions
        self._progress = progress
        self._done = 0
        columns = writer.user_columns()
        self._column_names = [
            columns.adopt(addition.snapshot.user_columns(), str(addition.snapshot.root))
            for addition in additions
        ]
        self._schemas: dict[str, pa.Schema] = {"items": columns.items_schema(), **TEXT_SCHEMAS}
        for folder, schema in SPACE_SCHEMAS.items():
            self._schemas |= {f"{folder}/{space.name}": schema(space.dim) for space in spaces}
        self._total = sum(
            len(group)
            for folder in self._schemas
            for addition in additions
            for group in _shard_groups(addition, folder)
        )

    def write(self, publication: Publication) -> Iterator[ListedFile]:
        """Write the shards of the new items."""
        for folder, schema in self._schemas.items():
            for addition, names in zip(self._additions, self._column_names, strict=True):
                for group in _shard_groups(addition, folder):
                    ids = _new_range(addition, group)
                    rows = self._rows(addition, names, folder, group)
                    shard = publication.write_shard(folder, schema, rows, ids)
                    # A segments file without rows still records which items were embedded.
                    if shard.rows or folder.startswith("segments/"):
                        yield shard

    def _rows(
        self, addition: Addition, names: dict[str, str], folder: str, group: Sequence[ListedFile]
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one new shard."""
        snapshot, chosen, schema = addition.snapshot, addition.item_ids, self._schemas[folder]
        required = snapshot.required_columns(folder)
        for file in group:
            problem = file_problem(snapshot.root, file)
            if problem is not None:
                raise CollectionDamagedError(problem)
            for batch in read_rows(snapshot.root / file.path, required):
                ids = id_array(batch)
                mask = isin_sorted(ids, chosen)
                batch = batch.filter(pa.array(mask)).set_column(
                    0, required.field(0), pa.array(addition.new_ids(ids[mask]))
                )
                renamed = [names.get(name, name) for name in batch.schema.names]
                if folder != "items":
                    renamed = batch.schema.names
                yield with_columns(batch.rename_columns(renamed), schema)
            self._done += 1
            self._progress("copying files", self._done, self._total)


def _shard_groups(addition: Addition, folder: str) -> Iterator[list[ListedFile]]:
    """Group consecutive files whose chosen rows fit into one shard; skip those without any."""
    group: list[ListedFile] = []
    rows = size = 0.0
    for file in addition.snapshot.manifest.files_in(folder):
        first, last = id_range(file)
        start, end = np.searchsorted(addition.item_ids, [first, last + 1])
        if start == end:
            continue
        share = (end - start) / (last - first + 1)
        rows, size = rows + share * file.rows, size + share * file.bytes
        if group and (rows > SHARD_ROWS or size > MERGED_BYTES):
            yield group
            group, rows, size = [], share * file.rows, share * file.bytes
        group.append(file)
    if group:
        yield group


def _new_range(addition: Addition, group: Sequence[ListedFile]) -> tuple[int, int]:
    """Return the new ids of the first and the last chosen item of a group."""
    first, last = id_range(group[0])[0], id_range(group[-1])[1]
    start, end = np.searchsorted(addition.item_ids, [first, last + 1])
    return addition.first_item_id + int(start), addition.first_item_id + int(end) - 1
