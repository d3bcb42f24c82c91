"""Read CSV lists in any encoding and with any common delimiter, with typed columns."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import filterfalse, groupby
from operator import itemgetter
from typing import TextIO

from retrieval.columns.notices import Notices
from retrieval.columns.types import EXACT_INTEGERS, ColumnType, common_type
from retrieval.errors import SourceError
from retrieval.media.lists.formats import (
    EXACT_CHARACTERS,
    ListBlock,
    ListFile,
    NumberedRow,
    named_columns,
)
from retrieval.types import Scalar

DELIMITERS = ",;\t|"
MAX_FIELD_CHARACTERS = 1 << 20
BLOCK_ROWS = 512
"""Rows that are split and converted together, so that they stay in the processor's cache."""

_SNIFFED_CHARACTERS = 64 << 10


def read_csv(file: ListFile, delimiter: str) -> Iterator[NumberedRow]:
    """Yield the rows of `read_csv_blocks` one by one, numbered from 1 after the header."""
    number = 1
    for block in read_csv_blocks(file, delimiter):
        rows = [block] if isinstance(block, SourceError) else block.rows()
        yield from enumerate(rows, number)
        number += len(rows)


def read_csv_blocks(file: ListFile, delimiter: str) -> Iterator[ListBlock | SourceError]:
    """Yield the rows after the header with typed values in columns, and the errors of others.

    The file is read twice: a column's type depends on its last row, and holding all rows would take
    memory in proportion to the list.

    Args:
        file: The list. Its expected columns identify the delimiter.
        delimiter: Separates fields unless the header shows another delimiter.

    Raises:
        SourceError: There is no header, or the file cannot be read beyond some row.
    """
    dialect = _Dialect.detect(file, delimiter)
    names = dialect.names if file.columns is None else named_columns(dialect.names, file.columns)
    fields_of = {name: itemgetter(dialect.names.index(name)) for name in names}
    scans = {name: _ColumnScan() for name in names if name not in file.texts}
    if scans or file.columns is None:
        for rows in _read_rows(file, dialect):
            if not isinstance(rows, SourceError):
                for name, scan in scans.items():
                    scan.add(list(map(fields_of[name], rows)))
    for name, problem in dialect.renamed.items():
        file.notices.add(f"{problem}; it is read as {name!r}", source=file.path)
    types = {name: scan.finish(name, file.path, file.notices) for name, scan in scans.items()}
    convert = {name: _CONVERTERS[types.get(name, ColumnType.STRING)] for name in names}
    for rows in _read_rows(file, dialect):
        if isinstance(rows, SourceError):
            yield rows
            continue
        columns = {
            name: [to(text) if text else None for text in map(fields_of[name], rows)]
            for name, to in convert.items()
        }
        yield ListBlock(len(rows), columns)


# ---------------------------------------------------------------- types of fields


def _parse_time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _parse_double(text: str) -> float | None:
    number = float(text)
    return None if math.isnan(number) else number


_CONVERTERS: dict[ColumnType, Callable[[str], Scalar]] = {
    ColumnType.STRING: str,
    ColumnType.BOOL: lambda text: text.lower() == "true",
    ColumnType.INT64: int,
    ColumnType.DOUBLE: _parse_double,
    ColumnType.TIMESTAMP: _parse_time,
    ColumnType.DATE: date.fromisoformat,
}

# Numbers with leading zeros are identifiers, such as 007.
_INTEGER = re.compile(r"-?(0|[1-9]\d*)", re.ASCII)
_DOUBLE = re.compile(r"-?((0|[1-9]\d*)(\.\d*)?|\.\d+)(e[+-]?\d+)?|nan", re.ASCII | re.IGNORECASE)
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)

_PLAIN = {
    ColumnType.INT64: re.compile(r"(?:-?(?:0|[1-9][0-9]{0,14}))?"),
    ColumnType.DOUBLE: re.compile(r"(?:(?!.{17})-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]*)?)?"),
}
"""Fields that change nothing in the scan of a column of a type, as most fields do."""


