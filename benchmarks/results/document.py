"""The JSON document of a run, read back: `bench compare` and the page of results live on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.results.outcome import QueryValues
from benchmarks.results.tables import Result
from retrieval.errors import MAX_QUOTED, SourceError, short_repr

_TEXTS = ("suite", "task", "metric")
LARGEST = 1e300
"""Larger numbers are no figures: their differences and means overflow."""

_NO_NUMBER = f"no number of at most {LARGEST:g}"
_NUMBERS = tuple(field.name for field in fields(Result) if field.name not in _TEXTS)


@dataclass(frozen=True, slots=True)
class Document:
    """What `bench run --out` and `bench speed --out` write.

    Attributes:
        machine: Where and with what it was measured; its keys are those of `report.machine`.
        results: The figures; no two have the same suite, task and metric.
        queries: What every query scored; empty in documents of speed, and in older ones.
    """

    machine: Mapping[str, Any]
    results: Sequence[Result]
    queries: Sequence[QueryValues] = ()


def read_document(path: Path) -> Document:
    """Read a document.

    Raises:
        SourceError: It cannot be read, or is no such document; says what is wrong.
    """
    try:
        raw = json.loads(path.read_bytes())
        return _document(raw)
    except OSError as error:
        raise SourceError(
            f"{path}: {error.strerror or error}; name a document of `bench`"
        ) from error
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"{path} is no document of `bench run --out` or `bench speed --out`: {error}"
        ) from error


def _document(raw: object) -> Document:
    if not isinstance(raw, dict) or not {"machine", "results"} <= raw.keys():
        raise ValueError("expected an object with machine and results")
    machine, rows, queries = raw["machine"], raw["results"], raw.get("queries", [])
    if not (isinstance(machine, dict) and isinstance(rows, list) and isinstance(queries, list)):
        raise ValueError("machine must be an object, results and queries lists")
    results = [_result(row, number) for number, row in enumerate(rows, 1)]
    seen: set[tuple[str, str, str]] = set()
    for result in results:
        key = (result.suite, result.task, result.metric)
        if key in seen:
            raise ValueError(f"{', '.join(key)} stands there twice")
        seen.add(key)
    values = [_query_values(row, number) for number, row in enumerate(queries, 1)]
    return Document(machine, results, values)


def _result(row: object, number: int) -> Result:
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in _TEXTS):
        raise ValueError(f"result {number} lacks a suite, task or metric")
    if not all(_is_text(row[name]) for name in _TEXTS):
        raise ValueError(f"result {number} holds a text that is not valid Unicode")
    unknown = row.keys() - {*_TEXTS, *_NUMBERS}
    if unknown:
        raise ValueError(f"result {number} has an unknown key, {short_repr(min(unknown))}")
    for name in _NUMBERS:
        if row.get(name) is not None and not _is_number(row[name]):
            raise ValueError(f"{name} of result {number} is {_NO_NUMBER}: {short_repr(row[name])}")
    return Result(row["suite"], row["task"], row["metric"], **{k: row.get(k) for k in _NUMBERS})


def _query_values(row: object, number: int) -> QueryValues:
    where = f"queries, entry {number}"
    if not isinstance(row, dict) or not all(_is_text(row.get(k)) for k in ("suite", "task")):
        raise ValueError(f"{where}: no suite and task in valid Unicode")
    ids, values = row.get("ids"), row.get("values")
    if not isinstance(ids, list) or not all(map(_is_text, ids)):
        raise ValueError(f"{where}: ids must be a list of strings in valid Unicode")
    if len(set(ids)) != len(ids):
        raise ValueError(f"{where}: an id stands there twice")
    if not isinstance(values, dict):
        raise ValueError(f"{where}: values must be an object of lists")
    for metric, column in values.items():
        named = metric[:MAX_QUOTED]
        if not _is_text(metric):
            raise ValueError(f"{where}: {named!r} is not valid Unicode")
        if not isinstance(column, list) or len(column) != len(ids):
            raise ValueError(f"{where}: {named} must have a number for each of {len(ids)} ids")
        for query, value in zip(ids, column, strict=True):
            if not _is_number(value):
                raise ValueError(
                    f"{where}: {named} holds something that is {_NO_NUMBER}: "
                    f"{short_repr(value)}, of {short_repr(query)}"
                )
    return QueryValues(row["suite"], row["task"], ids, values)


def _is_number(value: object) -> bool:
    """A number whose differences and means are finite, too; integers may have any length."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -LARGEST <= value <= LARGEST
    )


def _is_text(value: object) -> bool:
    """A text without lone surrogates, which nothing can print."""
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)
