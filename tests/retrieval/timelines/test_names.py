"""Names of exported files are accepted by every file system, and unique."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from retrieval.errors import QueryError
from retrieval.timelines.moments import QueryHits, moments_of
from retrieval.timelines.names import clock, file_stem, one_line
from retrieval.types import Medium
from support.exports import hit_of


@pytest.mark.parametrize(
    ("query", "stem"),
    [
        ("a dog on the Beach", "a-dog-on-the-beach_01_00-00-12.400"),
        ("../../etc/passwd", "etc-passwd_01_00-00-12.400"),
        ('a/b\\c:d*e?f"g<h>i|j', "a-b-c-d-e-f-g-h-i-j_01_00-00-12.400"),
        ("🐶🐱", "01_00-00-12.400"),
        ("", "01_00-00-12.400"),
        ("-rf .hidden", "rf-hidden_01_00-00-12.400"),
        ("CON", "con_01_00-00-12.400"),
        ("日本 café", "日本-café_01_00-00-12.400"),
        ("a\0\x1b[2J\n\u202eb", "a-2j-b_01_00-00-12.400"),
        ("x\ud800y", "x-y_01_00-00-12.400"),
        ("one_two", "one-two_01_00-00-12.400"),
    ],
)
def test_any_query_gives_a_safe_name(tmp_path: Path, query: str, stem: str) -> None:
    assert file_stem(query, 1, 12.4) == stem
    (tmp_path / f"{stem}.mp4").touch()


@pytest.mark.parametrize("letter", ["x", "é", "日", "👍🏽e"])
def test_long_queries_are_cut_between_characters(tmp_path: Path, letter: str) -> None:
    stem = file_stem(letter * 300, 7, None)
    assert len(os.fsencode(stem)) < 100
    assert stem.endswith("_07")
    (tmp_path / f"{stem}.mp4").touch()


def test_names_differ_and_sort_by_rank() -> None:
    hits = (hit_of("/a.mp4", 1.0, 2.0), hit_of("/b.jpg", rank=100, modality=Medium.IMAGE))
    moments = moments_of([QueryHits("a b", hits), QueryHits("A/b", hits[:1])])
    assert [moment.stem for moment in moments] == [
        "a-b_001_00-00-01.000", "a-b_100", "a-b_001_00-00-01.000_2"]  # fmt: skip


def test_times_are_padded_within_the_file() -> None:
    hits = (hit_of("/a.mp4", 1.0, 2.0), hit_of("/a.mp4"), hit_of("/b.jpg", modality=Medium.IMAGE))
    spans = [(m.start_seconds, m.end_seconds) for m in moments_of([QueryHits("", hits)], 1.5)]
    assert spans == [(0.0, 3.5), (0.0, float("inf")), (None, None)]
    for padding in (-1.0, float("nan"), float("inf")):
        with pytest.raises(QueryError, match="padding"):
            moments_of([], padding)


def test_lines_and_clocks() -> None:
    assert one_line("a\r\n\tb\u2028c\u202e\x00d \ud800") == "a b c d ?"
    assert clock(3_723.4996) == "01:02:03.500"
    assert clock(59.9999) == "00:01:00.000"
