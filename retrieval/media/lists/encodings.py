"""Detect the encoding of a text file."""

from __future__ import annotations

import codecs
import io
import os
import unicodedata
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
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "koi8_u", "mac_roman",
    "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr",
    "iso8859_2", "iso8859_5", "cp866", "cp850",
)  # fmt: skip
"""Encodings other than Unicode, the most common first."""

_MULTIBYTE = (
    *("utf-16", "utf-32", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr", "iso2022_jp"),
)
"""Encodings with several bytes per letter; surrogate escapes stand for single bytes."""

_MIN_LETTERS = 12
"""Bytes beyond ASCII that the frequencies of letters need."""

_ODDNESS_BYTES = 16 << 10
_SHIFTS = (b"\x1b$B", b"\x1b$@")
"""Escape sequences that begin two-byte letters in ISO-2022-JP, which is valid UTF-8."""


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
        return TextEncoding(_wide_encoding(head))
    file.seek(0)
    if _is_utf8(file):
        return TextEncoding("iso2022_jp" if _is_iso_2022_jp(head) else "utf-8")
    file.seek(0)
    valid, invalid, sample = _sample_letters(file)
    if valid >= invalid:
        return TextEncoding("utf-8", f"{invalid} lines are not UTF-8; the others are read as UTF-8")
    return _guess(sample)


def _wide_encoding(head: bytes) -> str:
    """Tell UTF-16 and UTF-32 without a mark apart: the high bytes of digits and commas are 0."""
    zeros = [head[first::4].count(0) for first in range(4)]
    letters = len(head) // 4
    if zeros[2] > 0.9 * letters and zeros[3] > 0.9 * letters:
        return "utf-32-le"
    if zeros[0] > 0.9 * letters and zeros[1] > 0.9 * letters:
        return "utf-32-be"
    return "utf-16-be" if zeros[0] + zeros[2] > zeros[1] + zeros[3] else "utf-16-le"


def _is_iso_2022_jp(head: bytes) -> bool:
    if not any(shift in head for shift in _SHIFTS):
        return False
    try:
        head[: head.rfind(b"\n") + 1 or None].decode("iso2022_jp")
    except UnicodeDecodeError:
        return False
    return True


def decode_text(content: bytes) -> str:
    """Decode a short text, such as a caption, as `find_encoding` would."""
    for mark, name in _BOMS:
        if content.startswith(mark):
            return content.decode(name, "replace")
    if b"\0" in content:
        return content.decode(_wide_encoding(content), "replace")
    try:
        return content.decode("iso2022_jp" if _is_iso_2022_jp(content) else "utf-8")
    except UnicodeDecodeError as error:
        if error.end == len(content) and error.reason == "unexpected end of data":
            return content[: error.start].decode("utf-8")
        valid, invalid, sample = _sample_letters(io.BytesIO(content))
        name = "utf-8" if valid >= invalid else _guess(sample).name
        return content.decode(name, "replace")


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
    return TextEncoding(
        name, f"not UTF-8; read as {name}, as its letters suggest; save it as UTF-8 to be sure"
    )


def _guess_name(sample: bytes) -> str | None:
    """Return the most common of the encodings that explain the letters equally well."""
    start = sample[:_ODDNESS_BYTES].rpartition(b"\n")[0] or sample[:_ODDNESS_BYTES]
    text = start.decode("utf-8", "replace")
    broken = text.count("\ufffd") / max(1, sum(letter >= "\x80" for letter in text))
    oddness = {name: _oddness(start, name) for name in _CANDIDATES}
    frequencies: dict[str, tuple[float, float]] = {}
    if sum(byte >= 0x80 for byte in sample) >= _MIN_LETTERS:
        from charset_normalizer import from_bytes

        for match in from_bytes(sample, cp_isolation=list(_CANDIDATES)):
            for name in match.could_be_from_charset:
                frequencies[name] = (round(match.chaos, 2), -round(match.coherence, 2))
    ranked = [
        (odd, *frequencies.get(name, (1.0, 0.0)), number, name)
        for number, (name, odd) in enumerate(oddness.items())
        if odd is not None
    ]
    # A text with a few damaged letters is UTF-8 nevertheless.
    return min(ranked)[-1] if ranked and min(ranked)[0] <= broken else None


# ---------------------------------------------------------------- unlikely letters

_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "HEBREW", "ARABIC")
_IN_WORDS = "’‘"
_CJK = "\u2e80"
_NOT_JAPANESE = ("gb18030", "big5", "euc_kr")
_UNLIKELY = {"cp1252": "ðþýÐÞÝ", "cp1254": "áæóíúéèà"}
"""Letters of Icelandic, which Turkish texts seem to have, and letters that Turkish lacks."""


def _oddness(sample: bytes, encoding: str) -> float | None:
    """Return the share of letters beyond ASCII that are unlikely; None if some have no meaning."""
    try:
        text = f" {sample.decode(encoding)} "
    except UnicodeDecodeError:
        return None
    places = [place for place, letter in enumerate(text) if letter >= "\x80"]
    odd = sum(_is_odd(text[max(0, place - 2) : place + 2], encoding) for place in places)
    return round(odd / max(1, len(places)), 1)


def _is_odd(around: str, encoding: str) -> bool:
    """Whether a letter is unlikely after the two letters before it, and before the next."""
    *_, older, before, letter, after = " ", *around
    if not letter.isalpha():
        category = unicodedata.category(letter)
        in_word = after.isalpha() and (before.isalpha() or category in ("No", "Sk"))
        is_mark = letter >= _CJK or letter in _IN_WORDS
        return category in ("Cc", "Cn", "Co") or (in_word and not is_mark)
    if letter >= _CJK:
        is_kana = "\u3040" <= letter < "\u3100"
        in_word = (before + after).isalpha() and (before + after).isascii()
        is_half_wide = "\uff61" <= letter <= "\uff9f"
        return in_word or is_half_wide or (is_kana and encoding in _NOT_JAPANESE)
    script = _script(letter)
    accents = script == "LATIN" and all("\x80" <= each < "\u0250" for each in (older, before))
    foreign = script in _SCRIPTS and before.isalpha() and _script(before) != script
    unlikely = letter in _UNLIKELY.get(encoding, "") and (before + after).strip().isalpha()
    capital = letter.isupper() and before.isalpha() and (before + after).upper() != before + after
    return capital or accents or foreign or unlikely


def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]
