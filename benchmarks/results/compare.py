"""Two runs beside each other: differences, and which of them are more than noise.

Rows are paired by suite, task and metric. Where both documents hold what each query scored, the
difference is that of the queries they have in common, with a paired bootstrap interval (95 %).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.results.document import Document
from benchmarks.results.tables import Result
from retrieval.evaluation.bootstrap import paired_interval

Key = tuple[str, str, str]
"""Suite, task and metric."""

NO_VALUES = "no interval: the values of each query are not in both documents"
NO_COMMON = "no interval: no query is in both documents"


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure in two runs.

    Attributes:
        a: What the first document says, b: the second.
        difference: b - a; over the common queries where there are some. None where a figure is.
        low: Of the interval of the difference, high: likewise; None where there can be none.
        queries: Queries in common, None where there is no interval.
        verdict: In words: which is higher, or noise, or why nothing can be said.
        notes: What else differs.
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
    """All that two documents have in common, and what they have not.

    Attributes:
        rows: Figures that are in both, in the order of the first.
        only_in_a: Figures of the first alone, only_in_b: of the second alone.
        machines: What differs in where and with what they were measured: name, a, b.
    """

    rows: tuple[Difference, ...]
    only_in_a: tuple[Key, ...]
    only_in_b: tuple[Key, ...]
    machines: tuple[tuple[str, str, str], ...]

    def as_json(self) -> dict[str, object]:
        """The object that `bench compare --format json` prints."""
        names = ("suite", "task", "metric")
        return {
            "rows": [asdict(row) for row in self.rows],
            "only_in_a": [dict(zip(names, key, strict=True)) for key in self.only_in_a],
            "only_in_b": [dict(zip(names, key, strict=True)) for key in self.only_in_b],
            "machines": [
                dict(zip(("name", "a", "b"), told, strict=True)) for told in self.machines
            ],
        }


def compare(a: Document, b: Document) -> Comparison:
    """Set two documents beside each other."""
    one, other = _by_key(a), _by_key(b)
    values = _values(a), _values(b)
    return Comparison(
        rows=tuple(
            _difference(one[key], other[key], values[0].get(key), values[1].get(key))
            for key in one
            if key in other
        ),
        only_in_a=tuple(key for key in one if key not in other),
        only_in_b=tuple(key for key in other if key not in one),
        machines=tuple(_told_apart(_flat(a.machine), _flat(b.machine))),
    )


def _by_key(document: Document) -> dict[Key, Result]:
    return {(row.suite, row.task, row.metric): row for row in document.results}


def _values(document: Document) -> dict[Key, dict[str, float]]:
    """What each query scored, by its id, of every figure that has that."""
    return {
        (entry.suite, entry.task, metric): dict(zip(entry.ids, column, strict=True))
        for entry in document.queries
        for metric, column in entry.values.items()
    }


def _difference(
    one: Result, other: Result, first: dict[str, float] | None, second: dict[str, float] | None
) -> Difference:
    notes = []
    if one.pool != other.pool:
        notes.append(f"pools differ: {_told(one.pool)} and {_told(other.pool)}")
    low = high = queries = None
    difference = None
    if one.value is None or other.value is None:
        verdict = "not measured in both"
    elif first is None or second is None:
        difference, verdict = other.value - one.value, NO_VALUES
    elif not (common := [query for query in first if query in second]):
        difference, verdict = other.value - one.value, NO_COMMON
    else:
        queries = len(common)
        if queries < max(len(first), len(second)):
            notes.append(f"over the {queries:,} queries in common, of {len(first):,} "
                         f"and {len(second):,}")  # fmt: skip
        pairs = np.array([(first[query], second[query]) for query in common])
        difference = float(np.mean(pairs[:, 1] - pairs[:, 0]))
        low, high = paired_interval(pairs[:, 0], pairs[:, 1])
        verdict = _verdict(pairs, low, high)
    return Difference(
        one.suite, one.task, one.metric, one.value, other.value,
        difference, low, high, queries, verdict, tuple(notes),
    )  # fmt: skip


def _verdict(pairs: NDArray[np.float64], low: float, high: float) -> str:
    if (pairs[:, 0] == pairs[:, 1]).all():
        return "equal for every query"
    if low <= 0 <= high:
        return "noise: the interval holds 0"
    return "B is higher" if low > 0 else "B is lower"


# ---------------------------------------------------------------- the machines


def _flat(machine: Mapping[str, object]) -> dict[str, object]:
    """Libraries one by one, beside the rest."""
    flat = dict(machine)
    libraries = flat.pop("libraries", {})
    return flat | (libraries if isinstance(libraries, dict) else {"libraries": libraries})


def _told_apart(
    one: Mapping[str, object], other: Mapping[str, object]
) -> list[tuple[str, str, str]]:
    return [
        (name, _told(one.get(name)), _told(other.get(name)))
        for name in dict.fromkeys([*one, *other])
        if one.get(name) != other.get(name)
    ]


def _told(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else str(value)
