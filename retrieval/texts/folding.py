"""Folds case and accents, and splits text into words and characters.

Folding is Unicode's compatibility decomposition and case folding without accents: `Straße` and
`STRASSE` are equal, and so are `café` and `cafe`. Scripts without spaces between words, such as
Chinese, Japanese and Thai, are split into single characters and pairs of neighbours.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

MAX_WORD_BYTES = 255
"""Longer words in UTF-8, such as encoded data, are neither indexed nor searched."""

_UNSEGMENTED = (
    "\u0e00-\u0e4f\u0e5a\u0e5b"  # Thai
    "\u0e80-\u0ecf\u0eda-\u0eff"  # Lao
    "\u1000-\u103f\u104a-\u109f\uaa60-\uaa7f"  # Burmese
    "\u1780-\u17df"  # Khmer
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029"  # Chinese radicals and marks
    "\u3041-\u30ff\u31f0-\u31ff"  # Japanese kana
    "\u3100-\u312f\u31a0-\u31bf"  # Bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # Chinese
    "\uac00-\ud7a3"  # Korean: particles follow a word without a space
)
"""Ranges of scripts that are split into characters."""

_LETTERS = {
    "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ħ": "h", "ŧ": "t",
    "ı": "i", "ŋ": "n", "ĸ": "k",
}  # fmt: skip
"""Letters without a decomposition."""

_TATWEEL = 0x640
_LAST_MARK = 0x1F000
"""Combining marks lie below this code point, except for variation selectors."""

_ASCII_FORM = bytes(
    ord(chr(code).lower()) if chr(code).isalnum() else ord(" ") for code in range(128)
) + bytes(range(128, 256))
"""Lower-case letters and digits stay, other ASCII characters become spaces."""

_ASCII_WORD = re.compile("[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Word:
    """A folded word, character or pair of characters, and its place in the original text.

    Attributes:
        text: The folded text.
        start: First code point.
        end: Code point after the last one.
    """

    text: str
    start: int
    end: int


def fold(text: str) -> str:
    """Fold case, accents and compatibility forms of a text."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text)
    folded = unicodedata.normalize("NFKD", decomposed.casefold())
    return unicodedata.normalize("NFC", folded.translate(_dropped()))


def index_form(text: str) -> str:
    """Return the folded words and characters of a text, separated by spaces, as they are indexed.

    Each character of a script without spaces is followed by its pair with the next one, so that
    the words of a phrase are neighbours in every text that contains it.
    """
    if text.isascii():
        return ascii_form(text.encode()).decode()
    return " ".join(
        word for run in _patterns().runs.finditer(fold(text)) for word, _, _ in _split(run)
    )


def ascii_form(text: bytes) -> bytes:
    """Return the index form of ASCII text; other bytes stay as they are."""
    return text.translate(_ASCII_FORM)


def query_words(text: str) -> list[str]:
    """Return the folded words of a query; of several characters in a row only the pairs."""
    words = []
    for run in _patterns().runs.finditer(fold(text)):
        parts = [word for word, _, _ in _split(run)]
        is_characters = run["characters"] is not None and len(parts) > 1
        words += parts[1::2] if is_characters else parts
    return [word for word in words if is_short(word)]


def is_short(word: str) -> bool:
    """Whether a word is indexed; very long ones are not."""
    return len(word) <= MAX_WORD_BYTES and len(word.encode("utf-8", "replace")) <= MAX_WORD_BYTES


def located_words(text: str) -> Iterator[Word]:
    """Yield the words of the index form with their places in the original text."""
    if text.isascii():
        for match in _ASCII_WORD.finditer(text.lower()):
            yield Word(match[0], match.start(), match.end())
        return
    folded, starts, ends = _fold_by_cluster(text)
    for run in _patterns().runs.finditer(folded):
        for word, first, last in _split(run):
            yield Word(word, starts[first], ends[last - 1])


def _fold_by_cluster(text: str) -> tuple[str, list[int], list[int]]:
    """Fold a text; return start and end in it of every folded character."""
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for cluster in _patterns().clusters.finditer(text):
        folded = fold(cluster[0])
        parts.append(folded)
        starts += [cluster.start()] * len(folded)
        ends += [cluster.end()] * len(folded)
    return "".join(parts), starts, ends


def _split(run: re.Match[str]) -> Iterator[tuple[str, int, int]]:
    """Yield the words of a run with their spans in the folded text."""
    if run["characters"] is None:
        yield run[0], run.start(), run.end()
        return
    spans = [match.span() for match in _patterns().characters.finditer(run[0])]
    for (start, end), (_, next_end) in pairwise([*spans, (0, 0)]):
        yield run[0][start:end], run.start() + start, run.start() + end
        if next_end:
            yield run[0][start:next_end], run.start() + start, run.start() + next_end


@dataclass(frozen=True, slots=True)
class _Patterns:
    """Regular expressions over folded text.

    Attributes:
        runs: A run of `characters`, or a word of letters, digits and combining marks.
        characters: One character with its marks.
        clusters: The code points of an original text that are folded together.
    """

    runs: re.Pattern[str]
    characters: re.Pattern[str]
    clusters: re.Pattern[str]


@cache
def _patterns() -> _Patterns:
    marks = "".join(
        chr(code)
        for code in range(0x300, _LAST_MARK)
        if unicodedata.category(chr(code)) in ("Mn", "Mc")
    )
    joined = f"{marks}\u1160-\u11ff\uff9e\uff9f"  # vowels and finals of Korean, voiced kana
    return _Patterns(
        re.compile(f"(?P<characters>[{_UNSEGMENTED}]+)|(?:[^\\W_{_UNSEGMENTED}]|[{marks}])+"),
        re.compile(f"[^{marks}][{marks}]*|[{marks}]+"),
        re.compile(f"(?s:.)[{joined}]*"),
    )


@cache
def _dropped() -> dict[int, str | None]:
    """Return the translation that drops accents and invisible characters."""
    dropped: dict[int, str | None] = {ord(letter): plain for letter, plain in _LETTERS.items()}
    for code in range(0xA0, _LAST_MARK):
        character = chr(code)
        place = unicodedata.combining(character)
        # Above 200: accents above and below. 10 to 35: vowel points of Hebrew and Arabic.
        is_accent = place >= 200 or 10 <= place <= 35
        if is_accent or unicodedata.category(character) == "Cf":
            dropped[code] = None
    dropped |= dict.fromkeys(range(0xFE00, 0xFE10)) | dict.fromkeys(range(0xE0000, 0xE01F0))
    return dropped | {_TATWEEL: None}