def _type_of(text: str) -> ColumnType:
    if text.lower() in ("true", "false"):
        return ColumnType.BOOL
    if _INTEGER.fullmatch(text):
        return ColumnType.INT64
    if _DOUBLE.fullmatch(text):
        return ColumnType.STRING if math.isinf(float(text)) else ColumnType.DOUBLE
    match = _TIME.fullmatch(text)
    if match is not None:
        column_type = ColumnType.TIMESTAMP if match[1] else ColumnType.DATE
        try:
            _CONVERTERS[column_type](text)
        except (ValueError, OverflowError):
            return ColumnType.STRING
        return column_type
    return ColumnType.STRING


@dataclass(slots=True)
class _ColumnScan:
    """Finds the type that all fields of one column have.

    Attributes:
        type: Common type of the fields so far.
        is_wide: Whether an integer, or the integer part of a decimal, is 2^53 or more.
        is_rounded: Whether a decimal has more digits than its double.
        problem: Why the column is text although its fields are numbers.
    """

    type: ColumnType | None = None
    is_wide: bool = False
    is_rounded: bool = False
    problem: str | None = None

    def add(self, texts: Sequence[str]) -> None:
        """Add the fields of some rows."""
        if self.type is None:
            self._add_field(next(filter(None, texts), ""))
        plain = _PLAIN.get(self.type) if self.type else None
        if self.type is not ColumnType.STRING:
            for text in filterfalse(plain.fullmatch, texts) if plain else texts:
                self._add_field(text)

    def _add_field(self, text: str) -> None:
        if not text or self.type is ColumnType.STRING:
            return
        field_type = _type_of(text)
        before = self.type or field_type
        if field_type in (ColumnType.INT64, ColumnType.DOUBLE):
            field_type = self._check_digits(field_type, text)
        both = common_type(before, field_type, wide=self.is_wide)
        numbers = {before, field_type} == {ColumnType.INT64, ColumnType.DOUBLE}
        if numbers and both is ColumnType.STRING:
            self.problem = "integers of 2^53 or more together with decimals"
        self.type = both

    def _check_digits(self, field_type: ColumnType, text: str) -> ColumnType:
        """Return STRING for a number that its type cannot represent."""
        if field_type is ColumnType.DOUBLE and len(text) > EXACT_CHARACTERS:
            nearest = repr(float(text))
            self.is_rounded |= text != nearest and Decimal(text) != Decimal(nearest)
        digits = text.lstrip("-").partition(".")[0]
        if len(digits) < 16 or not digits.isdigit():
            return field_type
        self.is_wide = self.is_wide or int(digits[:20]) >= EXACT_INTEGERS
        if field_type is ColumnType.DOUBLE:
            self.problem = "decimals with more digits than a double"
            return ColumnType.STRING
        if len(digits) > 19 or not -(2**63) <= int(text) < 2**63:
            self.problem = "integers beyond 64 bits"
            return ColumnType.STRING
        return field_type

    def finish(self, name: str, path: str, notices: Notices) -> ColumnType:
        """Return the column's type, with a notice if digits are affected."""
        if self.type is ColumnType.STRING and self.problem is not None:
            notices.add(f"column {name!r} holds {self.problem}; it is stored as text", source=path)
        if self.type is ColumnType.DOUBLE and self.is_rounded:
            problem = "decimals with more digits than a double; the nearest doubles are stored"
            notices.add(f"column {name!r} holds {problem}", source=path)
        return self.type or ColumnType.STRING


