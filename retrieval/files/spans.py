"""Reads a span of an open file, such as a member of a tar, as a file of its own."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

BUFFER_BYTES = 1 << 16


class _Span(io.RawIOBase):
    """Bytes `offset` to `offset + size` of a descriptor, whose own position does not change."""

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative position {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = max(0, min(len(buffer), self._size - self._position))
        data = os.pread(self._descriptor, count, self._offset + self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


@contextmanager
def open_span(descriptor: int, offset: int, size: int) -> Iterator[BinaryIO]:
    """Open a span of a file for reading; the descriptor stays open afterwards."""
    with io.BufferedReader(_Span(descriptor, offset, size), BUFFER_BYTES) as file:
        yield cast(BinaryIO, file)
