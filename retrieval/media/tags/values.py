"""Clean the values of tags, which can have any encoding, length and content."""

from __future__ import annotations

import codecs
import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

from retrieval.types import Scalar, TextSource, TimedText

MAX_TAG_CHARACTERS = 10_000
"""Longer values are cut."""

MAX_FACT_CHARACTERS = 500
"""Longer values do not become columns."""

SEPARATOR = " · "

_DATE_TIME = re.compile(
    r"(?P<year>\d{4})[-:/.](?P<month>\d\d?)[-:/.](?P<day>\d\d?)"
    r"(?:[T ]+(?P<hour>\d\d?):(?P<minute>\d\d)"
    r"(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,6})\d*)?)?)?"
    r"\s*(?P<zone>Z|[+-]\d\d:?\d\d)?"
)
_POSITION = re.compile(r"(?P<latitude>[+-]\d{1,3}(?:\.\d+)?)(?P<longitude>[+-]\d{1,3}(?:\.\d+)?)")
_FIRST_YEAR = 1840
"""Photographs and recordings are younger; earlier years are errors."""


@dataclass(slots=True)
class Tags:
    """What a file says about itself.

    Attributes:
        facts: Values of the columns for filters, by name.
        words: Short values, such as an artist and a title; they form one text.
        texts: Longer values, each a text.
        chapters: Texts with times.
    """

    facts: dict[str, Scalar] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    chapters: list[TimedText] = field(default_factory=list)

    def add_fact(self, name: str, value: Scalar) -> None:
        """Set a column, unless it has a value."""
        if value is None or (isinstance(value, str) and len(value) > MAX_FACT_CHARACTERS):
            return
        self.facts.setdefault(name, value)

    def timed_texts(self) -> list[TimedText]:
        """Return the short values as one text, then the longer ones and the chapters."""
        year = self.facts.get("year")
        words = self.words if year is None else [*self.words, str(year)]
        joined = SEPARATOR.join(_distinct(words))[:MAX_TAG_CHARACTERS]
        texts = _distinct([joined, *self.texts] if joined else self.texts)
        return [TimedText(TextSource.TAG, text) for text in texts] + self.chapters


def _distinct(texts: Iterable[str]) -> list[str]:
    """Return texts without repetitions, ignoring case."""
    first: dict[str, str] = {}
    for text in texts:
        first.setdefault(text.casefold(), text)
    return list(first.values())


def clean_tag(value: object) -> str | None:
    """Return a value as text: decoded, without control characters, cut; None if it is empty.

    Args:
        value: Bytes, or a text in which surrogate escapes stand for bytes that are not UTF-8.
    """
    if isinstance(value, str):
        has_bytes = any("\udc80" <= each <= "\udcff" for each in value[: 4 * MAX_TAG_CHARACTERS])
        if has_bytes:
            value = value[: 4 * MAX_TAG_CHARACTERS].encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        value = _decode(value)
    if not isinstance(value, str):
        return None
    value = value.lstrip("\0").partition("\0")[0][: 4 * MAX_TAG_CHARACTERS]
    text = "".join(
        " " if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") else character
        for character in value
    )
    return " ".join(text.split())[:MAX_TAG_CHARACTERS].strip() or None


def _decode(value: bytes) -> str:
    """Decode bytes of an unknown encoding: UTF-8, UTF-16 with a mark, or else Windows-1252."""
    cut = value[: 4 * MAX_TAG_CHARACTERS]
    if cut.startswith((b"\xff\xfe", b"\xfe\xff")):
        return cut.decode("utf-16", "replace")
    try:
        # The end of a cut text can be a part of a letter.
        return codecs.getincrementaldecoder("utf-8-sig")().decode(cut, final=len(cut) == len(value))
    except UnicodeDecodeError:
        return cut.decode("cp1252", "replace")


