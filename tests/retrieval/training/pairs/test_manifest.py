import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrieval.errors import SourceError
from retrieval.training.pairs.manifest import (
    BadRow,
    CaptionedClip,
    Clip,
    hold_out,
    read_pairs,
    tell_bad_rows,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "media").mkdir()
    for name in ("a.wav", "b.wav", "c.wav"):
        (tmp_path / "media" / name).touch()
    return tmp_path


ROWS = [
    {"path": "media/a.wav", "caption": "rain", "start_seconds": 1.5, "end_seconds": 4.0},
    {"path": "media/b.wav", "caption": "wind", "start_seconds": None, "end_seconds": None},
    {"path": "media/a.wav", "caption": "heavy rain", "start_seconds": 1.5, "end_seconds": 4.0},
    {"path": "media/a.wav", "caption": "thunder", "start_seconds": 5.0, "end_seconds": None},
]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_every_format_gives_the_same_clips(folder: Path, kind: str) -> None:
    manifest = folder / f"pairs.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), manifest)
    elif kind == "jsonl":
        manifest.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    else:
        cells = [["" if value is None else str(value) for value in row.values()] for row in ROWS]
        manifest.write_text("\n".join(",".join(row) for row in [list(ROWS[0]), *cells]))
    clips, bad = read_pairs(manifest)
    a, b = str(folder / "media" / "a.wav"), str(folder / "media" / "b.wav")
    assert bad == []
    assert clips == [
        CaptionedClip(Clip(a, 1.5, 4.0), ["rain", "heavy rain"], [1, 3]),
        CaptionedClip(Clip(b), ["wind"], [2]),
        CaptionedClip(Clip(a, 5.0), ["thunder"], [4]),
    ]


def test_bad_rows_are_told_by_their_number_and_skipped(folder: Path) -> None:
    manifest = folder / "pairs.csv"
    manifest.write_text(
        "file,text,start,end\n"
        "media/a.wav,rain,,\n"
        "media/nowhere.wav,wind,,\n"
        "media/b.wav,,,\n"
        "media/b.wav,wind\n"
        "media/b.wav,wind,soon,\n"
        "media/b.wav,wind,4,2\n"
        ",wind,,\n"
        "media/c.wav,hail,1,\n"
    )
    clips, bad = read_pairs(manifest)
    assert [one.captions for one in clips] == [["rain"], ["hail"]]
    assert [row.row for row in bad] == [2, 3, 4, 5, 6, 7]
    reasons = [
        "media/nowhere.wav is no file; paths are relative",
        "no caption",
        "2 fields, expected 4 as in the header",
        "start is 'soon', expected seconds",
        "needs 0 <= start < end, got [4.0, 2.0) seconds",
        "file is None, expected the path of a file",
    ]
    for row, reason in zip(bad, reasons, strict=True):
        assert reason in row.reason
        assert "\n" not in str(row)


def test_a_broken_line_of_jsonl_costs_that_line_only(folder: Path) -> None:
    manifest = folder / "pairs.jsonl"
    good = '{"path": "media/a.wav", "caption": "rain"}\n'
    manifest.write_text(good + '{"path": \n' + "[1]\n" + good)
    clips, bad = read_pairs(manifest)
    assert [one.rows for one in clips] == [[1, 4]]
    assert [row.row for row in bad] == [2, 3]
    assert bad[1].reason == "expected an object, as {…}"


def test_many_bad_rows_are_summed_up() -> None:
    bad = [BadRow(row, "no caption") for row in range(30, 0, -1)]
    told = list(tell_bad_rows(Path("p.csv"), bad))
    assert len(told) == 21
    assert told[0] == "p.csv, row 1: no caption; skipped"
    assert told[-1] == "p.csv: 10 more rows skipped"


def test_files_are_held_out_whole() -> None:
    clips = [CaptionedClip(Clip(f"{n % 20}.wav", float(n)), ["x"], [n]) for n in range(60)]
    kept, held_out = hold_out(clips, 0.1, 1_000, seed=0)
    assert len(kept) == 54
    assert {one.clip.path for one in kept} & {one.clip.path for one in held_out} == set()
    assert hold_out(clips, 0.1, 1_000, seed=0) == (kept, held_out)
    assert hold_out(clips, 0.1, 1_000, seed=1) != (kept, held_out)
    assert len(hold_out(clips, 0.5, 3, seed=0)[1]) == 9


def test_another_kind_of_file_fails(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no manifest of pairs, expected one of \.csv"):
        read_pairs(tmp_path / "pairs.txt")
    with pytest.raises(SourceError, match="cannot read the list"):
        read_pairs(tmp_path / "pairs.csv")
