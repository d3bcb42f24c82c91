"""Makes the n-th step on the way to one folder of the disk fail, in any process or library."""

from __future__ import annotations

import builtins
import io
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa

from support.flaky_system import FlakySystem

REAL = {name: getattr(os, name) for name in ("open", "write", "fsync", "replace", "close", "mkdir")}
REAL_OPEN = io.open
WRITING = os.O_WRONLY | os.O_RDWR


class FlakyDisk(FlakySystem):
    """A context in which steps below a folder are counted, and one of them fails or kills.

    It stands in for the calls of `os`, for `open`, and for Arrow's own files. Files that Arrow's
    Parquet writer opens by their path are not seen: RLIMIT_FSIZE reaches those.

    Args:
        folder: Steps elsewhere are left alone.
        full_at: The n-th file that is opened for writing is `/dev/full`.
        faults: Those of `FlakySystem`.
    """

    def __init__(self, folder: Path, *, full_at: int = 0, **faults: Any) -> None:
        super().__init__(**faults)
        self.files = 0
        self._folder = os.path.abspath(folder)
        self._full_at = full_at
        self._descriptors: set[int] = set()
        self._patches = ExitStack()

    def __enter__(self) -> FlakyDisk:
        os_file = pa.OSFile

        def arrow_file(path: str, mode: str = "r", **options: Any) -> Any:
            if "w" in mode and self._is_ours(path):
                return pa.PythonFile(self._open_file(path, "wb"))
            return os_file(path, mode, **options)

        for owner, name, fake in (
            *((os, name, getattr(self, f"_{name}")) for name in REAL),
            (os, "rename", self._replace),
            (io, "open", self._open_file),
            (builtins, "open", self._open_file),
            (pa, "OSFile", arrow_file),
        ):
            self._patches.enter_context(mock.patch.object(owner, name, fake))
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.close()

    # ------------------------------------------------------------ the calls of os

    def _open(self, path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if not (flags & WRITING and self._is_ours(path)):
            return int(REAL["open"](path, flags, *rest, **options))
        descriptor = self._step("open", REAL["open"])(self._target(path), flags, *rest)
        self._descriptors.add(descriptor)
        return int(descriptor)

    def _write(self, descriptor: int, data: Any) -> int:
        if descriptor in self._descriptors:
            return int(self._step("write", REAL["write"])(descriptor, data))
        return int(REAL["write"](descriptor, data))

    def _fsync(self, descriptor: int) -> None:
        # No test takes the power away: spare the disk.
        if self._is_ours(os.readlink(f"/proc/self/fd/{descriptor}")):
            self._step("fsync", os.fstat)(descriptor)

    def _close(self, descriptor: int) -> None:
        ours = descriptor in self._descriptors
        self._descriptors.discard(descriptor)
        (self._step("close", REAL["close"]) if ours else REAL["close"])(descriptor)

    def _replace(self, source: Any, target: Any, **options: Any) -> None:
        ours = self._is_ours(target)
        if ours:
            self._step("replace", REAL["replace"])(source, target)
        else:
            REAL["replace"](source, target, **options)

    def _mkdir(self, path: Any, *rest: Any, **options: Any) -> None:
        if self._is_ours(path) and "dir_fd" not in options:
            self._step("mkdir", REAL["mkdir"])(path, *rest)
        else:
            REAL["mkdir"](path, *rest, **options)

    # ------------------------------------------------------------ files of Python

    def _open_file(self, path: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        writes = set(mode) & set("wax+")
        if not (writes and isinstance(path, str | os.PathLike) and self._is_ours(path)):
            return REAL_OPEN(path, mode, *rest, **options)
        plain = mode.replace("b", "").replace("t", "")
        raw = self._step("open", _File)(self._target(path), plain, self)
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        text = {name: options.get(name) for name in ("encoding", "errors", "newline")}
        return io.TextIOWrapper(buffered, **text)

    def _target(self, path: Any) -> Any:
        self.files += 1
        return "/dev/full" if self.files == self._full_at else path

    def _is_ours(self, path: Any) -> bool:
        if isinstance(path, int):
            return path in self._descriptors
        path = os.path.abspath(os.fsdecode(path))
        return path == self._folder or path.startswith(self._folder + os.sep)


class _File(io.FileIO):
    """A file of Python whose writing and closing are steps."""

    def __init__(self, path: Any, mode: str, disk: FlakyDisk) -> None:
        self._disk = disk
        super().__init__(path, mode)

    def write(self, data: Any) -> int:
        def real(descriptor: int, data: Any) -> int:
            return io.FileIO.write(self, data)

        return int(self._disk._step("write", real)(self.fileno(), bytes(data)))

    def close(self) -> None:
        if not self.closed:
            self._disk._step("close", super().close)()
