"""One writer at a time: a lock on the collection that names its holder."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from retrieval.errors import CollectionLockedError, StorageError
from retrieval.regular_files import read_text
from retrieval.store.publish import FULL

LOCK_NAME = ".lock"
HOLDER_NAME = ".lock.holder"


class CollectionLock:
    """Held from `acquire` to `release`; the system lets go of it when the process dies.

    The file beside the lock names its holder. It only informs: of a dead process it stays behind,
    and the next holder overwrites it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = FileLock(root / LOCK_NAME)

    def acquire(self) -> None:
        """Take the lock, or fail at once.

        Raises:
            CollectionLockedError: A live process holds it; the message names process and host.
            StorageError: The folder cannot be written to.
        """
        try:
            self._lock.acquire(timeout=0)
            holder = {"process": os.getpid(), "host": socket.gethostname()}
            path = self._root / HOLDER_NAME
            path.unlink(missing_ok=True)  # a FIFO of this name would wait for its reader
            path.write_text(json.dumps(holder), encoding="utf-8")
        except Timeout:
            raise CollectionLockedError(
                f"{self._root} is being written by {self._holder()}; "
                "wait until that ends, or end it, then run again"
            ) from None
        except OSError as error:
            self._lock.release()
            if error.errno in FULL:
                raise StorageError(
                    f"no space left to write in {self._root}; free some and run again"
                ) from error
            raise StorageError(f"cannot write in {self._root}: {error.strerror}") from error

    def release(self) -> None:
        """Let the next writer in."""
        try:
            (self._root / HOLDER_NAME).unlink(missing_ok=True)
        finally:
            self._lock.release()

    def __enter__(self) -> CollectionLock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _holder(self) -> str:
        try:
            holder = json.loads(read_text(self._root / HOLDER_NAME))
            return f"process {holder['process']} on {holder['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"  # it has not written its name yet
