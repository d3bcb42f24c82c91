"""Groups the rows of sources by item and merges sources of several spaces."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.exchange.item_rows import ItemReader, Row
from retrieval.exchange.sources import VectorSource
from retrieval.exchange.vector_files import VectorBlock
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
class ItemStream:
    """The items of a source whose vectors belong to one space."""

    source: VectorSource
    space: Space
    reader: ItemReader
    exported: bool

    def items(self) -> Iterator[ImportedItem]:
        """Yield each item with all of its rows, once the last one is read."""
        runs_left = self._count_runs()
        pending: dict[int, ImportedItem] = {}
        for item in self._runs():
            key = hash(item.uri)
            if key not in runs_left:
                yield item
                continue
            runs_left[key] -= 1
            pending[key] = pending[key].extended(item) if key in pending else item
            if not runs_left[key]:
                yield pending.pop(key)

    def _count_runs(self) -> dict[int, int]:
        """Count the runs of consecutive rows of each item that has several.

        Keys are hashes, because the uris of all rows could fill memory. Items whose uris have the
        same hash are held until the rows of all of them are read.
        """
        uris = (
            self.reader.uri(row, f"{file.path.absolute()}#{number}")
            for file in self.source.files
            for number, row in enumerate(file.descriptions(self.reader.path_columns))
        )
        seen: set[int] = set()
        runs: dict[int, int] = {}
        for uri, _ in groupby(uris):
            key = hash(uri)
            if key in seen:
                runs[key] = runs.get(key, 1) + 1
            seen.add(key)
        return runs

    def _runs(self) -> Iterator[ImportedItem]:
        """Yield runs of consecutive rows of one item, across block boundaries."""
        pending: ImportedItem | None = None
        for block in self.source.blocks():
            for item in self._runs_of_block(block):
                if pending is not None and pending.uri == item.uri:
                    pending = pending.extended(item)
                    continue
                if pending is not None:
                    yield pending
                pending = item
        if pending is not None:
            yield pending

    def _runs_of_block(self, block: VectorBlock) -> Iterator[ImportedItem]:
        uris = [
            self.reader.uri(row, f"{block.path.absolute()}#{number}")
            for number, row in enumerate(block.rows, block.first_row)
        ]
        first = 0
        for uri, run in groupby(uris):
            last = first + sum(1 for _ in run)
            order = block.rows[first].get("item_id") if self.exported else 0
            yield ImportedItem(
                order if isinstance(order, int) else 0,
                uri,
                self.space,
                block.path,
                block.first_row + first,
                block.vectors[first:last],
                block.rows[first:last],
                self.reader,
            )
            first = last


def merge_streams(streams: Sequence[ItemStream]) -> Iterator[list[ImportedItem]]:
    """Yield each item with its rows in every source; several exports have one order of items."""
    if len(streams) == 1:
        yield from ([item] for item in streams[0].items())
        return
    merged = heapq.merge(*(stream.items() for stream in streams), key=attrgetter("order"))
    for _, parts in groupby(merged, key=attrgetter("order", "uri")):
        yield list(parts)
