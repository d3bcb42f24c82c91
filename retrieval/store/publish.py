"""Writes the files of a generation and makes it current.

The files come first, then the manifest, and `CURRENT` last. No reader sees the generation before
`CURRENT` is replaced. On failure the new files are deleted.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.errors import CollectionDamagedError, StorageError
from retrieval.files.reading import file_sha256
from retrieval.files.writing import PartialFile, storage_errors, sync_folder, write_atomically
from retrieval.store.current import (
    CurrentGeneration,
    checked_path,
    highest_number,
    manifest_path,
    read_current,
)
from retrieval.store.manifest import ListedFile, Manifest
from retrieval.store.schema import ITEM_IDS
from retrieval.store.shards import has_content, write_rows

IdRange = tuple[int, int]
"""First and last id of the items that a file covers, both inclusive."""


class Publication:
    """A context manager that writes one generation and deletes its files on failure.

    Attributes:
        generation: The number of the generation, one more than that of any existing manifest.
        published: After the block: the manifest that became current, or None.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        is_first = read_current(root) is None
        self.generation = 1 if is_first else max(highest_number(root / "manifests"), 0) + 1
        self.published: Manifest | None = None
        self._written: list[Path] = []
        self._manifest: Manifest | None = None

    def __enter__(self) -> Publication:
        return self

    def __exit__(self, *error: object) -> None:
        if self._manifest is not None and self._is_current(self._manifest):
            self.published = self._manifest
            return
        for path in reversed(self._written):
            with suppress(OSError):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)

    def _is_current(self, manifest: Manifest) -> bool:
        """Check `CURRENT` itself, because a step after its renaming can have failed."""
        try:
            return read_current(self.root) == CurrentGeneration.of(manifest)
        except CollectionDamagedError:
            return False

    def write_shard(
        self,
        folder: str,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        id_range: IdRange | None,
    ) -> ListedFile:
        """Write a Parquet file under the next free number of its folder."""
        name = f"{highest_number(self.root / folder) + 1:05d}.parquet"
        return self._write_parquet(f"{folder}/{name}", schema, batches, id_range)

    def write_ids(self, folder: str, item_ids: NDArray[np.int64]) -> ListedFile:
        """Write the file of this generation in `removed` or `updated`; the ids are sorted."""
        batch = pa.RecordBatch.from_arrays([pa.array(item_ids)], schema=ITEM_IDS)
        name = f"{folder}/{self.generation:06d}.parquet"
        return self._write_parquet(name, ITEM_IDS, [batch], None)

    def add_index_part(
        self, space: str, partial: Path, id_range: IdRange | None
    ) -> tuple[ListedFile, ...]:
        """Move a folder of finished index files to `indexes/SPACE/GENERATION`.

        Args:
            space: The space, or `TEXT_INDEX`.
            partial: The folder.
            id_range: The items that the part covers.
        """
        folder = f"indexes/{space}/{self.generation:06d}"
        target = self.root / folder
        with storage_errors(target):
            names = sorted(path.name for path in partial.iterdir())
            files = [_synced_file(partial / name, f"{folder}/{name}", id_range) for name in names]
            sync_folder(partial)
            if target.exists():
                shutil.rmtree(target)  # left by a killed run: no manifest has this number
            self._written.append(target)
            os.replace(partial, target)
            sync_folder(target.parent)
        return tuple(files)

    def commit(self, manifest: Manifest) -> None:
        """Write the manifest, then make it current."""
        make_folder(self.root, "manifests")
        path = self.root / manifest_path(manifest.generation)
        self._written.append(path)
        _write_checked(path, manifest.to_json())
        self._manifest = manifest
        _write_checked(self.root / "CURRENT", CurrentGeneration.of(manifest).to_bytes())

    def _write_parquet(
        self,
        name: str,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        id_range: IdRange | None,
    ) -> ListedFile:
        path = self.root / name
        make_folder(self.root, str(Path(name).parent))
        self._written.append(path)
        rows = 0

        def check(partial: Path, file: PartialFile) -> None:
            try:
                equal = partial.stat().st_size == file.bytes and has_content(partial, schema, rows)
            except CollectionDamagedError as error:
                raise _read_back_error(path) from error
            if not equal:
                raise _read_back_error(path)

        with write_atomically(path, check) as file:
            rows = write_rows(file, schema, batches)
        first, last = id_range or (None, None)
        return ListedFile(name, file.bytes, file.sha256, rows, first, last)


def make_folder(root: Path, relative: str) -> Path:
    """Create a folder of the collection and force its name to disk.

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


def _write_checked(path: Path, blob: bytes) -> None:
    def check(partial: Path, _: PartialFile) -> None:
        if partial.read_bytes() != blob:
            raise _read_back_error(path)

    with write_atomically(path, check) as file:
        file.write(blob)


def _synced_file(path: Path, name: str, id_range: IdRange | None) -> ListedFile:
    """Force a file that another library wrote to disk, and digest it."""
    if not path.is_file() or path.is_symlink():
        raise ValueError(f"{path} is not a plain file; an index is a flat folder of files")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    size = path.stat().st_size
    if size == 0:
        # Some libraries ignore the error of a full disk when they write small files.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    first, last = id_range or (None, None)
    return ListedFile(name, size, file_sha256(path), 0, first, last)


def _read_back_error(path: Path) -> StorageError:
    return StorageError(f"{path} differs from what was written; check the disk")


@contextmanager
def partial_index_folder(root: Path, space: str, generation: int) -> Iterator[Path]:
    """Yield an empty folder for a part of an index, and delete it at the end.

    Raises:
        StorageError: The disk refused.
    """
    partial = make_folder(root, f"indexes/{space}") / f".{generation:06d}.tmp"
    try:
        with storage_errors(partial):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
