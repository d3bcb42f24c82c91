"""Groups the rows of sources by item and merges sources of several spaces."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.exchange.item_rows import ItemReader
from retrieval.exchange.row_groups import ImportedItem, RowGroup, run_starts
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
        hashes: list[NDArray[np.int64]] = []
        last: str | None = None
        for file in self.source.files:
            first = 0
            for descriptions in file.descriptions(self.reader.path_columns):
                uris = self.reader.uris(descriptions, file.path, first)
                first += descriptions.count
                starts = run_starts(uris)
                if len(uris) and uris[0].as_py() == last:
                    starts = starts[1:]
                if len(uris):
                    last = uris[-1].as_py()
                names = uris.take(pa.array(starts)).to_pylist()
                hashes.append(np.fromiter(map(hash, names), np.int64, len(names)))
        keys, counts = np.unique(
            np.concatenate([*hashes, np.empty(0, np.int64)]), return_counts=True
        )
        several = counts > 1
        return dict(zip(keys[several].tolist(), counts[several].tolist(), strict=True))

    def _runs(self, scattered: Mapping[int, int]) -> Iterator[RowGroup | ImportedItem]:
        """Yield runs of consecutive rows of one item, across block boundaries.

        Args:
            scattered: Hashes of the uris of items with several runs, which are in no group.
        """
        pending: ImportedItem | None = None
        for group, edges in self._groups():
            for piece in _pieces(group, scattered, edges, ordered=self.exported):
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

    def _groups(self) -> Iterator[tuple[RowGroup, set[int]]]:
        """Yield each block as a group, with the positions of items that other blocks continue."""
        held: RowGroup | None = None
        edges: set[int] = set()
        for block in self.source.blocks():
            group = RowGroup.of_block(block, self.space, self.reader)
            if not len(group.uris):
                continue
            continued = held is not None and held.uris[-1].as_py() == group.uris[0].as_py()
            if held is not None:
                yield held, edges | ({len(held.uris) - 1} if continued else set())
            held, edges = group, {0} if continued else set()
        if held is not None:
            yield held, edges


def _pieces(
    group: RowGroup, scattered: Mapping[int, int], edges: set[int], *, ordered: bool
) -> Iterator[RowGroup | ImportedItem]:
    """Split a group: scattered items, and the first and last if in `edges`, are single."""
    count = len(group.uris)
    single = edges
    if scattered:
        uris = enumerate(group.uris.to_pylist())
        single = edges | {position for position, uri in uris if hash(uri) in scattered}
    if group.descriptions.columns is None or len(single - edges) * SINGLE_SHARE >= count:
        yield from group.items(ordered=ordered)
        return
    first = 0
    for position in sorted(single):
        if first < position:
            yield group.slice(first, position)
        yield from group.slice(position, position + 1).items(ordered=ordered)
        first = position + 1
    if first < count:
        yield group.slice(first, count)


def merge_streams(streams: Sequence[ItemStream]) -> Iterator[RowGroup | list[ImportedItem]]:
    """Yield each item with its rows in every source; several exports have one order of items."""
    if len(streams) == 1:
        for piece in streams[0].pieces():
            yield piece if isinstance(piece, RowGroup) else [piece]
        return
    merged = heapq.merge(*(stream.items() for stream in streams), key=attrgetter("order"))
    for _, parts in groupby(merged, key=attrgetter("order", "uri")):
        yield list(parts)
