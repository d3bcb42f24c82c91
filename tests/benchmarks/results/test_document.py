import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.results.document import read_document
from benchmarks.results.outcome import Outcome, QueryValues
from benchmarks.results.tables import Result, as_json, as_tables
from retrieval.errors import SourceError

RESULT = Result("s", "t", "R@1", 0.5, chance=0.01, pool=2, spread=0.1)
VALUES = QueryValues("s", "t", ["a", "b"], {"R@1": [1.0, 0.0], "IoU": [0.25, 1.0]})


def written(path: Path, **changes: Any) -> Path:
    raw = json.loads(as_json([RESULT], [VALUES]))
    path.write_text(json.dumps(raw | changes))
    return path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(as_json([RESULT], [VALUES, VALUES]))
    document = read_document(path)
    assert document.results == [RESULT]
    assert document.queries == [VALUES, VALUES]
    assert set(document.machine) >= {"processor", "commit", "date"}


def test_each_task_has_one_line_of_values() -> None:
    text = as_json([RESULT], [VALUES])
    (line,) = [line for line in text.splitlines() if '"ids"' in line]
    assert '"values": {"R@1": [1, 0], "IoU": [0.25, 1]}' in line
    assert "queries" not in as_json([RESULT])


def test_older_documents_have_no_queries(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(as_json([Result("s", "t", "m", None)]))
    assert read_document(path).queries == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"results": 3}, "machine must be an object"),
        ({"results": [{"suite": "s", "task": "t"}]}, "result 1 lacks a suite, task or metric"),
        ({"results": [{"suite": "s", "task": "t", "metric": "m", "value": "1"}]},
         "value of result 1 is no number"),
        ({"results": [{"suite": "s", "task": "t", "metric": "m", "colour": 1}]},
         "unknown key, 'colour'"),
        ({"results": 2 * [{"suite": "s", "task": "t", "metric": "m"}]}, "s, t, m stands there tw"),
        ({"queries": [{"suite": "s"}]}, "entry 1: no suite and task"),
        ({"queries": [{"suite": "s", "task": "t", "ids": [1], "values": {}}]}, "list of strings"),
        ({"queries": [{"suite": "s", "task": "t", "ids": ["a", "a"], "values": {}}]}, "twice"),
        ({"queries": [{"suite": "s", "task": "t", "ids": ["a"], "values": []}]}, "object of lists"),
        ({"queries": [{"suite": "s", "task": "t", "ids": ["a"], "values": {"m": []}}]},
         "m must have a number for each of 1 ids"),
        ({"queries": [{"suite": "s", "task": "t", "ids": ["a"], "values": {"m": [True]}}]},
         "m holds something that is no number"),
    ],
)  # fmt: skip
def test_a_malformed_document_is_one_error(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = written(tmp_path / "bad.json", **changes)
    with pytest.raises(SourceError, match="is no document of `bench run --out`") as error:
        read_document(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b"{}", 9_999 * b"["])
def test_what_is_no_document_is_one_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="is no document"):
        read_document(path)


def test_a_missing_document_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file or directory"):
        read_document(tmp_path / "none.json")


def test_outcomes_are_joined_and_figures_alone_are_one() -> None:
    whole = Outcome([RESULT], [VALUES]).joined(Outcome.of([RESULT]))
    assert whole == Outcome([RESULT, RESULT], [VALUES], [])
    assert Outcome.of(whole) is whole


def test_several_suites_have_a_table_each() -> None:
    tables = as_tables([RESULT, Result("other", "t", "R@1", 0.25)])
    assert tables.splitlines()[0] == "s"
    assert tables.count("| task |") == 2
    assert as_tables([RESULT]).splitlines()[2] == "| t | R@1 | 0.5 | 0.1 |  |  | 0.01 | 2 |"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": 1e308}, r"value of result 1 is no number of at most 1e\+300: 1e\+308"),
        ({"value": -1e308}, r"value of result 1 is no number of .*: -1e\+308"),
        ({"value": 10**400}, "value of result 1 is no number .*: 1000000"),
        ({"value": float("inf")}, "value of result 1 is no number .*: inf"),
        ({"metric": "\ud800"}, "result 1 holds a text that is not valid Unicode"),
        ({"x" * 100_000: 1}, "result 1 has an unknown key, 'xxx"),
    ],
)
def test_field_31_figures_that_cannot_be_compared_are_refused_by_place(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    row = {"suite": "s", "task": "t", "metric": "m", "value": 1.0} | change
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"machine": {}, "results": [row]}))
    with pytest.raises(SourceError, match=message) as caught:
        read_document(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"values": {"m": [0.5, 1e308]}},
            r"entry 1: m holds something .*: 1e\+308, of 'b'",
        ),
        ({"values": {"m": [0.5, 10**400]}}, "entry 1: m holds something .*: 1000"),
        ({"values": {"m": [0.5, None]}}, "entry 1: m holds something .*: None, of 'b'"),
        ({"values": {"\udc00": [0.5, 0.5]}}, "is not valid Unicode"),
        ({"ids": ["a", "\ud800"]}, "entry 1: ids must be a list of strings in valid Unicode"),
    ],
)
def test_field_31_values_of_queries_are_refused_by_place(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    entry = {"suite": "s", "task": "t", "ids": ["a", "b"], "values": {"m": [0.5, 0.5]}} | change
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"machine": {}, "results": [], "queries": [entry]}))
    with pytest.raises(SourceError, match=message) as caught:
        read_document(path)
    assert str(path) in str(caught.value)
