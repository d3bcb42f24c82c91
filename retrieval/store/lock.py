"""The lock that allows one writer per collection, and the note that names its holder."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from retrieval.errors import CollectionLockedError, StorageError
from retrieval.files.documents import parse_json
from retrieval.files.reading import read_text
from retrieval.files.writing import storage_errors, write_text

LOCK_NAME = ".lock"
HOLDER_NAME = ".lock.holder"


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The process that holds a lock; the content of `.lock.holder`."""

    process: int
    host: str

    @classmethod
    def current(cls) -> LockHolder:
        """Describe this process."""
        return cls(os.getpid(), socket.gethostname())

    @classmethod
    def read(cls, root: Path) -> LockHolder:
        """Read the note in a collection's folder.

        Raises:
            OSError: There is no note, or it cannot be read.
            ValueError: The note is incomplete or damaged.
        """
        return parse_json(cls, read_text(root / HOLDER_NAME))

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


def live_writer(root: Path) -> LockHolder | None:
    """Return the process that holds a collection's lock; None if there is none.

    The lock is not tried, because that could make a writer that starts now fail. A process on
    another host counts as alive.
    """
    try:
        holder = LockHolder.read(root)
        if holder.host == socket.gethostname():
            os.kill(holder.process, 0)
    except PermissionError:
        pass  # the process exists and belongs to another user
    except (OSError, ValueError, OverflowError):
        return None
    return holder


class CollectionLock:
    """A lock from `acquire` to `release`; the system releases it when the process ends.

    The note is for messages only. A killed process leaves its note behind, and the next holder
    replaces it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = FileLock(root / LOCK_NAME)

    def acquire(self) -> None:
        """Take the lock, or fail at once.

        Raises:
            CollectionLockedError: A live process holds it; the message names process and host.
            StorageError: The folder is not writable.
        """
        with storage_errors(self._root / LOCK_NAME):
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise CollectionLockedError(
                    f"{self._root} is being written by {self._holder()}; "
                    "wait until it ends, or end it, then try again"
                ) from None
        path = self._root / HOLDER_NAME
        try:
            with storage_errors(path):
                path.unlink(missing_ok=True)  # may be a FIFO, which `write_text` refuses
            write_text(path, json.dumps(asdict(LockHolder.current())))
        except StorageError:
            self._lock.release()
            raise

    def release(self) -> None:
        """Delete the note and release the lock."""
        try:
            (self._root / HOLDER_NAME).unlink(missing_ok=True)
        finally:
            self._lock.release()

    def __enter__(self) -> CollectionLock:
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def _holder(self) -> str:
        try:
            return str(LockHolder.read(self._root))
        except (OSError, ValueError):
            return "another process"  # its note is not written yet
