"""Sources as streams of items: neighbouring rows joined, several exports side by side."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from retrieval.exchange.describe import Describer
from retrieval.exchange.layouts import Layout
from retrieval.exchange.pieces import Block, Row
from retrieval.types import Space


@dataclass(frozen=True, slots=True)
class ForeignItem:
    """One item of one source: neighbouring rows of a uri.

    `order` is its place among the items of all sources that are read together.
    """

    order: int
    uri: str
    space: Space
    place: str
    vectors: NDArray[np.floating]
    rows: list[Row]
    describer: Describer


@dataclass(frozen=True, slots=True)
class Stream:
    """A layout whose vectors lie in one space."""

    layout: Layout
    space: Space
    describer: Describer
    exported: bool

    def items(self) -> Iterator[ForeignItem]:
        """Join the neighbouring rows of an item, also over the borders of blocks."""
        waiting: ForeignItem | None = None
        for block in self.layout.blocks():
            for item in self._items_of(block):
                if waiting is not None and waiting.uri == item.uri:
                    vectors = np.concatenate([waiting.vectors, item.vectors])
                    waiting.rows.extend(item.rows)
                    waiting = replace(waiting, vectors=vectors)
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
                f"{block.path}, row {block.first_row + first}",
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
