"""Parses the JSON documents that benchmark runs write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.results.outcome import QueryValues, Result
from retrieval.errors import SourceError, short_repr
from retrieval.files.documents import parse_json

MAX_NUMBER = 1e300
"""Larger numbers are refused, because their differences and means overflow."""

_NUMBERS = tuple(
    each.name for each in fields(Result) if each.name not in ("suite", "task", "metric")
)


@dataclass(frozen=True, slots=True)
class ResultDocument:
    """The document of one benchmark run.

    Attributes:
        machine: The machine and library versions, with the keys of `tables.machine`.
        results: The figures; suite, task and metric are unique.
        queries: Values of each query; empty for speed benchmarks and in older documents.
    """

    machine: Mapping[str, Any]
    results: Sequence[Result]
    queries: Sequence[QueryValues] = ()


def read_document(path: Path) -> ResultDocument:
    """Read a document.

    Raises:
        SourceError: The file cannot be read or is not a result document; the message names the
            field.
    """
    try:
        document = parse_json(ResultDocument, path.read_bytes())
        _check_results(document.results)
        for number, values in enumerate(document.queries):
            _check_values(values, f"queries.{number}")
    except OSError as error:
        raise SourceError(
            f"{path}: {error.strerror or error}; name the JSON document of a benchmark run"
        ) from error
    except ValueError as error:
        raise SourceError(f"{path} is not the JSON document of a benchmark run: {error}") from error
    return document


def _check_results(results: Sequence[Result]) -> None:
    keys = set()
    for number, result in enumerate(results):
        key = (result.suite, result.task, result.metric)
        if key in keys:
            raise ValueError(f"results.{number}: {', '.join(key)} occurs twice")
        keys.add(key)
        for name in _NUMBERS:
            value = getattr(result, name)
            if value is not None:
                _check_number(value, f"results.{number}.{name}")


def _check_values(values: QueryValues, field: str) -> None:
    if len(set(values.ids)) != len(values.ids):
        raise ValueError(f"{field}.ids: an id occurs twice")
    for metric, column in values.values.items():
        where = f"{field}.values.{short_repr(metric)}"
        if len(column) != len(values.ids):
            raise ValueError(f"{where}: {len(column)} numbers for {len(values.ids)} ids")
        for query, value in zip(values.ids, column, strict=True):
            _check_number(value, f"{where} of the query {short_repr(query)}")


def _check_number(value: float, field: str) -> None:
    if not -MAX_NUMBER <= value <= MAX_NUMBER:  # also refuses NaN
        raise ValueError(f"{field} is {short_repr(value)}, expected at most {MAX_NUMBER:g}")
