"""One writer at a time: a file lock that the system frees when its holder dies."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from filelock import FileLock, Timeout

from retrieval.errors import CollectionLockedError


class WriterLock:
    """The lock of a collection; a side file names its holder for the message of the next one."""

    def __init__(self, root: Path) -> None:
        self._lock = FileLock(root / ".lock")
        self._holder = root / ".lock-holder"

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            CollectionLockedError: A living process holds it; names process and host.
        """
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            holder = (
                self._holder.read_text().strip() if self._holder.exists() else "another process"
            )
            raise CollectionLockedError(
                f"{self._holder.parent} is being written by {holder}; wait for it or stop it"
            ) from None
        self._holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n")

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._lock.is_locked:
            self._holder.unlink(missing_ok=True)
            self._lock.release()
