"""Reads prediction and truth files of JSON; errors name the file and line."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import SourceError
from retrieval.errors import short_repr as shown


@dataclass(frozen=True, slots=True)
class Record:
    """One JSON object of a file.

    Attributes:
        where: The file and the line or entry, for messages.
        fields: The object.
    """

    where: str
    fields: Mapping[str, Any]

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def __getitem__(self, name: str) -> Any:
        """Return a field.

        Raises:
            SourceError: The field is missing.
        """
        if name not in self.fields:
            raise SourceError(f"{self.where}: lacks {name!r}")
        return self.fields[name]

    def key(self, name: str) -> Hashable:
        """Return a field that is an id: a number or a text."""
        value = self[name]
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise SourceError(
                f"{self.where}: {name!r} is {shown(value)}, expected a number or text"
            )
        return value

    def number(self, name: str) -> float:
        """Return a field that is a finite number."""
        value = self[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SourceError(f"{self.where}: {name!r} is {shown(value)}, expected a number")
        return float(self.array(name, [value])[0])

    def items(self, name: str) -> list[Any]:
        """Return a field that is a list."""
        value = self[name]
        if not isinstance(value, list):
            raise SourceError(f"{self.where}: {name!r} is {shown(value)}, expected a list")
        return value

    def array(self, name: str, values: list[Any], dimensions: int = 1) -> NDArray[Any]:
        """Convert values of a field to an array of finite integers or floats.

        Integers beyond 64 bits become floats, as in the evaluators.

        Raises:
            SourceError: A value is not a finite number, or lists differ in length.
        """
        try:
            array = np.array(values)
            if array.dtype == object and _are_numbers(values):
                array = array.astype(np.float64)
        except (ValueError, OverflowError):
            array = np.empty(0, dtype=object)
        if array.dtype.kind in "if" and not _are_numbers(values):  # a list with true or false
            array = np.empty(0, dtype=object)
        if array.dtype.kind not in "if" or not np.isfinite(array).all():
            raise SourceError(
                f"{self.where}: {name!r} holds {shown(values)}, expected finite numbers"
            )
        if array.size and array.ndim != dimensions:
            raise SourceError(
                f"{self.where}: {name!r} holds {shown(values)}, which has lists in lists"
            )
        return array

    def windows(
        self, name: str, values: list[Any], numbers: int, *, exactly: bool = False
    ) -> NDArray[np.float64]:
        """Return the first numbers of each window, (windows, numbers).

        Raises:
            SourceError: A window has fewer numbers, or more and `exactly` is set.
        """
        for value in values if exactly else ():
            if isinstance(value, list) and len(value) > numbers:
                raise SourceError(
                    f"{self.where}: {name!r} holds {shown(value)}, expected {numbers} numbers "
                    "(the official evaluator stops here too)"
                )
        heads = [value[:numbers] if isinstance(value, list) else value for value in values]
        for head, value in zip(heads, values, strict=True):
            if not isinstance(head, list) or len(head) < numbers:
                raise SourceError(
                    f"{self.where}: {name!r} holds {shown(value)}, expected {numbers} numbers"
                )
        return self.array(name, heads, 2).astype(np.float64).reshape(-1, numbers)


def _are_numbers(value: object) -> bool:
    """Tell whether a value or nested list holds only integers and floats."""
    if isinstance(value, list):
        return all(map(_are_numbers, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file with their numbers from 1.

    Raises:
        SourceError: The file cannot be read, or is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8") as file:
            yield from enumerate(file, 1)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: is not UTF-8 text") from error


def read_jsonl(path: Path) -> list[Record]:
    """Read the objects of a JSONL file, at least one.

    Raises:
        SourceError: The file cannot be read or is empty, or a line is not a JSON object.
    """
    records = []
    for line, text in read_lines(path):
        where = f"{path}, line {line}"
        records.append(as_record(where, _parsed(where, text)))
    if not records:
        raise SourceError(f"{path}: is empty")
    return records


def read_json(path: Path) -> Record:
    """Read the object of a JSON file.

    Raises:
        SourceError: The file cannot be read, or is not a JSON object.
    """
    return as_record(str(path), _read_value(path))


def read_json_list(path: Path) -> list[Any]:
    """Read the list of a JSON file.

    Raises:
        SourceError: The file cannot be read, or is not a JSON list.
    """
    value = _read_value(path)
    if not isinstance(value, list):
        raise SourceError(f"{path}: {shown(value)} is not a JSON list")
    return value


def as_record(where: str, value: object) -> Record:
    """Wrap a JSON object with its location.

    Raises:
        SourceError: The value is not an object.
    """
    if not isinstance(value, dict):
        raise SourceError(f"{where}: {shown(value)} is not a JSON object")
    return Record(where, value)


def _read_value(path: Path) -> object:
    return _parsed(str(path), "".join(line for _, line in read_lines(path)))


def _parsed(where: str, text: str) -> object:
    """Parse the JSON of a line or a file."""
    try:
        value: object = json.loads(text)
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if error.lineno > 1 else ""
        raise SourceError(f"{where}{line}: not JSON ({error.msg}, column {error.colno})") from error
    except (RecursionError, ValueError) as error:
        raise SourceError(f"{where}: not readable JSON ({error})") from error
    return value


def by_key(records: list[Record], name: str) -> dict[Hashable, list[Record]]:
    """Group records by one field, in the order of its first occurrence."""
    groups: dict[Hashable, list[Record]] = {}
    for record in records:
        groups.setdefault(record.key(name), []).append(record)
    return groups


def check_same_queries(
    predictions: Mapping[Hashable, Any], truth: Mapping[Hashable, Any], files: tuple[Path, Path]
) -> None:
    """Refuse predictions for other queries than those of the truth.

    Raises:
        SourceError: Some queries are in one file only. The official evaluators also stop there.
    """
    for queries, others, file in (
        (truth, predictions, files[0]),
        (predictions, truth, files[1]),
    ):
        missing = [key for key in queries if key not in others]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise SourceError(
                f"{file}: lacks the query {shown(missing[0])}{more}; both files must have the "
                "same queries (the official evaluator stops here too)"
            )