# ---------------------------------------------------------------- rows of fields


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How the rows of a file are split, and the names of its columns.

    Attributes:
        delimiter: Separates fields.
        names: Distinct column names.
        has_hint: Whether the first line is a hint such as `sep=;`, which Excel writes.
        skips_spaces: Whether spaces after the delimiter are dropped.
        renamed: Why a column was renamed, by its new name.
    """

    delimiter: str
    names: list[str]
    has_hint: bool
    skips_spaces: bool
    renamed: dict[str, str] = field(default_factory=dict)

    @classmethod
    def detect(cls, file: ListFile, delimiter: str) -> _Dialect:
        csv.field_size_limit(MAX_FIELD_CHARACTERS)
        with file.encoding.open(file.path, newline="") as text:
            sample = text.read(_SNIFFED_CHARACTERS)
        lines = io.StringIO(sample, newline="").readlines()
        hint = re.fullmatch(r"sep=(.)\s*", lines[0]) if lines else None
        if hint is not None:
            delimiter = hint[1]
            lines = lines[1:]
        else:
            delimiter = _detect_delimiter(lines, delimiter, file.expected)
        header = _parse_header(lines, delimiter)
        names = [name.strip() for name in header]
        has_expected = any(name.casefold() in file.expected for name in names)
        if not any(names) or (len(set(names)) < len(names) and not has_expected):
            raise SourceError(f"{file.path}: no header with distinct names; add one as first row")
        skips_spaces = any(name.startswith(" ") for name in header[1:])
        distinct, renamed = _make_distinct(names)
        return cls(delimiter, distinct, hint is not None, skips_spaces, renamed)


def _parse_header(lines: Sequence[str], delimiter: str) -> list[str]:
    try:
        return next(filter(None, csv.reader(lines, delimiter=delimiter)), [])
    except csv.Error:
        return []


def _detect_delimiter(lines: Sequence[str], default: str, expected: Collection[str]) -> str:
    """Return the delimiter that yields an expected column, or else fits the first rows."""
    for delimiter in dict.fromkeys((default, *DELIMITERS)):
        names = {name.strip().casefold() for name in _parse_header(lines, delimiter)}
        if names & set(expected):
            return str(delimiter)
    try:
        sniffed: str = csv.Sniffer().sniff("".join(lines[:100]), DELIMITERS).delimiter
        return sniffed
    except csv.Error:
        return default


def _make_distinct(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return distinct, non-empty names, and the problem of each one that is new."""
    distinct: list[str] = []
    renamed: dict[str, str] = {}
    for position, name in enumerate(names, 1):
        new, number = name or f"column_{position}", 1
        while new in distinct or (new != name and new in names):
            number += 1
            new = f"{name or f'column_{position}'}_{number}"
        if new != name:
            renamed[new] = (
                f"a second column {name!r}" if name else f"column {position} without a name"
            )
        distinct.append(new)
    return distinct, renamed


def _read_rows(file: ListFile, dialect: _Dialect) -> Iterator[list[list[str]] | SourceError]:
    """Yield the fields of rows in blocks, and in their places the errors of malformed rows."""
    width, number = len(dialect.names), 1
    with file.encoding.open(file.path, newline="") as text:
        if dialect.has_hint:
            text.readline()
        for block in _split_rows(file.path, text, dialect):
            for count, run in groupby(block, len):
                rows = list(run)
                if count == width:
                    yield rows
                else:
                    places = range(number, number + len(rows))
                    yield from (_width_error(file.path, place, count, width) for place in places)
                number += len(rows)


def _width_error(path: str, number: int, count: int, expected: int) -> SourceError:
    return SourceError(
        f"{path}, row {number}: {count} fields, expected {expected} as in the header; quote fields "
        "that hold the separator"
    )


def _split_rows(path: str, text: TextIO, dialect: _Dialect) -> Iterator[list[list[str]]]:
    """Yield the rows after the header in blocks, up to a row that cannot be split."""
    rows = csv.reader(
        text, delimiter=dialect.delimiter, skipinitialspace=dialect.skips_spaces, strict=True
    )
    filled = filter(None, rows)
    number, block = 1, list[list[str]]()
    try:
        next(filled, None)
        for fields in filled:
            block.append(fields)
            if len(block) == BLOCK_ROWS:
                yield block
                number, block = number + len(block), []
    except csv.Error as problem:
        yield block
        reason = f"{path}, row {number + len(block)}: {problem}; correct the row"
        raise SourceError(reason) from problem
    yield block
