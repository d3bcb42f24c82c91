"""Lists as CSV: any encoding and usual delimiter, and columns with the type of all their fields."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TextIO

from retrieval.columns.notices import Notices
from retrieval.columns.types import EXACT_INTEGERS, ColumnType, joined
from retrieval.errors import SourceError
from retrieval.media.lists.encodings import TextEncoding
from retrieval.types import Scalar

DELIMITERS = ",;\t|"
MAX_FIELD_CHARACTERS = 1 << 20
_SNIFFED_CHARACTERS = 64 << 10
_EXACT_CHARACTERS = 16
"""A decimal of so many characters is a double without loss."""

NumberedFields = tuple[int, dict[str, str] | SourceError]
NumberedValues = tuple[int, dict[str, Scalar] | SourceError]


def read_csv(
    path: str,
    encoding: TextEncoding,
    notices: Notices,
    *,
    delimiter: str = ",",
    texts: Collection[str] = (),
    expected: Collection[str] = (),
) -> Iterator[NumberedValues]:
    """Yield the rows with typed values, numbered from 1 after the header.

    Reads the file twice: the type of a column is known only after its last row, and holding the
    rows would cost memory with the length of the list.

    Args:
        path: The file.
        encoding: Its encoding.
        notices: Told of columns that are renamed, or stay text for the sake of their digits.
        delimiter: What separates fields where the header does not tell.
        texts: Columns that stay text whatever they hold.
        expected: Columns of which one is in the header; the delimiter goes by them.

    Raises:
        SourceError: There is no header, or the file cannot be read beyond some row.
    """
    shape = _Shape.of(path, encoding, delimiter, expected)
    columns = {name: _Fields() for name in shape.names}
    for _, fields in _rows(path, encoding, shape):
        if not isinstance(fields, SourceError):
            for name, text in fields.items():
                columns[name].take(text)
    for name, problem in shape.problems.items():
        notices.add(f"{problem}; it is read as {name!r}", source=path)
    convert: dict[str, Callable[[str], Scalar]] = {}
    for name, column in columns.items():
        kind = ColumnType.STRING if name in texts else column.kind(name, path, notices)
        convert[name] = _CONVERTERS[kind]
    for number, fields in _rows(path, encoding, shape):
        if isinstance(fields, SourceError):
            yield number, fields
        else:
            yield number, {name: convert[name](v) if v else None for name, v in fields.items()}


# ---------------------------------------------------------------- types of fields


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _number(text: str) -> float | None:
    return None if text.lower() == "nan" else float(text)


_CONVERTERS: dict[ColumnType, Callable[[str], Scalar]] = {
    ColumnType.STRING: str,
    ColumnType.BOOL: lambda text: text.lower() == "true",
    ColumnType.INT64: int,
    ColumnType.DOUBLE: _number,
    ColumnType.TIMESTAMP: _time,
    ColumnType.DATE: date.fromisoformat,
}

# Numbers with leading zeros are names, as in 007.
_INTEGER = re.compile(r"-?(0|[1-9]\d*)", re.ASCII)
_DOUBLE = re.compile(r"-?(0|[1-9]\d*)?(\.\d*)?(?<=[\d.])(e[+-]?\d+)?|nan", re.ASCII | re.IGNORECASE)
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)


def _type_of(text: str) -> ColumnType:
    if text.lower() in ("true", "false"):
        return ColumnType.BOOL
    if _INTEGER.fullmatch(text):
        return ColumnType.INT64
    if text != "." and _DOUBLE.fullmatch(text):
        return ColumnType.STRING if math.isinf(float(text)) else ColumnType.DOUBLE
    shape = _TIME.fullmatch(text)
    if shape is not None:
        kind = ColumnType.TIMESTAMP if shape[1] else ColumnType.DATE
        try:
            _CONVERTERS[kind](text)
        except (ValueError, OverflowError):
            return ColumnType.STRING
        return kind
    return ColumnType.STRING


@dataclass(slots=True)
class _Fields:
    """What the fields of one column have in common."""

    found: ColumnType | None = None
    wide: bool = False  # an integer, or whole part, of 2^53 or more
    rounded: bool = False  # a decimal with more digits than its double
    problem: str | None = None

    def take(self, text: str) -> None:
        if not text or self.found is ColumnType.STRING:
            return
        kind = _type_of(text)
        before = self.found or kind
        if kind in (ColumnType.INT64, ColumnType.DOUBLE):
            kind = self._checked(kind, text)
        both = joined(before, kind, wide=self.wide)
        numbers = {before, kind} == {ColumnType.INT64, ColumnType.DOUBLE}
        if numbers and both is ColumnType.STRING:
            self.problem = "integers of 2^53 or more beside decimals"
        self.found = both

    def _checked(self, kind: ColumnType, text: str) -> ColumnType:
        if kind is ColumnType.DOUBLE and len(text) > _EXACT_CHARACTERS:
            self.rounded = self.rounded or Decimal(text) != Decimal(repr(float(text)))
        whole = text.lstrip("-").partition(".")[0]
        if len(whole) < 16 or not whole.isdigit():
            return kind
        self.wide = self.wide or int(whole[:20]) >= EXACT_INTEGERS
        if kind is ColumnType.DOUBLE:
            self.problem = "decimals with more digits than a double"
            return ColumnType.STRING
        if len(whole) > 19 or not -(2**63) <= int(text) < 2**63:
            self.problem = "integers beyond 64 bits"
            return ColumnType.STRING
        return kind

    def kind(self, name: str, path: str, notices: Notices) -> ColumnType:
        if self.found is ColumnType.STRING and self.problem is not None:
            notices.add(f"column {name!r} holds {self.problem}; it is stored as text", source=path)
        if self.found is ColumnType.DOUBLE and self.rounded:
            problem = "decimals with more digits than a double; the nearest doubles are stored"
            notices.add(f"column {name!r} holds {problem}", source=path)
        return self.found or ColumnType.STRING


# ---------------------------------------------------------------- rows of fields


@dataclass(frozen=True, slots=True)
class _Shape:
    """How the rows of a file are split, and what its columns are called."""

    delimiter: str
    names: list[str]
    first_line_is_hint: bool  # as `sep=;`, which Excel writes
    skip_spaces: bool
    problems: dict[str, str] = field(default_factory=dict)  # by the name that was given

    @classmethod
    def of(
        cls, path: str, encoding: TextEncoding, delimiter: str, expected: Collection[str]
    ) -> _Shape:
        csv.field_size_limit(MAX_FIELD_CHARACTERS)
        with encoding.open(path, newline="") as file:
            sample = file.read(_SNIFFED_CHARACTERS)
        lines = io.StringIO(sample, newline="").readlines()
        hint = re.fullmatch(r"sep=(.)\s*", lines[0]) if lines else None
        if hint is not None:
            delimiter = hint[1]
            lines = lines[1:]
        else:
            delimiter = _delimiter(lines, delimiter, expected)
        header = _header(lines, delimiter)
        names = [name.strip() for name in header]
        taken = {name for name in names if name.casefold() in expected}
        if not any(names) or (len(set(names)) < len(names) and not taken):
            raise SourceError(f"{path}: no header with distinct names; add one as first row")
        skip_spaces = any(name.startswith(" ") for name in header[1:])
        distinct, problems = _distinct(names)
        return cls(delimiter, distinct, hint is not None, skip_spaces, problems)


def _header(lines: Sequence[str], delimiter: str) -> list[str]:
    try:
        return next(filter(None, csv.reader(lines, delimiter=delimiter)), [])
    except csv.Error:
        return []


def _delimiter(lines: Sequence[str], usual: str, expected: Collection[str]) -> str:
    """The one that makes an expected column; else what the first rows suggest."""
    for delimiter in dict.fromkeys((usual, *DELIMITERS)):
        names = {name.strip().casefold() for name in _header(lines, delimiter)}
        if names & set(expected):
            return str(delimiter)
    try:
        sniffed: str = csv.Sniffer().sniff("".join(lines[:100]), DELIMITERS).delimiter
        return sniffed
    except csv.Error:
        return usual


def _distinct(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Names without gaps and repetitions, and what was wrong with those that changed."""
    distinct: list[str] = []
    problems: dict[str, str] = {}
    for place, name in enumerate(names, 1):
        new, number = name or f"column_{place}", 1
        while new in distinct or (new != name and new in names):
            number += 1
            new = f"{name or f'column_{place}'}_{number}"
        if new != name:
            what = f"a second column {name!r}" if name else f"column {place} without a name"
            problems[new] = what
        distinct.append(new)
    return distinct, problems


def _rows(path: str, encoding: TextEncoding, shape: _Shape) -> Iterator[NumberedFields]:
    with encoding.open(path, newline="") as file:
        if shape.first_line_is_hint:
            file.readline()
        yield from _fields(path, file, shape)


def _fields(path: str, file: TextIO, shape: _Shape) -> Iterator[NumberedFields]:
    rows = csv.reader(
        file, delimiter=shape.delimiter, skipinitialspace=shape.skip_spaces, strict=True
    )
    number = 0
    try:
        filled = filter(None, rows)
        next(filled, None)
        for number, fields in enumerate(filled, start=1):
            if len(fields) == len(shape.names):
                yield number, dict(zip(shape.names, fields, strict=True))
                continue
            yield (
                number,
                SourceError(
                    f"{path}, row {number}: {len(fields)} fields, expected {len(shape.names)} "
                    "as in the header; quote fields that hold the separator"
                ),
            )
    except csv.Error as error:
        raise SourceError(f"{path}, row {number + 1}: {error}; mend the row") from error
