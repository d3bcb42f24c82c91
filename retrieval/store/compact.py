"""Merges small shards, drops removed rows, and collects what no generation needs any more."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from retrieval.errors import CollectionError
from retrieval.store.manifest import ListedFile, Manifest, manifest_path
from retrieval.store.pending import failures_table
from retrieval.store.reader import Snapshot
from retrieval.store.writer import FOLDERS, SHARD_ROWS, CollectionWriter

GRACE_SECONDS = 3_600.0
"""Files of generations that were published within this time are kept for their readers."""


@dataclass(frozen=True, slots=True)
class CompactReport:
    """Files before and after, rows dropped, leftovers deleted."""

    files_before: int
    files_after: int
    rows_dropped: int
    files_deleted: int
    bytes_freed: int

    def summary(self) -> str:
        """One line for people."""
        return (
            f"{self.files_before} files became {self.files_after}, {self.rows_dropped} removed rows "
            f"dropped, {self.files_deleted} unused files deleted ({self.bytes_freed / 1e6:.1f} MB)"
        )


def compact(root: Path, *, grace_seconds: float = GRACE_SECONDS) -> CompactReport:
    """Rewrite a collection in fewer files; ids, coverage and the index stay as they are.

    Ids of removed items are kept as long as an index lists rows of them.

    Args:
        root: The collection's folder.
        grace_seconds: Age below which older generations keep their files.
    """
    with CollectionWriter.open(root) as writer:
        snapshot = writer.snapshot
        if snapshot is None:
            raise CollectionError(f"{root} is not a collection yet")
        before = snapshot.manifest
        dropped: list[ListedFile] = []
        written: list[ListedFile] = []
        rows = 0
        for folder in _row_folders(before):
            for group in _groups(before.listed(folder), snapshot):
                table = _living_rows(snapshot, group)
                written.append(writer.write_table(folder, table, *_coverage(group)))
                dropped += group
                rows += sum(file.rows for file in group) - table.num_rows
        written += _rewrite_failures(writer, snapshot, dropped)
        if not any(file.path.startswith("indexes/") for file in before.files):
            dropped += before.listed("removed")
        if dropped:
            gone = {file.path for file in dropped}
            # Merged files take the place of the old ones: the order of a folder is id order.
            writer.replace_files(lambda file: file.path in gone, _in_order(written))
        assert writer.snapshot is not None
        after = writer.snapshot.manifest
        deleted, freed = _collect(root, after, grace_seconds)
    return CompactReport(len(before.files), len(after.files), rows, deleted, freed)


def _row_folders(manifest: Manifest) -> list[str]:
    folders = {file.path.rpartition("/")[0] for file in manifest.files}
    return sorted(f for f in folders if f == "items" or f.startswith(("segments/", "frames/")))


def _groups(files: Sequence[ListedFile], snapshot: Snapshot) -> Iterator[list[ListedFile]]:
    """Neighbours that fit one shard together, and files that hold removed rows.

    A folder is rewritten from its first such file on, so that its order stays id order.
    """
    group: list[ListedFile] = []
    groups: list[list[ListedFile]] = []
    for file in files:
        if group and sum(one.rows for one in group) + file.rows > SHARD_ROWS:
            groups.append(group)
            group = []
        group.append(file)
    if group:
        groups.append(group)
    first = next((i for i, g in enumerate(groups) if len(g) > 1 or _has_removed(g, snapshot)), None)
    if first is not None:
        yield from groups[first:]


def _has_removed(group: list[ListedFile], snapshot: Snapshot) -> bool:
    removed = snapshot.removed_ids()
    if not len(removed):
        return False
    item_ids = _read(snapshot, group, ["item_id"]).column("item_id")
    return bool(np.isin(np.asarray(item_ids), removed).any())


def _read(
    snapshot: Snapshot, group: list[ListedFile], columns: list[str] | None = None
) -> pa.Table:
    tables = [snapshot.table(file, columns) for file in group]
    return pa.concat_tables(tables, promote_options="default")


def _living_rows(snapshot: Snapshot, group: list[ListedFile]) -> pa.Table:
    table = _read(snapshot, group)
    living = ~np.isin(np.asarray(table.column("item_id")), snapshot.removed_ids())
    return table.filter(pa.array(living)).combine_chunks()


def _coverage(group: list[ListedFile]) -> tuple[int | None, int | None]:
    firsts = [file.first_item_id for file in group if file.first_item_id is not None]
    lasts = [file.last_item_id for file in group if file.last_item_id is not None]
    return min(firsts, default=None), max(lasts, default=None)


def _in_order(files: list[ListedFile]) -> list[ListedFile]:
    return sorted(files, key=lambda file: (file.path.rpartition("/")[0], file.first_item_id or 0))


def _rewrite_failures(
    writer: CollectionWriter, snapshot: Snapshot, dropped: list[ListedFile]
) -> list[ListedFile]:
    """Keep the failures that still stand, in one file."""
    files = snapshot.manifest.listed("failures")
    standing = list(snapshot.failures().values())
    if not files or (len(files) == 1 and len(standing) == files[0].rows):
        return []
    dropped += files
    if not standing:
        return []
    table = failures_table(standing, snapshot.manifest.next_item_id)
    return [writer.write_table("failures", table, None, None)]


def _collect(root: Path, current: Manifest, grace_seconds: float) -> tuple[int, int]:
    """Delete files that neither the current nor a recent generation lists."""
    keep = {root / file.path for file in current.files}
    keep.add(manifest_path(root, current.generation))
    for path in (root / "manifests").glob("*.json"):
        if time.time() - path.stat().st_mtime < grace_seconds:
            recent = Manifest.from_json(path.read_text(), str(path))
            keep |= {path, *(root / file.path for file in recent.files)}
    deleted = freed = 0
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path not in keep:
                deleted, freed = deleted + 1, freed + path.stat().st_size
                path.unlink()
    for folder in sorted((root / "indexes").glob("*/*")):
        if folder.is_dir() and not any(folder.iterdir()):
            shutil.rmtree(folder)
    return deleted, freed
