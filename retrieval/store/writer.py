"""The one writer of a collection: collects rows, and publishes them as new generations."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.errors import CollectionError, CollectionNotFoundError, StorageError
from retrieval.store.lock import WriterLock
from retrieval.store.manifest import ListedFile, Manifest, publish_manifest
from retrieval.store.pending import (
    PendingSpace,
    failures_table,
    float16_vectors,
    items_table,
    real_ids,
)
from retrieval.store.publish import (
    PARTIAL,
    next_number,
    sha256_of,
    storage_errors,
    sync,
    write_parquet,
)
from retrieval.store.reader import Snapshot
from retrieval.store.schema import REMOVED, column_types
from retrieval.types import EmbeddedItem, Failure, Frames, Segments, Space

SHARD_ROWS = 65_536
"""Segments and frames that fill a shard."""

SHARD_SECONDS = 60.0
"""Age at which a shard is published however small: what a kill may cost."""

FOLDERS = ("manifests", "items", "segments", "frames", "removed", "failures", "indexes")


class CollectionWriter:
    """Holds the collection's lock; use as a context manager.

    Leaving the block publishes what is pending; leaving it by an exception drops it.
    """

    def __init__(self, root: Path, snapshot: Snapshot | None, lock: WriterLock) -> None:
        self.root = root
        self.snapshot = snapshot
        self._lock = lock
        self._types = snapshot.user_types() if snapshot else {}
        self._new_spaces: list[Space] = []
        self._clear()

    @classmethod
    def open(cls, root: Path, *, create: bool = False) -> CollectionWriter:
        """Take the lock of a collection and read its current generation.

        Args:
            root: The collection's folder.
            create: Make the folder when it is missing.

        Raises:
            CollectionLockedError: Another writer is at work.
            CollectionNotFoundError: No collection there, and `create` is False.
            StorageError: The folder is a file, or may not be written.
        """
        _check_folder(root, create=create)
        lock = WriterLock(root)
        with storage_errors(root):
            lock.acquire()
        try:
            snapshot = Snapshot.open(root) if (root / "CURRENT").exists() else None
            for leftover in root.rglob(f"*{PARTIAL}"):
                leftover.unlink(missing_ok=True)
            return cls(root, snapshot, lock)
        except BaseException:
            lock.release()
            raise

    def __enter__(self) -> CollectionWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.publish()
        finally:
            self._lock.release()

    # ------------------------------------------------------------ collecting

    def add_space(self, space: Space) -> None:
        """Make a space part of the next generation."""
        self._new_spaces.append(space)
        self._rows[space.name] = PendingSpace(space)

    def add(self, item: EmbeddedItem) -> None:
        """Take a new item; its id is assigned when its shard is published.

        Raises:
            InvalidVectorError: A vector is NaN, infinite or not of unit length.
            ColumnError: A column of the user's clashes with an earlier type or a fixed name.
        """
        uri = item.info.uri
        checked = {
            name: self._checked(name, segments, item.frames.get(name), uri)
            for name, segments in item.segments.items()
        }
        self._types |= column_types(item.info.columns, self._types, uri)
        for name, rows in checked.items():
            self._rows[name].add(-1 - len(self._items), *rows)
        self._items.append(replace(item, segments={}, frames={}))
        if item.replaces is not None:
            self._removed.append(item.replaces)

    def add_rows(self, item_id: int, space: str, segments: Segments, frames: Frames | None) -> None:
        """Take the rows of an existing item in a further space; ids ascend without gaps.

        Raises:
            InvalidVectorError: A vector is NaN, infinite or not of unit length.
        """
        rows = self._checked(space, segments, frames, f"item {item_id}")
        self._rows[space].add(item_id, *rows)

    def _checked(
        self, name: str, segments: Segments, frames: Frames | None, uri: str
    ) -> tuple[Segments, NDArray[np.float16], Frames | None, NDArray[np.float16] | None]:
        space = self._rows[name].space
        vectors = float16_vectors(segments.vectors, space, uri)
        frame_vectors = None if frames is None else float16_vectors(frames.vectors, space, uri)
        self._count += len(vectors) + (0 if frame_vectors is None else len(frame_vectors))
        return segments, vectors, frames, frame_vectors

    def fail(self, failure: Failure) -> None:
        """Record a file that could not be used."""
        self._failures.append(failure)

    def remove(self, item_ids: Sequence[int]) -> None:
        """Take items out with the next generation; ids already gone change nothing."""
        self._removed += item_ids

    def due(self) -> bool:
        """Whether pending rows fill a shard or are a minute old."""
        if not self._items and not self._count and not self._failures:
            self._since = time.monotonic()
            return False
        return self._count >= SHARD_ROWS or time.monotonic() - self._since >= SHARD_SECONDS

    # ------------------------------------------------------------ publishing

    def publish(self) -> Manifest | None:
        """Write what is pending as a new generation; None when nothing is.

        Raises:
            StorageError: The disk refuses. The old generation stays whole, the rows stay pending.
        """
        covered = any(rows.covered for rows in self._rows.values())
        if not (covered or self._items or self._removed or self._failures or self._new_spaces):
            return None
        old = self._old()
        written: list[ListedFile] = []
        try:
            for folder, table, ids in self._tables(old.next_item_id):
                written.append(self._write(folder, table, ids))
            manifest = self._publish_files(
                [*old.files, *written],
                spaces=(*old.spaces, *self._new_spaces),
                next_item_id=old.next_item_id + len(self._items),
            )
        except BaseException:
            for file in written:
                (self.root / file.path).unlink(missing_ok=True)
            raise
        self._new_spaces = []
        self._clear()
        return manifest

    def replace_files(
        self, choose: Callable[[ListedFile], bool], new: Sequence[ListedFile]
    ) -> None:
        """Publish a generation without the files that `choose` picks and with some new ones."""
        kept = [file for file in self._old().files if not choose(file)]
        self._publish_files([*kept, *new])

    @contextmanager
    def index_folder(self, space: str) -> Iterator[Path]:
        """A folder to write a space's index into; published on clean exit, removed otherwise.

        Raises:
            StorageError: The disk refuses; the older index stays listed.
        """
        self.publish()
        folder = f"indexes/{space}/{self._next_generation():06}"
        path = self.root / folder
        with storage_errors(path):
            path.mkdir(parents=True)
        try:
            yield path
            with storage_errors(path):
                names = sorted(entry.name for entry in path.iterdir())
                for name in names:
                    sync(path / name)
                sync(path)
                files = [self._listed(f"{folder}/{name}", 0) for name in names]
            self.replace_files(lambda file: file.path.startswith(f"indexes/{space}/"), files)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise

    def write_table(
        self, folder: str, table: pa.Table, first: int | None, last: int | None
    ) -> ListedFile:
        """Write one Parquet file into a folder under the next free number."""
        vectors = folder.startswith(("segments/", "frames/"))
        number = next_number(self.root / folder, ".parquet")
        if folder == "removed":
            number = self._next_generation()
        name = f"{folder}/{number:0{6 if folder == 'removed' else 5}}.parquet"
        path = self.root / name
        write_parquet(table, path, compression="none" if vectors else "zstd")
        return self._listed(name, table.num_rows, first, last)

    def _write(self, folder: str, table: pa.Table, ids: list[int]) -> ListedFile:
        return self.write_table(folder, table, min(ids, default=None), max(ids, default=None))

    def _tables(self, first_new_id: int) -> Iterator[tuple[str, pa.Table, list[int]]]:
        """What this generation adds: folder, rows, and the items they were computed for."""
        if self._items:
            table = items_table(self._items, first_new_id, self._types)
            yield "items", table, table.column("item_id").to_pylist()
        for name, rows in self._rows.items():
            if not rows.covered:
                continue
            covered = real_ids(rows.covered, first_new_id)
            yield f"segments/{name}", rows.segments_table(first_new_id), covered
            if rows.frames:
                yield f"frames/{name}", rows.frames_table(first_new_id), covered
        if self._removed:
            yield "removed", pa.table({"item_id": sorted(set(self._removed))}, schema=REMOVED), []
        if self._failures:
            yield "failures", failures_table(self._failures, first_new_id), []

    def _publish_files(
        self,
        files: Sequence[ListedFile],
        *,
        spaces: tuple[Space, ...] | None = None,
        next_item_id: int | None = None,
    ) -> Manifest:
        old = self._old()
        manifest = Manifest(
            generation=self._next_generation(),
            spaces=old.spaces if spaces is None else spaces,
            next_item_id=old.next_item_id if next_item_id is None else next_item_id,
            files=tuple(files),
        )
        publish_manifest(self.root, manifest)
        self.snapshot = Snapshot(self.root, manifest)
        return manifest

    def _old(self) -> Manifest:
        return self.snapshot.manifest if self.snapshot else Manifest(0, (), 0, ())

    def _next_generation(self) -> int:
        return max(1, next_number(self.root / "manifests", ".json"))

    def _listed(
        self, name: str, rows: int, first: int | None = None, last: int | None = None
    ) -> ListedFile:
        path = self.root / name
        with storage_errors(path):
            return ListedFile(name, path.stat().st_size, sha256_of(path), rows, first, last)

    def _clear(self) -> None:
        self._items: list[EmbeddedItem] = []
        self._failures: list[Failure] = []
        self._removed: list[int] = []
        self._count = 0
        self._since = time.monotonic()
        known = [*(self.snapshot.spaces if self.snapshot else ()), *self._new_spaces]
        self._rows = {space.name: PendingSpace(space) for space in known}


def _check_folder(root: Path, *, create: bool) -> None:
    """Refuse a place that cannot hold a collection, before any work is done."""
    if root.exists() and not root.is_dir():
        raise StorageError(f"{root} is a file; name a folder for the collection")
    if not root.exists():
        if not create:
            raise CollectionNotFoundError(f"{root} is not a collection: there is no such folder")
        with storage_errors(root):
            root.mkdir(parents=True)
    if not os.access(root, os.W_OK | os.X_OK):
        raise StorageError(f"{root} may not be written; change its permissions or name another")
    if (root / "CURRENT").exists():
        return
    if not create:
        raise CollectionNotFoundError(f"{root} is not a collection: it has no file CURRENT")
    strangers = [
        entry.name for entry in root.iterdir() if entry.name not in FOLDERS and entry.name[0] != "."
    ]
    if strangers:
        raise CollectionError(
            f"{root} is no collection and holds other files ({strangers[0]}); name an empty folder"
        )
