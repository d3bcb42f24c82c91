"""Vectors of items, of which some have several, and scores between two sets of items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.pooling import unit_rows
from retrieval.store.reader import Snapshot
from retrieval.store.schema import MEDIUM_CODES
from retrieval.types import Medium, Space

BLOCK_SCORES = 1 << 24
"""Maximum number of scores in memory: 64 MiB."""


@dataclass(frozen=True, slots=True)
class ItemVectors:
    """Vectors of items or texts.

    Attributes:
        vectors: (vectors, dim) float32 of unit length; the vectors of an item are adjacent.
        starts: (items,) int64, the index of the first vector of each item, ascending from 0.
    """

    vectors: NDArray[np.float32]
    starts: NDArray[np.int64]

    @classmethod
    def single(cls, vectors: NDArray[np.float32]) -> ItemVectors:
        """Assign one vector to each item."""
        return cls(vectors, np.arange(len(vectors)))

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def are_single(self) -> bool:
        """Whether each item has one vector."""
        return len(self.starts) == len(self.vectors)

    def select(self, items: Sequence[int]) -> ItemVectors:
        """Select items by ascending positions."""
        ends = np.append(self.starts[1:], len(self.vectors))
        spans = [np.arange(self.starts[item], ends[item]) for item in items]
        starts = np.cumsum([0, *map(len, spans)])[:-1]
        return ItemVectors(self.vectors[np.concatenate(spans)], starts)

    def means(self) -> ItemVectors:
        """Average the vectors of each item, and scale the mean to unit length."""
        sums = np.add.reduceat(self.vectors, self.starts, axis=0, dtype=np.float32)
        return ItemVectors.single(unit_rows(sums, "a mean of segments"))

    def blocks(self, columns: int) -> Iterator[tuple[int, ItemVectors]]:
        """Split into blocks of adjacent items with at most `BLOCK_SCORES` scores.

        Args:
            columns: Number of scores per vector.

        Yields:
            The position of the first item, and the block.
        """
        ends = np.append(self.starts[1:], len(self.vectors))
        rows = max(1, BLOCK_SCORES // max(1, columns))
        first = 0
        while first < len(self):
            start = self.starts[first]
            last = max(first + 1, int(np.searchsorted(ends, start + rows, side="right")))
            vectors = self.vectors[start : ends[last - 1]]
            yield first, ItemVectors(vectors, self.starts[first:last] - start)
            first = last


def best_scores(queries: ItemVectors, gallery: ItemVectors) -> NDArray[np.float32]:
    """Compute (queries, gallery) inner products, the maximum over the vectors of both sides."""
    scores: NDArray[np.float32] = queries.vectors @ gallery.vectors.T
    if not gallery.are_single:
        scores = np.maximum.reduceat(scores, gallery.starts, axis=1)
    if not queries.are_single:
        scores = np.maximum.reduceat(scores, queries.starts, axis=0)
    return scores


def stored_vectors(
    snapshot: Snapshot, space: Space, medium: Medium, names: Mapping[int, str]
) -> tuple[list[str], ItemVectors]:
    """Read the vectors of some items from a collection.

    Args:
        snapshot: The generation to read.
        space: The space of the vectors.
        medium: The medium of the segments.
        names: Names of the items by id.

    Returns:
        The names of the items that have vectors, ordered by id, and the vectors.
    """
    code = MEDIUM_CODES.index(medium)
    ids, vectors = [np.empty(0, np.int64)], [np.empty((0, space.dim), np.float16)]
    for block in snapshot.iter_segments(space.name):
        selected = (block.media == code) & np.isin(block.item_ids, list(names))
        ids.append(block.item_ids[selected])
        vectors.append(block.vectors[selected])
    items, starts = np.unique(np.concatenate(ids), return_index=True)
    rows = ItemVectors(np.concatenate(vectors).astype(np.float32), starts.astype(np.int64))
    return [names[item] for item in items.tolist()], rows
