"""Playlists, chapters and tables hold the times of the moments."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import pytest

from retrieval.errors import QueryError
from retrieval.media.names import path_to_uri
from retrieval.types import Medium
from support.exports import export_here, hit_of

ODD = os.fsdecode("a\nb #1 – \udcff%20.mp4".encode("utf-8", "surrogateescape"))


def test_a_playlist_names_files_of_any_name(tmp_path: Path) -> None:
    (tmp_path / ODD).touch()
    hits = [
        hit_of(path_to_uri(str(tmp_path / ODD)), 12.4, 14.4),
        hit_of(tmp_path / "gone.mp4", 0, 1, rank=2),
        hit_of("https://example.org/a.mp4", 1.0, 2.0, rank=3),
        hit_of(path_to_uri(str(tmp_path / ODD)), rank=4, modality=Medium.IMAGE),
    ]
    report = export_here(hits, tmp_path / "p.m3u8", "a\nquery", pad_seconds=0.5)
    assert [failure.rank for failure in report.failures] == [2]
    lines = (tmp_path / "p.m3u8").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["#EXTM3U", "#PLAYLIST:a query"]
    assert lines[2].startswith("#EXTINF:3.000,a query · 1 · a b #1")
    assert lines[3:5] == ["#EXTVLCOPT:start-time=11.900", "#EXTVLCOPT:stop-time=14.900"]
    assert unquote_to_bytes(urlsplit(lines[5]).path) == os.fsencode(tmp_path / ODD)
    assert lines[9] == "https://example.org/a.mp4"
    assert lines[10].startswith("#EXTINF:-1,")
    assert len(lines) == 12


def test_chapters_of_one_file_are_in_order_and_escaped(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    hits = [hit_of(path, 3_661.5, 3_670), hit_of(path, 1.25, 2.0, rank=2, score=None)]
    export_here(hits, tmp_path / "c.vtt", "<b> & --> x\r\ny")
    assert (tmp_path / "c.vtt").read_text() == (
        "WEBVTT\n\n00:00:01.250 --> 00:00:02.000\n&lt;b&gt; &amp; --&gt; x y\n\n"
        "01:01:01.500 --> 01:01:10.000\n&lt;b&gt; &amp; --&gt; x y (1, 0.250)\n"
    )
    with pytest.raises(QueryError, match=r"are of 2.*\.m3u8"):
        export_here([*hits, hit_of(tmp_path / "b.mp4", 0, 1)], tmp_path / "d.vtt")
    with pytest.raises(QueryError, match="chapters need times"):
        export_here([hit_of(path, modality=Medium.IMAGE)], tmp_path / "d.vtt")


def test_a_table_has_the_fields_of_each_hit(tmp_path: Path) -> None:
    uri = path_to_uri(str(tmp_path / ODD))
    hits = [
        hit_of(uri, 1.0, 2.0, caption='says "x",\nand y'),
        hit_of("/p.jpg", rank=2, modality=Medium.IMAGE, score=None),
    ]
    export_here(hits, tmp_path / "t.csv", "q", pad_seconds=0.25)
    text = (tmp_path / "t.csv").read_bytes().decode("utf-8", "surrogateescape")
    rows = list(csv.DictReader(text.splitlines(keepends=True)))
    assert [row["query"] for row in rows] == ["q", "q"]
    assert (rows[0]["start_seconds"], rows[0]["end_seconds"]) == ("0.75", "2.25")
    assert (rows[0]["uri"], rows[0]["path"]) == (uri, str(tmp_path / ODD))
    assert rows[0]["caption"] == 'says "x",\nand y'
    assert (rows[1]["score"], rows[1]["start_seconds"], rows[1]["rank"]) == ("", "", "2")
