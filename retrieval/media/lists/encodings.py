"""The encoding of a text file that somebody else wrote."""

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
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16 does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HEAD_BYTES = 64 << 10
_SAMPLE_BYTES = 256 << 10
_LINE_BYTES = 1 << 20
_COMMON = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_r",
    "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr",
)  # fmt: skip
"""Encodings of lists that are not Unicode, the most common first."""

_MULTIBYTE = ("utf-16", "utf-32", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr")
"""Encodings whose damage surrogate escapes cannot represent: they stand for single bytes."""

_LETTERS_AT_LEAST = 12
"""Bytes beyond ASCII that tell encodings apart; with fewer it is the first of them."""


@dataclass(frozen=True, slots=True)
class TextEncoding:
    """How a text file is read; `problem` says what is uncertain about it, None for nothing."""

    name: str
    problem: str | None = None

    def open(self, path: str, *, newline: str | None = None) -> TextIO:
        """Open a file for reading.

        Bytes that are not of the encoding become surrogate escapes, or, in an encoding of several
        bytes per letter, replacement characters.
        """
        errors = "replace" if self.name.startswith(_MULTIBYTE) else "surrogateescape"
        return io.TextIOWrapper(open_regular(path), self.name, errors, newline)

    def file_name(self, name: str, folder: str) -> str:
        """The name of a file as the text gives it, or as its bytes do where only that exists.

        A list may hold names in its own encoding, or the bytes of names in the file system's.
        """
        if self.name.startswith("utf") or os.path.lexists(os.path.join(folder, name)):
            return name
        try:
            return os.fsdecode(name.encode(self.name, "surrogateescape"))
        except UnicodeEncodeError:
            return name


def find_encoding(path: str) -> TextEncoding:
    """Find out how a text file is encoded, by its first bytes, else as UTF-8, else by its letters.

    Raises:
        OSError: The file cannot be read.
    """
    with open_regular(path) as file:
        head = file.read(_HEAD_BYTES)
        for mark, name in _BOMS:
            if head.startswith(mark):
                return TextEncoding(name)
        if b"\0" in head:
            # UTF-16 without its mark: the high bytes of digits, commas and spaces are 0.
            return TextEncoding(
                "utf-16-be" if head[::2].count(0) > head[1::2].count(0) else "utf-16-le"
            )
        file.seek(0)
        if _is_utf8(file):
            return TextEncoding("utf-8")
        file.seek(0)
        valid, invalid, sample = _letters(file)
    if valid >= invalid:
        return TextEncoding("utf-8", f"{invalid} lines are not UTF-8; the others are read as such")
    return _guessed(sample)


def _is_utf8(file: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while block := file.read(_LINE_BYTES):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _letters(file: BinaryIO) -> tuple[int, int, bytes]:
    """Lines with other letters than ASCII that are UTF-8 and that are not, and some of the last."""
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


def _guessed(sample: bytes) -> TextEncoding:
    name = _by_letters(sample)
    if name is None:
        return TextEncoding("utf-8", "not UTF-8, and of no known encoding; save it as UTF-8")
    return TextEncoding(name, f"not UTF-8; read as {name}, as its letters suggest")


def _by_letters(sample: bytes) -> str | None:
    if sum(byte >= 0x80 for byte in sample) < _LETTERS_AT_LEAST:
        try:
            sample.decode(_COMMON[0])
        except UnicodeDecodeError:
            return None
        return _COMMON[0]
    from charset_normalizer import from_bytes

    # Of encodings that explain the letters alike, the one that more programs write.
    found = [
        (round(match.chaos, 2), -round(match.coherence, 2), _COMMON.index(name), name)
        for match in from_bytes(sample, cp_isolation=list(_COMMON))
        for name in match.could_be_from_charset
        if name in _COMMON
    ]
    return min(found)[-1] if found else None
