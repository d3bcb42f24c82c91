import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.results.document import read_document
from benchmarks.results.outcome import Outcome, QueryValues, Result
from benchmarks.results.tables import as_json, as_tables
from retrieval.errors import SourceError

RESULT = Result("s", "t", "R@1", 0.5, chance=0.01, pool=2, spread=0.1)
VALUES = QueryValues("s", "t", ["a", "b"], {"R@1": [1.0, 0.0], "IoU": [0.25, 1.0]})


def written(path: Path, **changes: Any) -> Path:
    raw = json.loads(as_json([RESULT], [VALUES]))
    path.write_text(json.dumps(raw | changes))
    return path


def test_a_written_document_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(as_json([RESULT], [VALUES, VALUES]))
    document = read_document(path)
    assert document.results == [RESULT]
    assert document.queries == [VALUES, VALUES]
    assert set(document.machine) >= {"processor", "commit", "date"}


def test_the_values_of_a_task_are_on_one_line() -> None:
    text = as_json([RESULT], [VALUES])
    (line,) = [line for line in text.splitlines() if '"ids"' in line]
    assert '"values": {"R@1": [1, 0], "IoU": [0.25, 1]}' in line
    assert "queries" not in as_json([RESULT])


def test_older_documents_have_no_queries(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(as_json([Result("s", "t", "m", None)]))
    assert not read_document(path).queries


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"results": 3}, "results: "),
        ({"machine": 3}, "machine: "),
        ({"results": [{"suite": "s", "task": "t"}]}, "results.0.metric is missing"),
        ({"results": [{"suite": "s", "task": "t", "metric": "m", "value": "1"}]},
         "results.0.value: "),
        ({"results": [{"suite": "s", "task": "t", "metric": "m", "colour": 1}]},
         "results.0.colour is an unknown key"),
        ({"results": 2 * [{"suite": "s", "task": "t", "metric": "m"}]},
         "results.1: s, t, m occurs twice"),
        ({"queries": [{"suite": "s"}]}, "queries.0.task is missing"),
        ({"queries": [{"suite": "s", "task": "t", "ids": [1], "values": {}}]}, "queries.0.ids.0: "),
        ({"queries": [{"suite": "s", "task": "t", "ids": ["a", "a"], "values": {}}]},
         "queries.0.ids: an id occurs twice"),
        ({"queries": [{"suite": "s", "task": "t", "ids": ["a"], "values": []}]},
         "queries.0.values: "),
        ({"queries": [{"suite": "s", "task": "t", "ids": ["a"], "values": {"m": []}}]},
         "queries.0.values.'m': 0 numbers for 1 ids"),
        ({"queries": [{"suite": "s", "task": "t", "ids": ["a"], "values": {"m": [True]}}]},
         "queries.0.values.m.0: "),
    ],
)  # fmt: skip
def test_a_malformed_document_is_one_error(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = written(tmp_path / "bad.json", **changes)
    with pytest.raises(SourceError, match="is not the JSON document") as error:
        read_document(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b"{}", 9_999 * b"["])
def test_other_content_is_one_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="is not the JSON document"):
        read_document(path)


def test_a_missing_document_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file or directory"):
        read_document(tmp_path / "none.json")


def test_outcomes_are_concatenated() -> None:
    merged = Outcome.merged([Outcome([RESULT], [VALUES]), Outcome([RESULT])])
    assert merged == Outcome([RESULT, RESULT], [VALUES], [])
    assert Outcome.merged([]) == Outcome([], [], [])


def test_several_suites_have_a_table_each() -> None:
    tables = as_tables([RESULT, Result("other", "t", "R@1", 0.25)])
    assert tables.splitlines()[0] == "s"
    assert tables.count("| task |") == 2
    assert as_tables([RESULT]).splitlines()[2] == "| t | R@1 | 0.5 | 0.1 |  |  | 0.01 | 2 |"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": 1e308}, r"results\.0\.value is 1e\+308, expected at most 1e\+300"),
        ({"value": -1e308}, r"results\.0\.value is -1e\+308, "),
        ({"value": 10**400}, r"results\.0\.value is inf, "),
        ({"pool": 10**400}, r"results\.0\.pool is 1000000"),
        ({"value": float("inf")}, r"results\.0\.value is inf, "),
        ({"value": float("nan")}, r"results\.0\.value is nan, "),
        ({"metric": "\ud800"}, "hex escape at line 1 column 74"),
        ({"x" * 100_000: 1}, r"results\.0\.xxx\w+ is an unknown key"),
    ],
)
def test_field_31_incomparable_figures_are_refused_with_their_position(
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
            r"queries\.0\.values\.'m' of the query 'b' is 1e\+308, ",
        ),
        ({"values": {"m": [0.5, 10**400]}}, r"queries\.0\.values\.'m' of the query 'b' is inf, "),
        ({"values": {"m": [0.5, None]}}, r"queries\.0\.values\.m\.1: .*None"),
        ({"values": {"\udc00": [0.5, 0.5]}}, "surrogate in hex escape at line 1 column 108"),
        ({"ids": ["a", "\ud800"]}, "hex escape at line 1 column 92"),
    ],
)
def test_field_31_values_of_queries_are_refused_with_their_position(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    entry = {"suite": "s", "task": "t", "ids": ["a", "b"], "values": {"m": [0.5, 0.5]}} | change
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"machine": {}, "results": [], "queries": [entry]}))
    with pytest.raises(SourceError, match=message) as caught:
        read_document(path)
    assert str(path) in str(caught.value)
