from pathlib import Path

import pytest

from retrieval.columns.notices import Notices
from retrieval.errors import SourceError
from retrieval.media.lists.rows import read_table

TABLE = "Path,year,uri,note\na.jpg,1,x,0.5\nb.jpg,2,,\n"


def rows_of(path: Path, columns: tuple[str, ...] | None, notices: Notices) -> list[object]:
    return [row for block in read_table(str(path), notices, 2, columns) for row in block.rows()]


def test_csv_rows_have_the_columns_that_are_needed(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(TABLE)
    assert rows_of(path, None, Notices())[0] == {
        "Path": "a.jpg",
        "year": 1,
        "uri": "x",
        "note": 0.5,
    }
    assert rows_of(path, ("path", "uri"), Notices()) == [
        {"Path": "a.jpg", "uri": "x"},
        {"Path": "b.jpg", "uri": None},
    ]
    assert rows_of(path, ("year",), Notices()) == [{"year": 1}, {"year": 2}]
    assert rows_of(path, (), Notices()) == [{}, {}]


def test_malformed_rows_are_reported_whatever_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"{TABLE}c.jpg,3\n")
    with pytest.raises(SourceError, match="row 3: 2 fields, expected 4"):
        rows_of(path, (), Notices())
    path.write_text(f'{TABLE}"c.jpg,3')
    with pytest.raises(SourceError, match="row 3: unexpected end of data"):
        rows_of(path, (), Notices())
