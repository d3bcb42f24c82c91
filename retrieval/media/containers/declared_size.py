"""Read the size in bytes that a container declares, to detect files that are cut."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import BinaryIO

_MAX_PARTS = 10_000
"""Parts of a file that are followed; files with more declare no size."""

_MAX_FLV_TAGS = 1_000_000

_UNKNOWN_32 = 0x7FFF_0000
"""A length of 0, or of at least this, comes from a program that did not know it."""

_EBML = b"\x1a\x45\xdf\xa3"
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_W64 = b"riff\x2e\x91\xcf\x11"
_MXF_HEADER = bytes.fromhex("060e2b34020501010d01020101")
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp")


def declared_bytes(file: BinaryIO, size: int) -> int | None:
    """Return the size in bytes that a file declares.

    Args:
        file: Open and seekable; its position changes.
        size: Actual size in bytes.

    Returns:
        More than `size` for a cut file, less for one with trailing data; None if the format or its
        writer declares no size.
    """
    head = _read(file, 0, 64)
    for matches, measure in _FORMATS:
        if matches(head):
            try:
                return measure(file, size)
            except (struct.error, IndexError, ValueError):  # the header is cut
                return None
    return None


def wav_continues(file: BinaryIO) -> bool:
    """Whether data other than chunks follows the sound of a WAV.

    This happens if the writer was stopped before it updated the header, or if another WAV is
    appended.
    """
    head = _read(file, 0, 12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return False
    position = 12
    for _ in range(_MAX_PARTS):
        header = _read(file, position, 8)
        if len(header) < 8:
            return False
        if header[:4] == b"RIFF" or not all(0x20 <= byte < 0x7F for byte in header[:4]):
            return True
        (count,) = struct.unpack("<I", header[4:])
        position += 8 + count + count % 2
    return False


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


def _walk(
    file: BinaryIO, size: int, start: int, step: Callable[[BinaryIO, int], int | None]
) -> int | None:
    """Follow parts that declare their length, and return the end of the last one."""
    position = start
    for _ in range(_MAX_PARTS):
        if position >= size:
            return position
        if position and size - position < 8:  # the header of a part is cut
            return position + 8
        following = step(file, position)
        if following is None or following <= position:
            return position or None
        position = following
    return None


# ---------------------------------------------------------------- formats


def _riff(file: BinaryIO, size: int) -> int | None:
    def step(file: BinaryIO, position: int) -> int | None:
        name, count = struct.unpack("<4sI", _read(file, position, 8))
        if not _is_known(count):
            return size if position == 0 else None
        return position + 8 + count + count % 2 if name == b"RIFF" else None

    if _read(file, 8, 4) == b"WAVE":
        return _content_end(file, size, b"data", "<I")
    first = _content_end(file, size, b"movi", "<I")
    return first if first is not None and first > size else _walk(file, size, 0, step)


def _aiff(file: BinaryIO, size: int) -> int | None:
    return _content_end(file, size, b"SSND", ">I")


def _content_end(file: BinaryIO, size: int, name: bytes, length_format: str) -> int | None:
    """Return the end of the content chunk, or of the file if that is earlier."""
    (file_bytes,) = struct.unpack(length_format, _read(file, 4, 4))
    position = 12
    for _ in range(_MAX_PARTS):
        if position + 8 > size:
            return None
        header = _read(file, position, 12)  # of a list, with its type
        (count,) = struct.unpack(length_format, header[4:8])
        if name in (header[:4], header[8:]):
            ends = [
                start + length
                for start, length in ((position + 8, count), (8, file_bytes))
                if _is_known(length)
            ]
            return min(ends, default=None)
        position += 8 + count + count % 2
    return None


def _is_known(count: int) -> bool:
    return 0 < count < _UNKNOWN_32


def _rf64(file: BinaryIO, size: int) -> int | None:
    name, _, riff_bytes = struct.unpack("<4sIQ", _read(file, 12, 16))
    known = name == b"ds64" and 0 < riff_bytes < 1 << 62
    return 8 + riff_bytes if known else None


def _w64(file: BinaryIO, size: int) -> int | None:
    (count,) = struct.unpack("<Q", _read(file, 16, 8))
    return count if 0 < count < 1 << 62 else None


def _mp4(file: BinaryIO, size: int) -> int | None:
    def step(file: BinaryIO, position: int) -> int | None:
        count, name = struct.unpack(">I4s", _read(file, position, 8))
        if (name == b"ftyp" and position) or not name.replace(b" ", b"").isalnum():
            return None  # another file, or something else, is appended
        if count == 1:
            (count,) = struct.unpack(">Q", _read(file, position + 8, 8))
        if count == 0:
            return size  # to the end of the file, however long
        return position + count if count >= 8 else None

    return _walk(file, size, 0, step)


def _matroska(file: BinaryIO, size: int) -> int | None:
    head = _read(file, 0, 4096)
    header_bytes, used = _ebml_length(head, 4)
    position = 4 + used + (header_bytes or 0)
    if head[position : position + 4] != b"\x18\x53\x80\x67":
        return None
    segment_bytes, used = _ebml_length(head, position + 4)
    return None if segment_bytes is None else position + 4 + used + segment_bytes


def _ebml_length(data: bytes, at: int) -> tuple[int | None, int]:
    """Return an EBML number, None if unknown (all ones), and the bytes it takes."""
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
    return (None if value == (1 << 7 * length) - 1 else value), length


def _asf(file: BinaryIO, size: int) -> int | None:
    def step(file: BinaryIO, position: int) -> int | None:
        name, count = struct.unpack("<16sQ", _read(file, position, 24))
        if name == _ASF and position:
            return None  # another file is appended
        return position + count if 24 <= count < 1 << 62 else None

    return _walk(file, size, 0, step)


def _flv(file: BinaryIO, size: int) -> int | None:
    match = re.search(rb"\x00\x08filesize\x00(.{8})", _read(file, 0, 1 << 16), re.DOTALL)
    (count,) = struct.unpack(">d", match[1]) if match else (0.0,)
    return int(count) if 0 < count < 1 << 62 else _flv_tags(file, size)


def _flv_tags(file: BinaryIO, size: int) -> int | None:
    """Follow the tags of a recorder that stored no size; each repeats its length at its end."""
    position: int = struct.unpack(">I", _read(file, 5, 4))[0] + 4
    for _ in range(_MAX_FLV_TAGS):
        head = _read(file, position, 11)
        if head[:3] == b"FLV" or len(head) < 11:
            return position + (15 if head and head[:3] != b"FLV" else 0)
        length = 11 + int.from_bytes(head[1:4], "big")
        if head[0] & 0x1F not in (8, 9, 18):
            return None
        position += length + 4
    return None


def _caf(file: BinaryIO, size: int) -> int | None:
    def step(file: BinaryIO, position: int) -> int | None:
        _, count = struct.unpack(">4sq", _read(file, position, 12))
        return size if count == -1 else position + 12 + count  # -1: to the end of the file

    return _walk(file, size, 8, step)


def _au(file: BinaryIO, size: int) -> int | None:
    _, offset, count = struct.unpack(">4sII", _read(file, 0, 12))
    return offset + count if _is_known(count) else None


def _mxf(file: BinaryIO, size: int) -> int | None:
    length = _read(file, 16, 1)[0]
    at = 17 + (length & 0x7F if length & 0x80 else 0)
    (footer,) = struct.unpack(">Q", _read(file, at + 24, 8))
    return footer + 16 if 0 < footer < 1 << 62 else None


def _mp3(file: BinaryIO, size: int) -> int | None:
    """Read the size that the Xing header of the first frame declares."""
    head = _read(file, 0, 10)
    start = 0
    if head.startswith(b"ID3"):
        a, b, c, d = head[6:10]
        start = 10 + (a << 21 | b << 14 | c << 7 | d)
    frame = _read(file, start, 4096)
    match = re.search(rb"Xing|Info", frame[:256])
    if match is None:
        return None
    flags, _, count = struct.unpack(">III", frame[match.end() : match.end() + 12])
    return start + count if flags & 3 == 3 and count else None


def find_next_matroska(file: BinaryIO, start: int) -> int | None:
    """Return the start of another Matroska file after a position; None if there is none."""
    file.seek(start)
    rest = b""
    while block := file.read(1 << 20):
        index = (rest + block).find(_EBML)
        if index >= 0:
            return start + index - len(rest)
        start += len(block)
        rest = block[-3:]
    return None


def ogg_is_complete(file: BinaryIO, size: int) -> bool:
    """Whether the last page of an Ogg file is complete and marked as the last one."""
    at = max(0, size - (1 << 17))
    tail = _read(file, at, 1 << 17)
    page = tail.rfind(b"OggS\0")
    if page < 0 or page + 27 > len(tail):
        return False
    table = tail[page + 27 : page + 27 + tail[page + 26]]
    return bool(tail[page + 5] & 4) and page + 27 + len(table) + sum(table) <= len(tail)


_BEGINNINGS: tuple[Callable[[bytes], bool], ...] = (
    lambda head: head[4:8] == b"ftyp",
    lambda head: head.startswith(_EBML),
    lambda head: head.startswith(b"FLV\1"),
    lambda head: head.startswith(_ASF),
)


def begins_container(file: BinaryIO, at: int) -> Callable[[bytes], bool] | None:
    """Return a test for the beginning of files like the one at a position: MP4, Matroska, FLV, ASF.

    FFmpeg ignores a second file of these formats; None for other formats.
    """
    head = _read(file, at, 64)
    return next((matches for matches in _BEGINNINGS if matches(head)), None)


_FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[BinaryIO, int], int | None]], ...] = (
    (lambda head: head.startswith(b"RIFF"), _riff),
    (lambda head: head.startswith((b"RF64", b"BW64")), _rf64),
    (lambda head: head.startswith(_W64), _w64),
    (lambda head: head.startswith(b"FORM"), _aiff),
    (lambda head: head[4:8] in _MP4_BOXES, _mp4),
    (lambda head: head.startswith(_EBML), _matroska),
    (lambda head: head.startswith(_ASF), _asf),
    (lambda head: head.startswith(b"FLV"), _flv),
    (lambda head: head.startswith(b"caff"), _caf),
    (lambda head: head.startswith(b".snd"), _au),
    (lambda head: head.startswith(_MXF_HEADER), _mxf),
    (lambda head: head.startswith(b"ID3") or head[:1] == b"\xff", _mp3),
)
