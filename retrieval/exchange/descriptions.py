"""Rows that describe vectors, held as columns or one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import compress
from types import NoneType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.columns.arrow import ARROW_TYPES, python_values
from retrieval.columns.types import ColumnType
from retrieval.media.lists.formats import ListBlock, Row

_ARROW_TYPES: dict[type, pa.DataType] = {
    str: pa.string(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    datetime: ARROW_TYPES[ColumnType.TIMESTAMP],
    date: ARROW_TYPES[ColumnType.DATE],
}


@dataclass(frozen=True, slots=True)
class Descriptions:
    """Descriptions of n rows: columns, or rows of a table that differ in their columns.

    Attributes:
        count: n.
        columns: Arrays of length n by name; None if there are rows.
    """

    count: int
    columns: dict[str, pa.Array] | None
    _rows: Sequence[Row] = ()

    @classmethod
    def of_block(cls, block: ListBlock) -> Descriptions:
        """Hold the rows of a list, as columns if the values of each column have one type."""
        columns = _arrays(block.columns())
        return cls(block.count, columns, () if columns else tuple(block.rows()))

    @classmethod
    def of_batch(cls, batch: pa.RecordBatch) -> Descriptions:
        """Hold the columns of a batch; of columns of one name, the last counts."""
        return cls(batch.num_rows, dict(zip(batch.schema.names, batch.columns, strict=True)))

    def rows(self) -> list[Row]:
        """Return the rows as mappings from column names to Python values."""
        if self.columns is None:
            return list(self._rows)
        columns = {name: python_values(column) for name, column in self.columns.items()}
        return [
            {name: values[row] for name, values in columns.items()} for row in range(self.count)
        ]

    def slice(self, first: int, last: int) -> Descriptions:
        """Return the descriptions of rows first … last - 1."""
        if self.columns is None:
            return Descriptions(last - first, None, self._rows[first:last])
        columns = {name: column[first:last] for name, column in self.columns.items()}
        return Descriptions(last - first, columns)

    def select(self, rows: NDArray[np.bool_]) -> Descriptions:
        """Return the descriptions of some rows, given by one bool per row."""
        if self.columns is None:
            return Descriptions(int(rows.sum()), None, tuple(compress(self._rows, rows)))
        mask = pa.array(rows)
        columns = {name: column.filter(mask) for name, column in self.columns.items()}
        return Descriptions(int(rows.sum()), columns)


def _arrays(columns: Mapping[str, Sequence[object]]) -> dict[str, pa.Array] | None:
    """Convert columns; None if one has values of several or other types."""
    arrays = {}
    for name, values in columns.items():
        types = set(map(type, values)) - {NoneType}
        arrow_types = [_ARROW_TYPES.get(each) for each in types] or [pa.null()]
        if len(arrow_types) > 1 or arrow_types[0] is None:
            return None
        try:
            arrays[name] = pa.array(values, arrow_types[0])
        except (pa.ArrowException, ValueError, OverflowError):  # long integers, lone surrogates
            return None
    return arrays
