"""One writer at a time: a lock on the collection that names its holder."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from retrieval.errors import CollectionLockedError, StorageError
from retrieval.files.reading import read_text
from retrieval.files.writing import FULL

LOCK_NAME = ".lock"
HOLDER_NAME = ".lock.holder"


def live_writer(root: Path) -> str | None:
    """Name the process that holds a collection's lock, as far as its note tells; None for none.

    Nothing is locked to find out, which could refuse a writer that begins now. Of a process on
    another host nobody here can say whether it lives.
    """
    try:
        holder = _read_holder(root)
        if holder["host"] == socket.gethostname():
            os.kill(int(holder["process"]), 0)
    except PermissionError:
        pass  # somebody else's process
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    return f"process {holder['process']} on {holder['host']}"


def _read_holder(root: Path) -> dict[str, Any]:
    holder: dict[str, Any] = json.loads(read_text(root / HOLDER_NAME))
    return holder


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
            holder = _read_holder(self._root)
            return f"process {holder['process']} on {holder['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"  # it has not written its name yet
