"""Local copies of collections on object stores, such as `s3://bucket/library`.

A collection is copied like every other one: its files first, then the manifest, `CURRENT` last. No
reader of the store sees a generation before it is complete.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrieval.errors import (
    CollectionError,
    CollectionFormatError,
    CollectionNotFoundError,
    RetrievalError,
    StorageError,
)
from retrieval.files.objects import file_system
from retrieval.files.writing import storage_errors, write_atomically
from retrieval.progress import Progress, no_progress
from retrieval.store.current import CurrentGeneration, manifest_path, parse_current, read_current
from retrieval.store.folder import delete_unlisted
from retrieval.store.manifest import ListedFile, Manifest
from retrieval.store.reader import Snapshot


class ObjectCopy:
    """A collection on an object store, and a folder with a copy of it.

    Args:
        address: Address of the collection, such as `s3://bucket/library`.
        root: Folder of the copy.
    """

    def __init__(self, address: str, root: Path) -> None:
        self.address = address.rstrip("/")
        self.root = root
        self._downloaded: CurrentGeneration | None = None
        with _store_errors(self.address):
            self._system, self._path = file_system(self.address)
            self._system.invalidate_cache()

    def download(self, progress: Progress = no_progress) -> bool:
        """Copy what the folder lacks of the current generation; return whether there is one.

        Raises:
            CollectionDamagedError, CollectionFormatError: The collection on the store is damaged.
            StorageError: The store or the disk refused.
        """
        current = self._remote_current()
        self._downloaded = current
        if current is None:
            return False
        if read_current(self.root) == current:
            return True
        blob = self._read(current.manifest_path)
        if hashlib.sha256(blob).hexdigest() != current.digest:
            raise CollectionFormatError(
                f"{self.address}/{current.manifest_path} differs from its digest in CURRENT; "
                "restore both from a copy"
            )
        manifest = Manifest.from_json(blob, f"{self.address}/{current.manifest_path}")
        local = self._local_files()
        missing = [file for file in manifest.files if file not in local]
        for number, file in enumerate(missing, 1):
            self._fetch(file)
            progress("downloading files", number, len(missing))
        _write(self.root / current.manifest_path, blob)
        _write(self.root / "CURRENT", current.to_bytes())
        delete_unlisted(self.root, [manifest])
        return True

    def upload(self, progress: Progress = no_progress) -> int:
        """Copy the folder's current generation to the store, if it is another one.

        Returns:
            The number of copied files.

        Raises:
            CollectionError: Another process wrote to the store since the download.
            StorageError: The store refused. The collection on the store is unchanged.
        """
        current = read_current(self.root)
        if current is None or current == self._downloaded:
            return 0
        remote = self._remote_current()
        if remote != self._downloaded:
            raise CollectionError(
                f"{self.address} has changed since it was downloaded; run the command again"
            )
        manifest = Snapshot.open(self.root).manifest
        older: list[ListedFile] = []
        if remote is not None:
            older = list(Manifest.from_json(self._read(remote.manifest_path), self.address).files)
        new = [file for file in manifest.files if file not in set(older)]
        for number, file in enumerate(new, 1):
            self._put(file.path)
            progress("uploading files", number, len(new))
        self._put(current.manifest_path)
        self._put("CURRENT")
        self._downloaded = current
        kept = {file.path for file in manifest.files}
        for path in [file.path for file in older if file.path not in kept]:
            self._delete(path)
        if remote is not None:
            self._delete(manifest_path(remote.generation))
        return len(new)

    # ------------------------------------------------------------ single files

    def _remote_current(self) -> CurrentGeneration | None:
        try:
            content = self._read("CURRENT")
        except FileNotFoundError:
            return None
        return parse_current(content, f"{self.address}/CURRENT")

    def _read(self, name: str) -> bytes:
        with _store_errors(self.address):
            return bytes(self._system.cat_file(self._at(name)))

    def _local_files(self) -> set[ListedFile]:
        """Return the files of the copy that are sure to have the listed content."""
        try:
            return set(Snapshot.open(self.root).manifest.files)
        except CollectionError:
            return set()  # there is no copy, or an incomplete one

    def _fetch(self, file: ListedFile) -> None:
        """Copy one listed file, and compare its digest."""
        path = self.root / file.path
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as copy:
            with (
                _store_errors(self.address),
                self._system.open(self._at(file.path), "rb") as source,
            ):
                while data := source.read(8 << 20):
                    copy.write(data)
            if copy.sha256 != file.sha256:
                raise CollectionFormatError(
                    f"{self.address}/{file.path} differs from its digest in the manifest; restore "
                    "it from a copy"
                )

    def _put(self, name: str) -> None:
        with _store_errors(self.address):
            self._system.put_file(str(self.root / name), self._at(name))

    def _delete(self, name: str) -> None:
        with _store_errors(self.address):
            self._system.rm_file(self._at(name))

    def _at(self, name: str) -> str:
        return posixpath.join(self._path, name)


def _write(path: Path, blob: bytes) -> None:
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as file:
        file.write(blob)


@contextmanager
def _store_errors(address: str) -> Iterator[None]:
    """Convert errors of the store to one line that names the address."""
    try:
        yield
    except (RetrievalError, FileNotFoundError):
        raise
    except Exception as error:  # libraries of stores raise many types
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise StorageError(f"{address}: {reason}") from error


def open_copy(address: str, folder: Path, *, create: bool) -> ObjectCopy:
    """Return the local copy of a collection on an object store, up to date.

    Args:
        address: Address of the collection.
        folder: Folder of all copies; each has a name of its own in it.
        create: Whether the collection may be missing.

    Raises:
        CollectionNotFoundError: There is no collection at the address.
        StorageError: The store or the disk refused.
    """
    name = hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:16]
    root = folder / f"{posixpath.basename(address.rstrip('/'))}-{name}"
    copy = ObjectCopy(address, root)
    if not copy.download() and not create:
        raise CollectionNotFoundError(f"{address} is not a collection: it has no object CURRENT")
    return copy