def decode_comment(value: object) -> str | None:
    """Decode an EXIF UserComment, whose first 8 bytes name its encoding."""
    if not isinstance(value, bytes):
        return clean_tag(value)
    code, content = value[:8].rstrip(b"\0 ").upper(), value[8:]
    if code == b"UNICODE":
        zeros = content[:4000]
        little = zeros[1::2].count(0) > zeros[::2].count(0)
        if content.startswith((b"\xff\xfe", b"\xfe\xff")):
            return clean_tag(content)
        return clean_tag(content.decode("utf-16-le" if little else "utf-16-be", "replace"))
    if code == b"JIS":
        return clean_tag(content.decode("iso2022_jp", "replace"))
    return clean_tag(content if code in (b"ASCII", b"") else value)


def decode_utf16(value: object) -> str | None:
    """Decode the XP tags of Windows: UTF-16 in bytes, or in a sequence of numbers."""
    if isinstance(value, tuple):
        value = bytes(each for each in value if isinstance(each, int) and 0 <= each < 256)
    if isinstance(value, bytes):
        return clean_tag(value.decode("utf-16-le", "replace"))
    return clean_tag(value)


def parse_time(value: object, offset: object = None) -> datetime | None:
    """Parse the time of a tag, in UTC; a time without an offset counts as UTC.

    Args:
        value: As `2024:06:01 12:30:00` or `2024-06-01T12:30:00+02:00`.
        offset: As `+02:00`.
    """
    match = _DATE_TIME.match(clean_tag(value) or "")
    if match is None:
        return None
    parts = [int(match[name] or 0) for name in ("hour", "minute", "second")]
    micros = int((match["fraction"] or "0").ljust(6, "0"))
    zone = match["zone"] or clean_tag(offset) or "Z"
    try:
        day = [int(match[name]) for name in ("year", "month", "day")]
        time = datetime(*day, *parts, micros, tzinfo=_zone(zone))  # type: ignore[misc,arg-type]
        time = time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time if is_year(time.year) else None


def _zone(text: str) -> timezone:
    match = re.fullmatch(r"([+-])(\d\d):?(\d\d)", text)
    if match is None:
        return UTC
    minutes = int(match[2]) * 60 + int(match[3])
    return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))


def parse_year(value: object) -> int | None:
    """Return the year that a date begins with, such as `1888` or `2024-06-01`."""
    match = re.match(r"(\d{4})(?!\d)", clean_tag(value) or "")
    year = int(match[1]) if match else None
    return year if year is not None and is_year(year) else None


def is_year(year: int) -> bool:
    """Whether something can have been recorded in a year; clocks that were never set show 1904."""
    return _FIRST_YEAR <= year <= datetime.now(UTC).year + 1


def parse_position(value: object) -> tuple[float, float] | None:
    """Parse an ISO 6709 position such as `+37.3318-122.0312+030.0/`: latitude and longitude."""
    match = _POSITION.match(clean_tag(value) or "")
    return check_position(float(match["latitude"]), float(match["longitude"])) if match else None


def check_position(latitude: float, longitude: float) -> tuple[float, float] | None:
    """Return a position on Earth; None for others, and for 0, 0, which means an unknown one."""
    finite = math.isfinite(latitude) and math.isfinite(longitude)
    if not finite or abs(latitude) > 90 or abs(longitude) > 180 or latitude == longitude == 0:
        return None
    return latitude, longitude


def add_time(tags: Tags, time: datetime | None) -> None:
    """Set the time when a picture was taken, and its year."""
    if time is not None:
        tags.add_fact("taken_at", time)
        tags.add_fact("year", time.year)


def add_position(tags: Tags, position: tuple[float, float] | None) -> None:
    """Set latitude and longitude."""
    if position is not None and "latitude" not in tags.facts:
        tags.facts["latitude"], tags.facts["longitude"] = position


def add_camera(tags: Tags, make: object, model: object) -> None:
    """Set the camera: the maker and the model, which often repeats the maker."""
    maker, name = clean_tag(make), clean_tag(model)
    if maker and name and maker.split()[0].casefold() in name.casefold():
        maker = None
    camera = " ".join(filter(None, (maker, name))) or None
    if camera is not None and "camera" not in tags.facts:
        tags.add_fact("camera", camera)
        tags.words.append(camera[:MAX_FACT_CHARACTERS])
