"""A bounded cache of small files in the user's cache folder."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)

SWEEP_SHARE = 16
"""Old files are looked for after writing this part of the limit."""


class DiskCache:
    """Files by key. A file exists completely or not at all; a full disk only costs the cache.

    Args:
        folder: Folder of the cache, made at the first write.
        max_bytes: Largest size of all files. The least recently used ones are deleted.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._unswept = max_bytes  # the first write looks at what earlier servers left
        self._warned = False

    def get(self, key: str) -> bytes | None:
        """Return the content of a key; None if there is none."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        with suppress(OSError):
            os.utime(path)
        return content

    def put(self, key: str, content: bytes) -> None:
        """Store the content of a key, if the disk permits."""
        path = self._path(key)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(path, content)
            self._count(len(content))
        except OSError as error:
            if not self._warned:
                self._warned = True
                logger.warning("%s: nothing is cached: %s", self._folder, error.strerror or error)

    def _write(self, path: Path, content: bytes) -> None:
        # Not synced: a lost file is made again.
        handle, partial = tempfile.mkstemp(prefix=".", dir=path.parent)
        try:
            with open(handle, "wb") as file:
                file.write(content)
            os.replace(partial, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(partial)
            raise

    def _count(self, size: int) -> None:
        with self._lock:
            self._unswept += size
            if self._unswept < self._max_bytes // SWEEP_SHARE:
                return
            self._unswept = 0
        self._sweep()

    def _sweep(self) -> None:
        """Delete the least recently used files beyond nine tenths of the limit."""
        files = []
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = os.path.join(folder, name)
                with suppress(OSError):
                    status = os.stat(path)
                    files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        if total <= self._max_bytes:
            return
        for _, size, path in sorted(files):
            if total <= self._max_bytes * 9 // 10:
                break
            with suppress(OSError):
                os.unlink(path)
            total -= size

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()[:40]
        return self._folder / name[:2] / name[2:]
