from pathlib import Path

import numpy as np
import pytest

from benchmarks.score.lines import Record, read_json, read_jsonl
from retrieval.errors import SourceError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "f.jsonl: is empty"),
        (b'{"a": 1}\n\n', "line 2: not JSON"),
        (b'{"a": 1}\n{"a" 2}\n', "line 2: not JSON .Expecting ':' delimiter, column 6"),
        (b'{"a": 1}\n[1]\n', r"line 2: \[1\] is not a JSON object"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"[" * 100_000, "line 1: not readable JSON"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        read_jsonl(path)


def test_json_over_several_lines_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text('{\n "a": 1,\n "b" 2\n}')
    with pytest.raises(SourceError, match=r"f\.json, line 3: not JSON"):
        read_json(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.json: cannot be read"):
        read_json(tmp_path / "none.json")
    with pytest.raises(SourceError, match="cannot be read"):
        read_jsonl(tmp_path)


def test_field_41_integers_of_any_size_are_read_as_doubles() -> None:
    record = Record("f", {"x": [[0, 10**25], [1, 2.5]]})
    found = record.windows("x", record.items("x"), 2)
    assert found.dtype == np.float64
    assert found.tolist() == [[0.0, 1e25], [1.0, 2.5]]
    assert Record("f", {"n": 10**25}).number("n") == 1e25


@pytest.mark.parametrize(
    "value", [None, True, "1", float("nan"), float("inf"), 10**400, [1], {"a": 1}]
)
def test_field_41_values_that_are_not_numbers_are_refused(value: object) -> None:
    with pytest.raises(SourceError, match="expected finite numbers"):
        Record("f", {"x": [0.5, value]}).array("x", [0.5, value])


def test_field_41_true_is_not_a_name() -> None:
    with pytest.raises(SourceError, match="expected a number or text"):
        Record("f", {"qid": True}).key("qid")
