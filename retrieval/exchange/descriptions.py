"""Rows that describe vectors, held as columns or one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.columns.arrow import python_values

Row = Mapping[str, object]


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
    def of_rows(cls, rows: list[Row]) -> Descriptions:
        """Hold rows."""
        return cls(len(rows), None, tuple(rows))

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
            return Descriptions.of_rows(list(self._rows[first:last]))
        columns = {name: column[first:last] for name, column in self.columns.items()}
        return Descriptions(last - first, columns)

    def select(self, rows: NDArray[np.bool_]) -> Descriptions:
        """Return the descriptions of some rows, given by one bool per row."""
        if self.columns is None:
            return Descriptions.of_rows(list(compress(self._rows, rows)))
        mask = pa.array(rows)
        columns = {name: column.filter(mask) for name, column in self.columns.items()}
        return Descriptions(int(rows.sum()), columns)
