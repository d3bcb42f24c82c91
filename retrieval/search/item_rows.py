"""Reads single rows of Arrow tables of items: mapped columns, each value checked when it is read.

Arrow takes microseconds for each value that it converts to Python. Text and numbers are read from
the buffers of their columns instead (https://arrow.apache.org/docs/format/Columnar.html).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Literal

import pyarrow as pa

from retrieval.columns.arrow import cast
from retrieval.types import Scalar

ValueReader = Callable[[int], Scalar]
"""Returns the value of a row of one column."""

_FORMATS: dict[pa.DataType, Literal["q", "i", "d"]] = {
    pa.int64(): "q", pa.int32(): "i", pa.float64(): "d",
}  # fmt: skip
"""Numbers that need no conversion, by their code in the `struct` module."""


class ItemRows:
    """The rows of some tables of items, each read by itself.

    Args:
        tables: Tables in item order.
        types: Current type of each column; later shards can have widened that of a table.
    """

    def __init__(self, tables: Sequence[pa.Table], types: Mapping[str, pa.DataType]) -> None:
        self._batches = [batch for table in tables for batch in table.to_batches()]
        self._starts = [0, *accumulate(batch.num_rows for batch in self._batches)]
        self._types = types
        self._readers: dict[tuple[int, frozenset[str]], list[tuple[str, ValueReader]]] = {}

    def row(self, position: int, omitted: frozenset[str] = frozenset()) -> dict[str, Scalar]:
        """Read the values of a row that are not null.

        Args:
            position: Position of the row among those of all tables.
            omitted: Names of columns that are not read.

        Raises:
            IndexError: There is no such row.
            ValueError, OverflowError, pa.ArrowException: A value is damaged.
        """
        if not 0 <= position < self._starts[-1]:
            raise IndexError(position)
        number = bisect_right(self._starts, position) - 1
        readers = self._readers.get((number, omitted))
        if readers is None:
            readers = self._readers[number, omitted] = self._readers_of(number, omitted)
        position -= self._starts[number]
        return {name: value for name, read in readers if (value := read(position)) is not None}

    def _readers_of(self, number: int, omitted: frozenset[str]) -> list[tuple[str, ValueReader]]:
        batch = self._batches[number]
        columns = zip(batch.schema.names, batch.columns, strict=True)
        return [
            (name, _reader(column, self._types.get(name, column.type)))
            for name, column in columns
            if name not in omitted
        ]


def _reader(column: pa.Array, current: pa.DataType) -> ValueReader:
    if pa.types.is_dictionary(column.type):
        return _names_reader(column)
    if column.type != current:
        return lambda row: _validated(column, row, current)
    if pa.types.is_string(column.type):
        return _nullable(column, _text_reader(column))
    if column.type in _FORMATS:
        numbers = memoryview(column.buffers()[1]).cast(_FORMATS[column.type])[column.offset :]
        return _nullable(column, numbers.__getitem__)
    return lambda row: _validated(column, row, current)


def _validated(column: pa.Array, row: int, current: pa.DataType) -> Scalar:
    array = column.slice(row, 1)
    array.validate(full=True)
    value: Scalar = cast(array, current)[0].as_py()
    return value


def _nullable(column: pa.Array, read: ValueReader) -> ValueReader:
    """Return None for rows whose bit in the validity bitmap is 0."""
    bits, offset = column.buffers()[0], column.offset
    if bits is None:
        return read
    valid = memoryview(bits)

    def read_valid(row: int) -> Scalar:
        bit = offset + row
        return read(row) if valid[bit >> 3] >> (bit & 7) & 1 else None

    return read_valid


def _text_reader(column: pa.StringArray) -> ValueReader:
    """Check offsets before each read: a flipped bit can change an offset to any address."""
    _, offset_buffer, text_buffer = column.buffers()
    offsets = memoryview(offset_buffer).cast("i")[column.offset :]
    text = memoryview(b"" if text_buffer is None else text_buffer)
    size = len(text)

    def read(row: int) -> str:
        start, end = offsets[row], offsets[row + 1]
        if not 0 <= start <= end <= size:
            raise ValueError(f"a text has the offsets {start} and {end} in {size} bytes")
        return str(text[start:end], "utf-8")

    return read


def _names_reader(column: pa.DictionaryArray) -> ValueReader:
    """Look names up in Python: creating a scalar of a dictionary is slow."""
    names, codes = column.dictionary.to_pylist(), column.indices

    def read(row: int) -> Scalar:
        code = codes[row].as_py()
        if code is None:
            return None
        if not 0 <= code < len(names):
            raise ValueError(f"a code is {code}, there are {len(names)} names")
        name: Scalar = names[code]
        return name

    return read
