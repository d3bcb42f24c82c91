"""Atomic file writing: write to a temporary name, sync, check, rename, sync the folder."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from retrieval.errors import RetrievalError, StorageError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Error codes of an exhausted disk, quota or file size limit."""


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Convert each `OSError` into a `StorageError` that names the path."""
    try:
        yield
    except RetrievalError:
        raise
    except OSError as error:
        if error.errno in FULL:
            raise StorageError(f"no space left to write {path}; free some and run again") from error
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


class PartialFile:
    """A file under its temporary name. It counts and digests the bytes written."""

    def __init__(self, path: Path) -> None:
        # O_NONBLOCK: opening a FIFO would otherwise wait for a reader forever.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._descriptor = os.open(path, flags, 0o666)
        self._digest = hashlib.sha256()
        self._failed = False
        self.bytes = 0
        self.closed = False

    def write(self, data: bytes | memoryview) -> int:
        """Write all bytes; the system may accept fewer per call."""
        view = memoryview(data).cast("B")
        if self._failed:  # Arrow writes a footer even after an error.
            return len(view)
        self._failed = True
        rest = view
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._failed = False
        self._digest.update(view)
        self.bytes += len(view)
        return len(view)

    def flush(self) -> None:
        """Do nothing: the file has no buffer, but Arrow calls this method."""

    def sync(self) -> None:
        """Force the content to disk."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; further calls do nothing."""
        if not self.closed:
            self.closed = True
            os.close(self._descriptor)

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the bytes written so far."""
        return self._digest.hexdigest()


def _accept(partial: Path, file: PartialFile) -> None:
    """Accept any content."""


@contextmanager
def write_atomically(
    path: Path, check: Callable[[Path, PartialFile], None] = _accept
) -> Iterator[PartialFile]:
    """Write a file that exists completely or not at all.

    Args:
        path: Final name of the file.
        check: Called with the closed file under its temporary name; raises to refuse it.

    Raises:
        StorageError: The system refused a step. The temporary file is removed.
    """
    with _renamed(path) as partial:
        file = PartialFile(partial)
        try:
            yield file
            file.sync()
        finally:
            file.close()
        check(partial, file)


@contextmanager
def partial_path(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Yield the temporary name of a file that a library writes by its path, then publish it.

    The temporary file exists and is empty. It is synced and renamed at the end, or removed after
    an error.

    Args:
        path: Final name of the file.
        replace: Whether a file of this name may exist.

    Raises:
        StorageError: The system refused a step.
    """
    with _renamed(path) as partial:
        PartialFile(partial).close()
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        if not replace and os.path.lexists(path):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))


@contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    """Yield the temporary name of a file, which is renamed at the end or removed after an error."""
    partial = path.with_name(f".{path.name}.tmp")
    with storage_errors(path):
        if path.exists() and not path.is_file():  # Never replace a device or a folder.
            raise OSError(errno.EEXIST, "not a plain file")
        try:
            yield partial
            os.replace(partial, path)
            sync_folder(path.parent)
        except BaseException:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically.

    Raises:
        StorageError: The system refused a step.
    """
    with write_atomically(path) as file:
        file.write(text.encode())


def check_writable(folder: Path) -> None:
    """Refuse a folder that this process cannot write to.

    Raises:
        OSError: The file system is read-only, or permissions are missing.
    """
    if not os.access(folder, os.W_OK | os.X_OK):
        read_only = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY
        code = errno.EROFS if read_only else errno.EACCES
        raise OSError(code, os.strerror(code))


def check_output(path: Path) -> None:
    """Refuse an output path before any work is done.

    Raises:
        StorageError: The folder is missing or not writable, or the path is not a plain file.
    """
    with storage_errors(path):
        if path.exists() and not path.is_file():
            raise OSError(errno.EEXIST, "not a plain file")
        if not path.absolute().parent.is_dir():
            raise OSError(errno.ENOENT, "its folder does not exist")
        check_writable(path.absolute().parent)


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
