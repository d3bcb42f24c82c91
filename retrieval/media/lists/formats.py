"""Read the rows of JSONL and Parquet lists."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from retrieval.columns.notices import Notices
from retrieval.errors import SourceError
from retrieval.files.reading import check_regular
from retrieval.media.lists.encodings import TextEncoding

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, object]
NumberedRow = tuple[int, Row | SourceError]
"""Number of a row, and its values or its error."""

EXACT_CHARACTERS = 16
"""A decimal with no more characters than this is exact as a double."""

BATCH_ROWS = 4096
"""Rows of a Parquet list that are read together."""

BUFFER_BYTES = 1 << 20
"""Bytes of a column of a Parquet file that are read at once."""

_MAX_INT_DIGITS = 4_000
"""Python refuses to parse longer integers."""


@dataclass(frozen=True, slots=True)
class ListFile:
    """A list, and how to read it.

    Attributes:
        path: The file.
        encoding: Its text encoding.
        notices: Receives a notice for each value that is stored in another form.
        texts: Columns that are always text.
        expected: Names of which the header has one.
        columns: Columns that are needed, in any case; None needs all. Others can be left out.
    """

    path: str
    encoding: TextEncoding
    notices: Notices
    texts: Sequence[str] = ()
    expected: Sequence[str] = ()
    columns: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class ListBlock:
    """Consecutive rows of a list.

    Attributes:
        count: Number of rows.
        values: By column; or the rows, where rows can differ in their columns.
    """

    count: int
    values: Mapping[str, Sequence[object]] | Sequence[Row]

    def columns(self) -> Mapping[str, Sequence[object]]:
        """Return the values by column, None where a row has no value."""
        if isinstance(self.values, Mapping):
            return self.values
        names = dict.fromkeys(name for row in self.values for name in row)
        return {name: [row.get(name) for row in self.values] for name in names}

    def rows(self) -> Sequence[Row]:
        """Return the values by row."""
        if not isinstance(self.values, Mapping):
            return self.values
        if not self.values:
            return [{}] * self.count
        names, rows = tuple(self.values), zip(*self.values.values(), strict=True)
        return [dict(zip(names, row, strict=True)) for row in rows]


ListReader = Callable[[ListFile], Iterator[NumberedRow]]
"""Yields the rows of a list of one format, numbered from 1."""


def read_jsonl(file: ListFile) -> Iterator[NumberedRow]:
    """Read one JSON object per line, with JSON's types."""
    with file.encoding.open(file.path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = parse_exact_json(line)
            except (ValueError, RecursionError) as error:
                yield number, SourceError(f"{file.path}, row {number}: {error}; correct the line")
                continue
            if not isinstance(row, dict):
                row = SourceError(f"{file.path}, row {number}: expected an object, as {{…}}")
            yield number, row


def parse_exact_json(text: str | bytes) -> object:
    """Parse JSON; numbers that are not exact as a double become Decimal.

    Raises:
        ValueError: Not JSON.
        RecursionError: Nested too deeply.
    """
    if isinstance(text, bytes) or text.startswith("\ufeff") or len(text) > _MAX_INT_DIGITS:
        return json.loads(text, parse_float=_parse_float, parse_int=_parse_int)
    # `json.loads` would create a decoder for each line, and calling a function for each integer is
    # slow.
    return _DECODER.decode(text)


def _parse_float(text: str) -> float | Decimal:
    nearest = float(text)
    if len(text) <= EXACT_CHARACTERS or math.isinf(nearest):
        return nearest
    value = Decimal(text)
    return nearest if Decimal(repr(nearest)) == value else value


_DECODER = json.JSONDecoder(parse_float=_parse_float)


def _parse_int(text: str) -> int | Decimal:
    return int(text) if len(text) <= _MAX_INT_DIGITS else Decimal(text)


def read_parquet(file: ListFile) -> Iterator[NumberedRow]:
    """Read all columns except binary ones."""
    from retrieval.columns.arrow import python_values

    number = 0
    for batch in read_parquet_batches(file.path, file.notices, BATCH_ROWS):
        columns = [python_values(column) for column in batch.columns]
        for values in zip(*columns, strict=True):
            number += 1
            yield number, dict(zip(batch.schema.names, values, strict=True))


def read_parquet_batches(
    path: str, notices: Notices, rows: int, columns: Collection[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Read columns except binary ones, in batches of at most `rows` rows.

    Args:
        path: The file.
        notices: Receives a notice for each column that is left out.
        rows: Largest number of rows of a batch.
        columns: Names of the columns to read, in any case; None reads all.

    Raises:
        SourceError: The file cannot be read, or not beyond some row.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from retrieval.columns.arrow import is_binary

    number = 0
    try:
        check_regular(path)
        # Otherwise the whole file is read ahead and held.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES) as parquet:
            binary = [field.name for field in parquet.schema_arrow if is_binary(field.type)]
            for name in binary:
                notices.add(f"column {name!r} is binary; left out", source=path)
            names = [name for name in parquet.schema_arrow.names if name not in binary]
            if columns is not None:
                names = named_columns(names, columns)
            for batch in parquet.iter_batches(batch_size=rows, columns=names):
                yield batch
                number += batch.num_rows
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise SourceError(f"{path}, after row {number}: {reason}; write it again") from error


def named_columns(names: Sequence[str], columns: Collection[str]) -> list[str]:
    """Return the names that are in `columns`, exactly or in lower case."""
    return [name for name in names if name in columns or name.casefold() in columns]
