"""Consecutive rows of a source, grouped by item."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retrieval.exchange.descriptions import Descriptions
from retrieval.exchange.item_rows import ItemReader
from retrieval.exchange.vector_files import VectorBlock
from retrieval.media.lists.formats import Row
from retrieval.types import Space


@dataclass(frozen=True, slots=True)
class ImportedItem:
    """The rows of one item in one source.

    Attributes:
        order: Sort key of the item among all sources that are merged.
        uri: The item's uri.
        space: The space of the vectors.
        path: File of the first row.
        first_row: Number of the first row in the file.
        vectors: (n, dim) of any float dtype.
        rows: Descriptions of the n rows.
        reader: Converts the rows.
    """

    order: int
    uri: str
    space: Space
    path: Path
    first_row: int
    vectors: NDArray[np.floating]
    rows: list[Row]
    reader: ItemReader

    @property
    def location(self) -> str:
        """Position of the first row, for messages."""
        return f"{self.path}, row {self.first_row}"

    def extended(self, other: ImportedItem) -> ImportedItem:
        """Return the item with the rows of another one appended."""
        self.rows.extend(other.rows)
        return replace(self, vectors=np.concatenate([self.vectors, other.vectors]))


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows of one file, in which each item has consecutive rows.

    Attributes:
        path: The file.
        row_numbers: (n,) int64, numbers of the rows in the file, ascending.
        vectors: (n, dim) of any float dtype.
        descriptions: Of the n rows.
        uris: The uri of each item, as strings.
        starts: (items,) int64, positions of the items' first rows in the group.
        space: The space of the vectors.
        reader: Converts the rows.
    """

    path: Path
    row_numbers: NDArray[np.int64]
    vectors: NDArray[np.floating]
    descriptions: Descriptions
    uris: pa.Array
    starts: NDArray[np.int64]
    space: Space
    reader: ItemReader

    @classmethod
    def of_block(cls, block: VectorBlock, space: Space, reader: ItemReader) -> RowGroup:
        """Group the rows of a block; rows of one item that are not neighbours stay apart."""
        uris = reader.uris(block.descriptions, block.path, block.first_row)
        starts = run_starts(uris)
        return cls(
            block.path,
            np.arange(block.first_row, block.first_row + len(uris)),
            block.vectors,
            block.descriptions,
            uris if len(starts) == len(uris) else uris.take(pa.array(starts)),
            starts,
            space,
            reader,
        )

    @property
    def counts(self) -> NDArray[np.int64]:
        """The number of rows of each item, (items,) int64."""
        counts: NDArray[np.int64] = np.diff(self.starts, append=len(self.row_numbers))
        return counts

    def select(self, items: NDArray[np.bool_]) -> RowGroup:
        """Return the rows of some items, given by one bool per item."""
        if items.all():
            return self
        rows, counts = np.repeat(items, self.counts), self.counts[items]
        return replace(
            self,
            row_numbers=self.row_numbers[rows],
            vectors=self.vectors[rows],
            descriptions=self.descriptions.select(rows),
            uris=self.uris.filter(pa.array(items)),
            starts=np.cumsum(counts) - counts,
        )

    def slice(self, first: int, last: int) -> RowGroup:
        """Return the rows of items first … last - 1."""
        bounds = [*self.starts.tolist(), len(self.row_numbers)]
        a, b = bounds[first], bounds[last]
        return replace(
            self,
            row_numbers=self.row_numbers[a:b],
            vectors=self.vectors[a:b],
            descriptions=self.descriptions.slice(a, b),
            uris=self.uris[first:last],
            starts=self.starts[first:last] - a,
        )

    def first_rows(self) -> dict[str, pa.Array]:
        """Return the columns of the items' first rows, if the descriptions are columns."""
        columns = self.descriptions.columns or {}
        if len(self.uris) == len(self.row_numbers):
            return columns
        starts = pa.array(self.starts)
        return {name: column.take(starts) for name, column in columns.items()}

    def items(self, *, ordered: bool = False) -> Iterator[ImportedItem]:
        """Yield the items one by one.

        Args:
            ordered: Whether the rows have the ids of the items in the collection they are from.
        """
        rows = self.descriptions.rows()
        ends = [*self.starts.tolist(), len(rows)][1:]
        uris = self.uris.to_pylist()
        for uri, first, last in zip(uris, self.starts.tolist(), ends, strict=True):
            order = rows[first].get("item_id") if ordered else 0
            yield ImportedItem(
                order if isinstance(order, int) else 0,
                uri,
                self.space,
                self.path,
                int(self.row_numbers[first]),
                self.vectors[first:last],
                rows[first:last],
                self.reader,
            )


def run_starts(uris: pa.Array) -> NDArray[np.int64]:
    """Return the positions of the first of equal neighbours, (runs,) int64."""
    count = len(uris)
    differs = np.ones(count, np.bool_)
    if count > 1:
        changes = pc.not_equal(uris.slice(1), uris.slice(0, count - 1))
        differs[1:] = changes.to_numpy(zero_copy_only=False)
    return np.flatnonzero(differs)
