"""Sources as streams of items: the rows of each joined, several exports side by side."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.exchange.describe import Describer
from retrieval.exchange.layouts import Layout
from retrieval.exchange.pieces import Block, Row
from retrieval.types import Space


@dataclass(frozen=True, slots=True)
class ForeignItem:
    """One item of one source: the rows of a uri.

    `order` is its place among the items of all sources that are read together.
    """

    order: int
    uri: str
    space: Space
    path: Path
    first_row: int
    vectors: NDArray[np.floating]
    rows: list[Row]
    describer: Describer

    @property
    def place(self) -> str:
        """Where its first row is, for messages."""
        return f"{self.path}, row {self.first_row}"

    def joined(self, other: ForeignItem) -> ForeignItem:
        """The item with further rows."""
        self.rows.extend(other.rows)
        return replace(self, vectors=np.concatenate([self.vectors, other.vectors]))


@dataclass(frozen=True, slots=True)
class Stream:
    """A layout whose vectors lie in one space."""

    layout: Layout
    space: Space
    describer: Describer
    exported: bool

    def items(self) -> Iterator[ForeignItem]:
        """Join the rows of an item, wherever they are; an item comes once its last row is read."""
        groups_left = self._scattered()
        held: dict[int, ForeignItem] = {}
        for item in self._neighbours():
            key = hash(item.uri)
            if key not in groups_left:
                yield item
                continue
            groups_left[key] -= 1
            held[key] = held[key].joined(item) if key in held else item
            if not groups_left[key]:
                yield held.pop(key)

    def _scattered(self) -> dict[int, int]:
        """How many groups of neighbouring rows the items have that have several.

        Items go by the hash of their uri, for the uris of all rows could fill memory. Two items of
        one hash are both held until the rows of both are read.
        """
        uris = (
            self.describer.uri(row, f"{piece.path.absolute()}#{number}")
            for piece in self.layout.pieces
            for number, row in enumerate(piece.names(self.describer.path_columns))
        )
        seen: set[int] = set()
        groups: dict[int, int] = {}
        for uri, _ in groupby(uris):
            key = hash(uri)
            if key in seen:
                groups[key] = groups.get(key, 1) + 1
            seen.add(key)
        return groups

    def _neighbours(self) -> Iterator[ForeignItem]:
        """Join the neighbouring rows of an item, also over the borders of blocks."""
        waiting: ForeignItem | None = None
        for block in self.layout.blocks():
            for item in self._items_of(block):
                if waiting is not None and waiting.uri == item.uri:
                    waiting = waiting.joined(item)
                    continue
                if waiting is not None:
                    yield waiting
                waiting = item
        if waiting is not None:
            yield waiting

    def _items_of(self, block: Block) -> Iterator[ForeignItem]:
        uris = [
            self.describer.uri(row, f"{block.path.absolute()}#{number}")
            for number, row in enumerate(block.rows, block.first_row)
        ]
        first = 0
        for uri, same in groupby(uris):
            last = first + sum(1 for _ in same)
            order = block.rows[first].get("item_id") if self.exported else 0
            yield ForeignItem(
                order if isinstance(order, int) else 0,
                uri,
                self.space,
                block.path,
                block.first_row + first,
                block.vectors[first:last],
                block.rows[first:last],
                self.describer,
            )
            first = last


def merged(streams: Sequence[Stream]) -> Iterator[list[ForeignItem]]:
    """Items with what every source has of them; several exports keep one order of items."""
    if len(streams) == 1:
        yield from ([item] for item in streams[0].items())
        return
    together = heapq.merge(*(stream.items() for stream in streams), key=attrgetter("order"))
    for _, same in groupby(together, key=attrgetter("order", "uri")):
        yield list(same)
