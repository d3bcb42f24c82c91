from pathlib import Path

import pytest

from benchmarks.datasets.annotation_files import media_files, read_table
from retrieval.errors import SourceError


def test_a_table_with_quotes_and_a_mark_at_its_start(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\ufeffid,text,more\n1,"a, ""b""\nc",x\n2,é,\n', encoding="utf-8")
    assert read_table(path, "id", "text") == [
        {"id": "1", "text": 'a, "b"\nc'}, {"id": "2", "text": "é"}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"t\.csv has no rows; expected the columns id, text"),
        ("id,text\n", r"t\.csv has no rows"),
        ("id,text\n1,a\n2\n", r"t\.csv, line 3: no value for text; expected the columns id, text"),
        ("id,name\n1,a\n", r"t\.csv, line 2: no value for text"),
    ],
)
def test_a_table_that_lacks_something_fails(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(SourceError, match=message):
        read_table(tmp_path / "t.csv", "id", "text")


def test_a_row_that_a_check_refuses_fails_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,n\na,"1\n"\nb,two\n')
    assert read_table(path, "id", check=lambda row: row["id"]) == [{"id": "a"}, {"id": "b"}]
    with pytest.raises(SourceError, match=r"t\.csv, line 4: invalid literal for int"):
        read_table(path, "id", "n", check=lambda row: int(row["n"]))


def test_files_by_name_or_with_any_extension(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mov", "b.mov.mkv", "c.d.wav"):
        (tmp_path / name).touch()
    assert media_files(tmp_path, ["a", "b.mov", "c.d", "e"]) == {
        "a": tmp_path / "a.mp4",
        "b.mov": tmp_path / "b.mov",
        "c.d": tmp_path / "c.d.wav",
        "e": tmp_path / "e",
    }
