from pathlib import Path

import pytest

from benchmarks.score.lines import read_json, read_jsonl
from retrieval.errors import SourceError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "f.jsonl: is empty"),
        (b'{"a": 1}\n\n', "line 2: no JSON"),
        (b'{"a": 1}\n{"a" 2}\n', "line 2: no JSON .Expecting ':' delimiter, column 6"),
        (b'{"a": 1}\n[1]\n', r"line 2: \[1\] is no JSON object"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"[" * 100_000, "line 1: no JSON"),
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
    with pytest.raises(SourceError, match=r"f\.json, line 3: no JSON"):
        read_json(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.json: cannot be read"):
        read_json(tmp_path / "none.json")
    with pytest.raises(SourceError, match="cannot be read"):
        read_jsonl(tmp_path)
