import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrieval.columns.types import convert_value
from retrieval.errors import SourceError
from retrieval.media.lists.csv_rows import BLOCK_ROWS
from retrieval.media.lists.rows import ListedRow, read_rows
from retrieval.media.sources.find import find_sources
from support.media_lists import read_list


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_csv_columns_keep_the_type_that_all_their_fields_have(tmp_path: Path) -> None:
    path = write(
        tmp_path / "list.csv",
        "path,year,score,live,code,mixed,note\n"
        "a.jpg,1999,0.5,true,007,1,\n"
        "b.jpg,-3,2,False,008,x,hello\n"
        "c.jpg,,,,,,\n",
    )
    rows = [row.columns for row in read_list(path)]
    assert rows == [
        {"year": 1999, "score": 0.5, "live": True, "code": "007", "mixed": "1", "note": None},
        {"year": -3, "score": 2.0, "live": False, "code": "008", "mixed": "x", "note": "hello"},
        dict.fromkeys(["year", "score", "live", "code", "mixed", "note"]),
    ]
    assert isinstance(rows[1]["score"], float)


def test_paths_are_relative_to_the_lists_folder_and_captions_found(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "file,text\nsub/a.jpg,a dog\n/abs/b.jpg,\n")
    sources = list(find_sources([path]))
    assert [source.path for source in sources] == [str(tmp_path / "sub/a.jpg"), "/abs/b.jpg"]
    assert [source.caption for source in sources] == ["a dog", ""]
    assert sources[0].columns == {}


def test_given_columns_replace_the_common_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", "path,where,caption,title\nx,a.jpg,no,yes\n")
    (source,) = find_sources([path], path_column="where", caption_column="title")
    assert os.path.basename(source.path) == "a.jpg"
    assert (source.caption, source.columns) == ("yes", {"path": "x", "caption": "no"})


def test_tsv_with_quotes_newlines_and_commas(tmp_path: Path) -> None:
    path = write(tmp_path / "list.tsv", 'path\tnote\n"a\nb.jpg"\t"one, ""two"""\n')
    (row,) = read_list(path)
    assert (row.path, row.columns) == ("a\nb.jpg", {"note": 'one, "two"'})


def test_jsonl_keeps_types_and_writes_nested_values_as_json(tmp_path: Path) -> None:
    record = {"path": "a.jpg", "n": 1, "x": 0.5, "ok": True, "none": None, "tags": ["é", 1]}
    path = write(tmp_path / "list.jsonl", json.dumps(record) + "\n\n")
    (row,) = read_list(path)
    assert row.columns == {"n": 1, "x": 0.5, "ok": True, "none": None, "tags": '["é", 1]'}


def test_parquet_is_read_like_other_formats(tmp_path: Path) -> None:
    table = pa.table({"filename": ["a.jpg", "b.jpg"], "year": [1, None], "caption": ["x", "y"]})
    pq.write_table(table, tmp_path / "list.parquet")
    rows = list(read_list(str(tmp_path / "list.parquet")))
    assert [(row.path, row.caption, row.columns) for row in rows] == [
        ("a.jpg", "x", {"year": 1}),
        ("b.jpg", "y", {"year": None}),
    ]


def test_fault_27_list_names_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"path,note\n\xff.jpg,\xfe\n")
    (source,) = find_sources([str(tmp_path / "list.csv")])
    assert os.fsencode(source.path) == os.fsencode(tmp_path) + b"/\xff.jpg"
    assert source.columns == {"note": "þ"}  # as Windows-1252 has it


@pytest.mark.parametrize("name", ["\\ud800.png", "a/\\udfff", "\\ud83c"])
def test_fault_27_an_impossible_file_name_fails(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "list.jsonl", f'{{"path": "{name}"}}\n{{"path": "good.png"}}\n')
    (_, bad), (_, good) = read_rows(path)
    assert isinstance(bad, SourceError)
    assert "row 1: path is '" in str(bad)
    assert "expected the path of a file" in str(bad)
    assert good == ListedRow("good.png", None, {})


def test_scalars_fit_a_column() -> None:
    raw = (float("nan"), float("inf"), 2**63, -(2**63), "\ud800", b"x")
    values = [convert_value(value).value for value in raw]
    assert values == [None, None, str(2**63), -(2**63), "?", None]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "no header with distinct names"),
        ("a.csv", "x,x\n1,2\n", "no header with distinct names"),
        ("a.csv", "000.jpg,kitten\n001.jpg,dog\n", r"a\.csv, row 1: found the columns 000\.jpg"),
        ("a.csv", "path,note\na.jpg,1\nb.jpg\n", r"a\.csv, row 2: 1 fields, expected 2"),
        ("a.csv", 'path\na.jpg\n"b', r"a\.csv, row 2: unexpected end"),
        ("a.csv", "path,note\n,1\n", r"a\.csv, row 1: path is None"),
        ("a.jsonl", '{"path": "a.jpg"}\n{"path"\n', r"a\.jsonl, row 2"),
        ("a.jsonl", "[1]\n", r"a\.jsonl, row 1: expected an object"),
        ("a.jsonl", '{"path": 3}\n', r"a\.jsonl, row 1: path is 3"),
        ("a.jsonl", '{"path": "a\\u0000b"}\n', "expected the path of a file"),
        ("a.parquet", "PAR1", r"a\.parquet, after row 0"),
    ],
)
def test_malformed_list_fails(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(SourceError, match=message):
        list(find_sources([path]))


def test_missing_given_columns_fail(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "path\na.jpg\n")
    with pytest.raises(SourceError, match="expected 'where'"):
        list(find_sources([path], path_column="where"))
    with pytest.raises(SourceError, match="no column 'title'"):
        list(find_sources([path], caption_column="title"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", "path,caption\na.jpg,one\nb.jpg\nc.jpg,three\n"),
        (
            "list.jsonl",
            '{"path": "a.jpg", "caption": "one"}\n{\n{"path": "c.jpg", "text": "three"}',
        ),
    ],
)
def test_a_malformed_row_is_an_error_in_its_place(tmp_path: Path, name: str, text: str) -> None:
    rows = list(read_rows(write(tmp_path / name, text)))
    assert [number for number, _ in rows] == [1, 2, 3]
    assert rows[0][1] == ListedRow("a.jpg", "one", {})
    assert isinstance(rows[1][1], SourceError)
    assert rows[2][1] == ListedRow("c.jpg", "three", {})
    with pytest.raises(SourceError, match="row 2"):
        list(read_list(str(tmp_path / name)))


def test_malformed_rows_between_blocks_keep_their_numbers(tmp_path: Path) -> None:
    lines = [f"{number}.jpg,{number}" for number in range(1, 2 * BLOCK_ROWS + 2)]
    wrong = (1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS + 1)
    for number in wrong:
        lines[number - 1] += ",surplus"
    path = write(tmp_path / "list.csv", "\n".join(["path,x", *lines]))
    rows = list(read_rows(path))
    assert [number for number, _ in rows] == list(range(1, len(lines) + 1))
    for number, row in rows:
        if number in wrong:
            assert str(row).startswith(f"{path}, row {number}: 3 fields, expected 2")
        else:
            assert row == ListedRow(f"{number}.jpg", None, {"x": number})
    write(tmp_path / "list.csv", "\n".join(["path,x", *lines, '"open']))
    with pytest.raises(SourceError, match=f"row {len(lines) + 1}: unexpected end of data"):
        list(read_rows(path))
