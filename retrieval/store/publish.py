"""Every write of the publishing path: aside, fsync, check, rename, fsync the folder.

A generation comes to be in one order: its new files, its manifest, and `CURRENT` last. Until
`CURRENT` is replaced nothing of it counts, and a failure takes its files away again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from retrieval.errors import CollectionDamagedError, StorageError
from retrieval.files.writing import PartialFile, storage_errors, sync_folder, write_atomically
from retrieval.store.current import (
    Current,
    checked_path,
    highest_number,
    manifest_path,
    read_current,
)
from retrieval.store.manifest import ListedFile, Manifest
from retrieval.store.shards import reads_as, write_rows

Span = tuple[int, int]
"""First and last id of the items that a file is about."""

_COPY_BYTES = 1 << 20


class Publication:
    """The files of one generation in the making; a context manager that undoes it on failure.

    Attributes:
        generation: Its number, one more than that of any manifest present.
        published: Once the block is left, the manifest that became current, if it did.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        first = read_current(root) is None
        self.generation = 1 if first else max(highest_number(root / "manifests"), 0) + 1
        self.published: Manifest | None = None
        self._made: list[Path] = []
        self._manifest: Manifest | None = None

    def __enter__(self) -> Publication:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._manifest is not None and self._is_current(self._manifest):
            self.published = self._manifest
            return
        for path in reversed(self._made):
            with suppress(OSError):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    def _is_current(self, manifest: Manifest) -> bool:
        """Whether `CURRENT` names it: it can although a step after the renaming failed."""
        try:
            return read_current(self.root) == Current.of(manifest)
        except CollectionDamagedError:
            return False

    def shard(
        self,
        folder: str,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        span: Span | None,
    ) -> ListedFile:
        """Write one Parquet file under the next free number of its folder."""
        name = f"{highest_number(self.root / folder) + 1:05d}.parquet"
        return self._parquet(f"{folder}/{name}", schema, batches, span)

    def removed(self, schema: pa.Schema, batch: pa.RecordBatch) -> ListedFile:
        """Write the ids taken out by this generation."""
        return self._parquet(f"removed/{self.generation:06d}.parquet", schema, [batch], None)

    def updated(self, schema: pa.Schema, batch: pa.RecordBatch) -> ListedFile:
        """Write the ids whose columns this generation changes."""
        return self._parquet(f"updated/{self.generation:06d}.parquet", schema, [batch], None)

    def index(self, space: str, partial: Path, span: Span | None) -> tuple[ListedFile, ...]:
        """Take over a folder of finished index files as `indexes/SPACE/GENERATION`."""
        folder = f"indexes/{space}/{self.generation:06d}"
        target = self.root / folder
        with storage_errors(target):
            names = sorted(path.name for path in partial.iterdir())
            listed = [_settled(partial / name, f"{folder}/{name}", span) for name in names]
            sync_folder(partial)
            if target.exists():
                shutil.rmtree(target)  # of a killed run: no manifest of this number exists
            self._made.append(target)
            os.replace(partial, target)
            sync_folder(target.parent)
        return tuple(listed)

    def commit(self, manifest: Manifest) -> None:
        """Write the manifest, then make it the current one."""
        blob = manifest.to_json()
        make_folder(self.root, "manifests")
        path = self.root / manifest_path(manifest.generation)
        self._made.append(path)
        self._blob(path, blob)
        self._manifest = manifest
        self._blob(self.root / "CURRENT", Current.of(manifest).to_bytes())

    def _blob(self, path: Path, blob: bytes) -> None:
        def check(partial: Path, _: PartialFile) -> None:
            if partial.read_bytes() != blob:
                raise _unlike(path)

        with write_atomically(path, check) as file:
            file.write(blob)

    def _parquet(
        self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], span: Span | None
    ) -> ListedFile:
        path = self.root / name
        make_folder(self.root, str(Path(name).parent))
        self._made.append(path)
        rows = 0

        def check(partial: Path, file: PartialFile) -> None:
            try:
                same = partial.stat().st_size == file.bytes and reads_as(partial, schema, rows)
            except CollectionDamagedError as error:
                raise _unlike(path) from error
            if not same:
                raise _unlike(path)

        with write_atomically(path, check) as file:
            rows = write_rows(file, schema, batches)
        first, last = span or (None, None)
        return ListedFile(name, file.bytes, file.sha256, rows, first, last)


def make_folder(root: Path, relative: str) -> Path:
    """Make a folder of the collection, so that it survives a crash.

    Raises:
        CollectionFormatError: A link leads out of the collection.
        StorageError: The system refused.
    """
    folder = checked_path(root, relative)
    with storage_errors(folder):
        for level in reversed([folder, *folder.parents[: len(Path(relative).parts) - 1]]):
            if not level.is_dir():
                level.mkdir()
                sync_folder(level.parent)
    return folder


def _settled(path: Path, name: str, span: Span | None) -> ListedFile:
    """Have a file that another library wrote on the disk, and digest it."""
    if not path.is_file() or path.is_symlink():
        raise ValueError(f"{path} is not a plain file; an index is a flat folder of files")
    digest = hashlib.sha256()
    size = 0
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        while block := os.read(descriptor, _COPY_BYTES):
            digest.update(block)
            size += len(block)
    finally:
        os.close(descriptor)
    if size == 0:
        # Some writers lose the error of a full disk on small files.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    first, last = span or (None, None)
    return ListedFile(name, size, digest.hexdigest(), 0, first, last)


def _unlike(path: Path) -> StorageError:
    return StorageError(f"{path} does not read back as it was written; check the disk")
