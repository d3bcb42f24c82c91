"""Find the files in a file that was joined byte by byte, where FFmpeg reads only the first one."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import BinaryIO, cast

from retrieval.media.containers.declared_size import begins_container, declared_bytes

MAX_PARTS = 100
"""Further parts are reported as not read."""


class FilePart(io.RawIOBase):
    """A read-only view of the bytes of an open file between two positions."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file = file
        self._start = start
        self._size = end - start
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read into a buffer and return the number of bytes."""
        count = max(0, min(len(buffer), self._size - self._position))
        self._file.seek(self._start + self._position)
        block = self._file.read(count)
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)


def split_joined(file: BinaryIO) -> list[BinaryIO]:
    """Return views of the joined MP4, Matroska, FLV or ASF files; the file itself if it is one.

    Args:
        file: Open and seekable; at its beginning afterwards.
    """
    size = file.seek(0, os.SEEK_END)
    begins = begins_container(file, 0)
    starts = [0]
    while begins is not None and len(starts) < MAX_PARTS:
        end = _end_of_part(file, starts[-1], size, begins)
        if end is None:
            break
        starts.append(end)
    file.seek(0)
    if len(starts) == 1:
        return [file]
    ends = [*starts[1:], size]
    parts = [FilePart(file, start, end) for start, end in zip(starts, ends, strict=True)]
    return [cast(BinaryIO, part) for part in parts]


def _end_of_part(
    file: BinaryIO, start: int, size: int, begins: Callable[[bytes], bool]
) -> int | None:
    """Return where another file of the same kind follows; None if none does."""
    part = cast(BinaryIO, FilePart(file, start, size))
    length = declared_bytes(part, size - start)
    if not length or start + length >= size:
        return None
    file.seek(start + length)
    return start + length if begins(file.read(64)) else None
