import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.results.compare import NO_COMMON, NO_VALUES, compare
from benchmarks.results.document import ResultDocument
from benchmarks.results.outcome import QueryValues, Result
from benchmarks.results.tables import as_json
from retrieval.errors import SourceError
from retrieval.evaluation.bootstrap import paired_interval
from support.commands import run

MACHINE = {"cores": 2, "commit": "abc", "libraries": {"numpy": "2.4"}}


def document(
    values: dict[str, list[float]], ids: list[str] | None = None, pool: int = 9
) -> ResultDocument:
    count = len(next(iter(values.values())))
    results = [
        Result("s", "t", name, float(np.mean(each)), pool=pool) for name, each in values.items()
    ]
    ids = ids or [f"q{number}" for number in range(count)]
    return ResultDocument(MACHINE, results, [QueryValues("s", "t", ids, values)])


def test_a_clear_difference_has_an_interval_without_zero() -> None:
    one = [0.0, 1.0] * 50
    other = [0.0, 1.0] * 40 + [1.0] * 20
    (row,) = compare(document({"R@1": one}), document({"R@1": other})).rows
    assert (row.a, row.b) == (0.5, 0.6)
    assert row.difference == pytest.approx(0.1)
    assert (row.low, row.high) == paired_interval(one, other)
    assert row.low is not None
    assert 0 < row.low < 0.1 < (row.high or 0)
    assert (row.queries, row.verdict, row.notes) == (100, "B is higher", ())
    (back,) = compare(document({"R@1": other}), document({"R@1": one})).rows
    assert back.verdict == "B is lower"
    assert back.difference == pytest.approx(-0.1)


def test_a_difference_within_the_interval_is_called_noise() -> None:
    one = [0.0, 1.0] * 50
    other = [1.0, 0.0] * 5 + [0.0, 1.0] * 44 + [1.0, 1.0]
    (row,) = compare(document({"R@1": one}), document({"R@1": other})).rows
    assert row.difference == pytest.approx(0.01)
    assert row.verdict == "noise: the interval holds 0"


def test_equal_runs_are_called_equal() -> None:
    (row,) = compare(document({"R@1": [0.0, 1.0]}), document({"R@1": [0.0, 1.0]})).rows
    assert (row.difference, row.low, row.high) == (0.0, 0.0, 0.0)
    assert row.verdict == "equal for every query"


def test_queries_are_paired_by_name_and_only_common_ones_count() -> None:
    a = document({"R@1": [1.0, 0.0, 0.0]}, ["x", "y", "only a"], pool=3)
    b = document({"R@1": [1.0, 1.0]}, ["y", "x"], pool=2)
    (row,) = compare(a, b).rows
    assert row.difference == 0.5  # y: 0 → 1, x: 1 → 1
    assert row.queries == 2
    assert row.notes == ("pools differ: 3 and 2", "over the 2 queries in common, of 3 and 2")
    none = document({"R@1": [1.0]}, ["elsewhere"])
    (row,) = compare(a, none).rows
    assert (row.verdict, row.low) == (NO_COMMON, None)


def test_figures_without_values_of_queries_have_no_interval() -> None:
    a, b = document({"R@1": [0.0, 1.0]}), document({"R@1": [1.0, 1.0]})
    (row,) = compare(a, replace(b, queries=())).rows
    assert (row.difference, row.low, row.high, row.queries) == (0.5, None, None, None)
    assert row.verdict == NO_VALUES


def test_a_figure_that_one_run_left_empty_is_not_compared() -> None:
    a = ResultDocument(MACHINE, [Result("s", "t", "m", None)])
    (row,) = compare(a, ResultDocument(MACHINE, [Result("s", "t", "m", 1.0)])).rows
    assert (row.difference, row.verdict) == (None, "not measured in both")


def test_figures_of_one_document_and_machine_differences_are_listed() -> None:
    a, b = document({"R@1": [1.0], "R@5": [1.0]}), document({"R@1": [1.0], "R@10": [1.0]})
    other = {"cores": 16, "commit": "abc", "libraries": {"numpy": "2.5", "faiss": "1"}}
    found = compare(a, replace(b, machine=other))
    assert found.only_in_a == (("s", "t", "R@5"),)
    assert found.only_in_b == (("s", "t", "R@10"),)
    assert found.machines == (
        ("cores", "2", "16"),
        ("numpy", "2.4", "2.5"),
        ("faiss", "unknown", "1"),
    )


def test_the_command_prints_a_table_and_json(tmp_path: Path) -> None:
    files = []
    for name, hits in (("a", [0.0] * 30), ("b", [1.0] * 29 + [0.0])):
        ids = [str(number) for number in range(30)]
        results = [
            Result("s", "t", "R@1", float(np.mean(hits)), pool=30),
            Result("s", "t", name, 1.0),
        ]
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(as_json(results, [QueryValues("s", "t", ids, {"R@1": hits})]))
    table = run("bench", "compare", *files)
    assert "B is higher" in table
    assert "+0.9667" in table
    assert "only in A: s: t, a" in table
    assert "only in B: s: t, b" in table
    document = json.loads(run("bench", "compare", *files, "--format", "json"))
    (row,) = document["rows"]
    assert row["verdict"] == "B is higher"
    assert 0 < row["low"] <= row["difference"] <= row["high"] <= 1
    assert document["only_in_a"] == [{"suite": "s", "task": "t", "metric": "a"}]
    assert document["machines"] == []


def test_a_file_that_is_not_a_document_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(SourceError, match="is not the JSON document"):
        run("bench", "compare", tmp_path / "a.json", tmp_path / "a.json")
