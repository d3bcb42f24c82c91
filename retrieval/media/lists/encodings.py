"""Detect the encoding of a text file."""

from __future__ import annotations

import codecs
import io
import os
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO, TextIO

from retrieval.files.reading import open_regular

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HEAD_BYTES = 64 << 10
_SAMPLE_BYTES = 256 << 10
_LINE_BYTES = 1 << 20
_CANDIDATES = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r",
    "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr",
)  # fmt: skip
"""Encodings other than Unicode, the most common first."""

_MULTIBYTE = ("utf-16", "utf-32", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr")
"""Encodings with several bytes per letter; surrogate escapes stand for single bytes."""

_MIN_LETTERS = 12
"""Bytes beyond ASCII that detection needs; with fewer, the most common encoding is assumed."""


@dataclass(frozen=True, slots=True)
class TextEncoding:
    """Encoding of a text file.

    Attributes:
        name: As Python names it.
        problem: A notice if the encoding is uncertain, else None.
        is_known: Whether the bytes are valid in the encoding.
    """

    name: str
    problem: str | None = None
    is_known: bool = True

    def open(self, path: str, *, newline: str | None = None) -> TextIO:
        """Open a file for reading.

        Invalid bytes become surrogate escapes, or replacement characters in multi-byte encodings.
        """
        errors = "replace" if self.name.startswith(_MULTIBYTE) else "surrogateescape"
        return io.TextIOWrapper(open_regular(path), self.name, errors, newline)

    def file_name(self, name: str, folder: str) -> str:
        """Return a file name as the text has it, or else with the text's bytes.

        A list can hold names in its own encoding, or as bytes of the file system's encoding.
        """
        if self.name.startswith("utf") or os.path.lexists(os.path.join(folder, name)):
            return name
        try:
            return os.fsdecode(name.encode(self.name, "surrogateescape"))
        except UnicodeEncodeError:
            return name


def find_encoding(path: str) -> TextEncoding:
    """Detect the encoding of a file.

    Raises:
        OSError: The file cannot be read.
    """
    with open_regular(path) as file:
        return encoding_of(file)


def encoding_of(file: BinaryIO) -> TextEncoding:
    """Detect an encoding by its byte order mark, as UTF-8, or else by its letters.

    Args:
        file: Open and seekable; its position changes.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    for mark, name in _BOMS:
        if head.startswith(mark):
            return TextEncoding(name)
    if b"\0" in head:
        # UTF-16 without a mark: the high bytes of digits, commas and spaces are 0.
        return TextEncoding(
            "utf-16-be" if head[::2].count(0) > head[1::2].count(0) else "utf-16-le"
        )
    file.seek(0)
    if _is_utf8(file):
        return TextEncoding("utf-8")
    file.seek(0)
    valid, invalid, sample = _sample_letters(file)
    if valid >= invalid:
        return TextEncoding("utf-8", f"{invalid} lines are not UTF-8; the others are read as UTF-8")
    return _guess(sample)


def _is_utf8(file: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while block := file.read(_LINE_BYTES):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _sample_letters(file: BinaryIO) -> tuple[int, int, bytes]:
    """Count the non-ASCII lines that are UTF-8 and that are not, and sample the latter."""
    valid = invalid = 0
    sample: list[bytes] = []
    size = 0
    for line in islice(iter(lambda: file.readline(_LINE_BYTES), b""), 1_000_000):
        if line.isascii():
            continue
        try:
            line.decode("utf-8")
            valid += 1
        except UnicodeDecodeError:
            invalid += 1
            if size < _SAMPLE_BYTES:
                sample.append(line)
                size += len(line)
    return valid, invalid, b"".join(sample)


def _guess(sample: bytes) -> TextEncoding:
    name = _guess_name(sample)
    if name is None:
        return TextEncoding("utf-8", "not UTF-8, and of no known encoding; save it as UTF-8", False)
    return TextEncoding(name, f"not UTF-8; read as {name}, as its letters suggest")


def _guess_name(sample: bytes) -> str | None:
    if sum(byte >= 0x80 for byte in sample) < _MIN_LETTERS:
        try:
            sample.decode(_CANDIDATES[0])
        except UnicodeDecodeError:
            return None
        return _CANDIDATES[0]
    from charset_normalizer import from_bytes

    # Prefer the most common of the encodings that explain the letters equally well.
    ranked = [
        (round(match.chaos, 2), -round(match.coherence, 2), _CANDIDATES.index(name), name)
        for match in from_bytes(sample, cp_isolation=list(_CANDIDATES))
        for name in match.could_be_from_charset
        if name in _CANDIDATES
    ]
    return min(ranked)[-1] if ranked else None
