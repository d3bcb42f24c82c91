import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrieval.errors import SourceError
from retrieval.training.pairs.manifest import (
    CaptionedSpan,
    MediaSpan,
    hold_out,
    read_pairs,
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


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_every_format_gives_the_same_spans(folder: Path, suffix: str) -> None:
    manifest = folder / f"pairs.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), manifest)
    elif suffix == "jsonl":
        manifest.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    else:
        cells = [["" if value is None else str(value) for value in row.values()] for row in ROWS]
        manifest.write_text("\n".join(",".join(row) for row in [list(ROWS[0]), *cells]))
    spans, skipped = read_pairs(manifest)
    a, b = str(folder / "media" / "a.wav"), str(folder / "media" / "b.wav")
    assert skipped == []
    assert spans == [
        CaptionedSpan(MediaSpan(a, 1.5, 4.0), ["rain", "heavy rain"], [1, 3]),
        CaptionedSpan(MediaSpan(b), ["wind"], [2]),
        CaptionedSpan(MediaSpan(a, 5.0), ["thunder"], [4]),
    ]


def test_unusable_rows_are_skipped_with_their_number(folder: Path) -> None:
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
    spans, skipped = read_pairs(manifest)
    assert [captioned.captions for captioned in spans] == [["rain"], ["hail"]]
    assert [row.row for row in skipped] == [2, 3, 4, 5, 6, 7]
    reasons = [
        "media/nowhere.wav is not a file; paths are relative",
        "no caption",
        "2 fields, expected 4 as in the header",
        "start is 'soon', expected seconds",
        "expected 0 <= start < end, got [4.0, 2.0) seconds",
        "file is None, expected the path of a file",
    ]
    for row, reason in zip(skipped, reasons, strict=True):
        assert reason in row.reason
        assert "\n" not in str(row)


def test_a_broken_line_of_jsonl_is_skipped(folder: Path) -> None:
    manifest = folder / "pairs.jsonl"
    good = '{"path": "media/a.wav", "caption": "rain"}\n'
    manifest.write_text(good + '{"path": \n' + "[1]\n" + good)
    spans, skipped = read_pairs(manifest)
    assert [captioned.rows for captioned in spans] == [[1, 4]]
    assert [row.row for row in skipped] == [2, 3]
    assert skipped[1].reason == "expected an object, as {…}"


def test_files_are_held_out_whole() -> None:
    spans = [CaptionedSpan(MediaSpan(f"{n % 20}.wav", float(n)), ["x"], [n]) for n in range(60)]
    training, held_out = hold_out(spans, 0.1, 1_000, seed=0)
    assert len(training) == 54
    assert {c.span.path for c in training} & {c.span.path for c in held_out} == set()
    assert hold_out(spans, 0.1, 1_000, seed=0) == (training, held_out)
    assert hold_out(spans, 0.1, 1_000, seed=1) != (training, held_out)
    assert len(hold_out(spans, 0.5, 3, seed=0)[1]) == 9


def test_a_file_of_another_type_fails(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"not a manifest of pairs, expected one of \.csv"):
        read_pairs(tmp_path / "pairs.txt")
    with pytest.raises(SourceError, match="cannot read the list"):
        read_pairs(tmp_path / "pairs.csv")
