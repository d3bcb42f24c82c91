"""Groups the rows of sources by item and merges sources of several spaces."""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from retrieval.exchange.item_rows import ItemReader
from retrieval.exchange.row_groups import ImportedItem, RowGroup
from retrieval.exchange.sources import VectorSource
from retrieval.types import Space

SINGLE_SHARE = 8
"""A block of which more than one item in this number is scattered is split into single items."""


@dataclass(frozen=True, slots=True)
class ItemStream:
    """The items of a source whose vectors belong to one space."""

    source: VectorSource
    space: Space
    reader: ItemReader
    exported: bool

    def items(self) -> Iterator[ImportedItem]:
        """Yield each item with all of its rows, once the last one is read."""
        for piece in self.pieces():
            if isinstance(piece, RowGroup):
                yield from piece.items(ordered=self.exported)
            else:
                yield piece

    def pieces(self) -> Iterator[RowGroup | ImportedItem]:
        """Yield all items as `items` does; items with neighbouring rows in columns as groups."""
        runs_left = self._count_runs()
        pending: dict[int, ImportedItem] = {}
        for piece in self._runs(runs_left):
            if isinstance(piece, RowGroup) or (key := hash(piece.uri)) not in runs_left:
                yield piece
                continue
            runs_left[key] -= 1
            pending[key] = pending[key].extended(piece) if key in pending else piece
            if not runs_left[key]:
                yield pending.pop(key)

    def _count_runs(self) -> dict[int, int]:
        """Count the runs of consecutive rows of each item that has several.

        Keys are hashes, because the uris of all rows could fill memory. Items whose uris have the
        same hash are held until the rows of all of them are read.
        """
        seen: set[int] = set()
        runs: dict[int, int] = {}
        last: str | None = None
        for file in self.source.files:
            first = 0
            for descriptions in file.descriptions(self.reader.path_columns):
                for uri in self.reader.uris(descriptions, file.path, first):
                    if uri == last:
                        continue
                    last, key = uri, hash(uri)
                    if key in seen:
                        runs[key] = runs.get(key, 1) + 1
                    seen.add(key)
                first += descriptions.count
        return runs

    def _runs(self, scattered: Container[int]) -> Iterator[RowGroup | ImportedItem]:
        """Yield runs of consecutive rows of one item, across block boundaries.

        Args:
            scattered: Hashes of the uris of items with several runs, which are in no group.
        """
        pending: ImportedItem | None = None
        for block in self.source.blocks():
            group = RowGroup.of_block(block, self.space, self.reader)
            for piece in _pieces(group, scattered, ordered=self.exported):
                if isinstance(piece, ImportedItem):
                    if pending is not None and pending.uri == piece.uri:
                        pending = pending.extended(piece)
                        continue
                    pending, piece = piece, pending
                elif pending is not None:
                    yield pending
                    pending = None
                if piece is not None:
                    yield piece
        if pending is not None:
            yield pending


def _pieces(
    group: RowGroup, scattered: Container[int], *, ordered: bool
) -> Iterator[RowGroup | ImportedItem]:
    """Split a group: its first and last item, which others of the source can continue, are single.

    Scattered items are single, too.
    """
    last = len(group.uris) - 1
    single = [position for position, uri in enumerate(group.uris) if hash(uri) in scattered]
    if group.descriptions.columns is None or len(single) * SINGLE_SHARE > last:
        yield from group.items(ordered=ordered)
        return
    first = 0
    for position in sorted({0, last, *single}):
        if first < position:
            yield group.slice(first, position)
        yield from group.slice(position, position + 1).items(ordered=ordered)
        first = position + 1


def merge_streams(streams: Sequence[ItemStream]) -> Iterator[RowGroup | list[ImportedItem]]:
    """Yield each item with its rows in every source; several exports have one order of items."""
    if len(streams) == 1:
        for piece in streams[0].pieces():
            yield piece if isinstance(piece, RowGroup) else [piece]
        return
    merged = heapq.merge(*(stream.items() for stream in streams), key=attrgetter("order"))
    for _, parts in groupby(merged, key=attrgetter("order", "uri")):
        yield list(parts)
