"""Compares two runs: differences of their figures with paired bootstrap intervals (95 %).

Figures are paired by suite, task and metric. If both documents hold the values of each query, the
difference is the mean over the queries that both have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.results.document import ResultDocument
from benchmarks.results.outcome import Result
from retrieval.evaluation.bootstrap import paired_interval

Key = tuple[str, str, str]
"""Suite, task and metric."""

NO_VALUES = "no interval: the values of each query are not in both documents"
NO_COMMON = "no interval: no query is in both documents"


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure in two runs.

    Attributes:
        a: Value in the first document.
        b: Value in the second document.
        difference: b - a, over the common queries if there are any. None if a value is missing.
        low: Lower end of the interval of the difference; None without an interval.
        high: Upper end.
        queries: Number of common queries; None without an interval.
        verdict: Which value is higher, or that the difference is noise, or why it is unknown.
        notes: Further differences, such as the pools.
    """

    suite: str
    task: str
    metric: str
    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    queries: int | None
    verdict: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences of two documents.

    Attributes:
        rows: Figures of both documents, in the order of the first.
        only_in_a: Figures of the first document only.
        only_in_b: Figures of the second document only.
        machines: Differences of machines and library versions: name, a, b.
    """

    rows: tuple[Difference, ...]
    only_in_a: tuple[Key, ...]
    only_in_b: tuple[Key, ...]
    machines: tuple[tuple[str, str, str], ...]

    def as_json(self) -> dict[str, object]:
        """Convert to the object that `bench compare --format json` prints."""
        names = ("suite", "task", "metric")
        return {
            "rows": [asdict(row) for row in self.rows],
            "only_in_a": [dict(zip(names, key, strict=True)) for key in self.only_in_a],
            "only_in_b": [dict(zip(names, key, strict=True)) for key in self.only_in_b],
            "machines": [dict(zip(("name", "a", "b"), row, strict=True)) for row in self.machines],
        }


def compare(a: ResultDocument, b: ResultDocument) -> Comparison:
    """Compare two documents."""
    results_a, results_b = _results_by_key(a), _results_by_key(b)
    values_a, values_b = _values_by_key(a), _values_by_key(b)
    return Comparison(
        rows=tuple(
            _difference(results_a[key], results_b[key], values_a.get(key), values_b.get(key))
            for key in results_a
            if key in results_b
        ),
        only_in_a=tuple(key for key in results_a if key not in results_b),
        only_in_b=tuple(key for key in results_b if key not in results_a),
        machines=tuple(_machine_differences(_flat(a.machine), _flat(b.machine))),
    )


def _results_by_key(document: ResultDocument) -> dict[Key, Result]:
    return {(row.suite, row.task, row.metric): row for row in document.results}


def _values_by_key(document: ResultDocument) -> dict[Key, dict[str, float]]:
    """Map each figure to its values by query id."""
    return {
        (entry.suite, entry.task, metric): dict(zip(entry.ids, column, strict=True))
        for entry in document.queries
        for metric, column in entry.values.items()
    }


def _difference(
    a: Result, b: Result, values_a: dict[str, float] | None, values_b: dict[str, float] | None
) -> Difference:
    notes = []
    if a.pool != b.pool:
        notes.append(f"pools differ: {_formatted(a.pool)} and {_formatted(b.pool)}")
    low = high = queries = None
    difference = None
    if a.value is None or b.value is None:
        verdict = "not measured in both"
    elif values_a is None or values_b is None:
        difference, verdict = b.value - a.value, NO_VALUES
    elif not (common := [query for query in values_a if query in values_b]):
        difference, verdict = b.value - a.value, NO_COMMON
    else:
        queries = len(common)
        if queries < max(len(values_a), len(values_b)):
            notes.append(f"over the {queries:,} queries in common, of {len(values_a):,} "
                         f"and {len(values_b):,}")  # fmt: skip
        pairs = np.array([(values_a[query], values_b[query]) for query in common])
        difference = float(np.mean(pairs[:, 1] - pairs[:, 0]))
        low, high = paired_interval(pairs[:, 0], pairs[:, 1])
        verdict = _verdict(pairs, low, high)
    return Difference(
        a.suite, a.task, a.metric, a.value, b.value,
        difference, low, high, queries, verdict, tuple(notes),
    )  # fmt: skip


def _verdict(pairs: NDArray[np.float64], low: float, high: float) -> str:
    if (pairs[:, 0] == pairs[:, 1]).all():
        return "equal for every query"
    if low <= 0 <= high:
        return "noise: the interval holds 0"
    return "B is higher" if low > 0 else "B is lower"


def _flat(machine: Mapping[str, object]) -> dict[str, object]:
    """Lift the library versions to the top level."""
    flat = dict(machine)
    libraries = flat.pop("libraries", {})
    return flat | (libraries if isinstance(libraries, dict) else {"libraries": libraries})


def _machine_differences(
    a: Mapping[str, object], b: Mapping[str, object]
) -> list[tuple[str, str, str]]:
    return [
        (name, _formatted(a.get(name)), _formatted(b.get(name)))
        for name in dict.fromkeys([*a, *b])
        if a.get(name) != b.get(name)
    ]


def _formatted(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else str(value)
