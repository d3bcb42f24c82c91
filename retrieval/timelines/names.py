"""Name exported files by query, rank and time."""

from __future__ import annotations

import re
import unicodedata

MAX_QUERY_BYTES = 80
"""UTF-8 bytes of a query in a file name; file systems allow 255 for the whole name."""

_SEPARATORS = re.compile(r"[^\w]+|_+")


def file_stem(query: str, rank: int, start_seconds: float | None, *, digits: int = 2) -> str:
    """Return a name such as `a-dog_01_00-00-12.400`, which every file system accepts.

    Letters and digits of any script are kept. All other characters become dashes.

    Args:
        query: Any text.
        rank: Rank of the hit.
        start_seconds: Start of the moment; None for an image, whose name has no time.
        digits: Minimal digits of the rank.
    """
    parts = [query_part(query), f"{rank:0{digits}}"]
    if start_seconds is not None:
        parts.append(clock(start_seconds).replace(":", "-"))
    return "_".join(part for part in parts if part)


def query_part(query: str) -> str:
    """Return the letters and digits of a query, joined by dashes; empty if it has none."""
    text = unicodedata.normalize("NFC", query[:1_000]).lower()
    # A lone surrogate is no letter, so that what remains can be encoded.
    words = _SEPARATORS.sub("-", text).strip("-")
    return words.encode()[:MAX_QUERY_BYTES].decode(errors="ignore").strip("-")


def clock(seconds: float) -> str:
    """Format seconds as `hh:mm:ss.mmm`."""
    minutes, milliseconds = divmod(round(seconds * 1_000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds / 1_000:06.3f}"


def one_line(text: str) -> str:
    """Replace control characters, line ends and lone surrogates, for formats of lines.

    Characters that change the direction of text are removed.
    """
    spaced = (
        " " if unicodedata.category(character) in ("Cc", "Zl", "Zp") else character
        for character in text.encode("utf-8", "replace").decode()
        if character not in _DIRECTIONS
    )
    return " ".join("".join(spaced).split())


_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
