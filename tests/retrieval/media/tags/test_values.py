"""Values of tags in any encoding."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from retrieval.media.tags.values import (
    MAX_TAG_CHARACTERS,
    Tags,
    add_camera,
    check_position,
    clean_tag,
    decode_comment,
    decode_utf16,
    parse_position,
    parse_time,
    parse_year,
)
from retrieval.types import TextSource, TimedText


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("  a \n b\t", "a b"),
        ("Caf\udce9", "Café"),  # Latin-1 where UTF-8 is due
        (b"Caf\xe9", "Café"),
        ("Café".encode(), "Café"),
        ("Café".encode("utf-16"), "Café"),
        (b"\xef\xbb\xbfx", "x"),
        (b"name\0\0\0garbage", "name"),
        ("\0\0", None),
        ("a\x1b[31m\x07b\u2028c", "a [31m b c"),
        ("a\ud800b", "a b"),
        (7, None),
        (None, None),
        ("x" * 1_000_000, "x" * MAX_TAG_CHARACTERS),
        (("é" * 1_000_000).encode(), "é" * MAX_TAG_CHARACTERS),
        ("שלום\u200f", "שלום\u200f"),
    ],
)
def test_any_value_becomes_clean_text(value: object, text: str | None) -> None:
    assert clean_tag(value) == text


@pytest.mark.parametrize(
    ("comment", "text"),
    [
        (b"ASCII\0\0\0hello\0\0", "hello"),
        (b"UNICODE\0" + "höher".encode("utf-16-le"), "höher"),
        (b"UNICODE\0" + "höher".encode("utf-16-be"), "höher"),
        (b"JIS\0\0\0\0\0" + "日本".encode("iso2022_jp"), "日本"),
        (b"\0" * 8 + b"plain", "plain"),
        (b"no prefix at all", "no prefix at all"),
        ("text", "text"),
        (b"", None),
    ],
)
def test_a_comment_is_decoded_by_its_prefix(comment: object, text: str | None) -> None:
    assert decode_comment(comment) == text


def test_tags_of_windows_are_utf16() -> None:
    content = "Urlaub\0".encode("utf-16-le")
    assert decode_utf16(content) == decode_utf16(tuple(content)) == "Urlaub"


@pytest.mark.parametrize(
    ("value", "offset", "time"),
    [
        ("2024:06:01 12:30:05", None, datetime(2024, 6, 1, 12, 30, 5, tzinfo=UTC)),
        ("2024:06:01 12:30:05", "+02:00", datetime(2024, 6, 1, 10, 30, 5, tzinfo=UTC)),
        ("2024-06-01T00:30:00.25-0130", None, datetime(2024, 6, 1, 2, 0, 0, 250_000, UTC)),
        ("2024-06-01", None, datetime(2024, 6, 1, tzinfo=UTC)),
        ("0000:00:00 00:00:00", None, None),
        ("1904-01-01T00:00:00Z", None, datetime(1904, 1, 1, tzinfo=UTC)),
        ("2024:13:01 12:00:00", None, None),
        ("9999:12:31 23:59:59", "-10:00", None),
        ("yesterday", None, None),
    ],
)
def test_times_are_in_utc(value: str, offset: str | None, time: datetime | None) -> None:
    assert parse_time(value, offset) == time


def test_years_and_positions() -> None:
    assert [parse_year(text) for text in ("1888", "2024-06-01", "20240", "0000", "x", None)] == [
        1888, 2024, None, None, None, None,
    ]  # fmt: skip
    assert parse_position("+37.3318-122.0312+030.0/") == (37.3318, -122.0312)
    assert [parse_position(text) for text in ("+95.0+000.0/", "here", "+0.0+0.0/")] == [None] * 3
    assert check_position(float("nan"), 1.0) is None


def test_short_values_form_one_text() -> None:
    tags = Tags(words=["Satie", "Gymnopédie", "satie"], texts=["slow", "slow"])
    tags.add_fact("year", 1888)
    tags.add_fact("year", 1999)
    tags.add_fact("title", "x" * 501)
    assert tags.facts == {"year": 1888}
    assert tags.timed_texts() == [
        TimedText(TextSource.TAG, "Satie · Gymnopédie · 1888"), TimedText(TextSource.TAG, "slow"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS R5", "Canon EOS R5"),
        ("NIKON CORPORATION", "NIKON D850", "NIKON D850"),
        ("Apple", "iPhone 15", "Apple iPhone 15"),
        ("Leica\0", None, "Leica"),
        (None, None, None),
    ],
)
def test_the_camera_names_its_maker_once(make: object, model: object, camera: str | None) -> None:
    tags = Tags()
    add_camera(tags, make, model)
    assert tags.facts.get("camera") == camera
