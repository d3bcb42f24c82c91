"""The vectors that a collection holds of a gallery, and what every query scores with every item."""

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
"""Scores of rows held at once: 64 MiB."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Vectors of things, some of which have several.

    Attributes:
        vectors: (rows, dim) float32 of unit length; those of one thing are neighbours.
        starts: (things,) int64, where each one's begin, ascending from 0.
    """

    vectors: NDArray[np.float32]
    starts: NDArray[np.int64]

    @classmethod
    def single(cls, vectors: NDArray[np.float32]) -> Rows:
        """One vector each."""
        return cls(vectors, np.arange(len(vectors)))

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def are_single(self) -> bool:
        """Whether each thing has one vector."""
        return len(self.starts) == len(self.vectors)

    def some(self, things: Sequence[int]) -> Rows:
        """Those of some things, in ascending order."""
        ends = np.append(self.starts[1:], len(self.vectors))
        spans = [np.arange(self.starts[thing], ends[thing]) for thing in things]
        starts = np.cumsum([0, *map(len, spans)])[:-1]
        return Rows(self.vectors[np.concatenate(spans)], starts)

    def means(self) -> Rows:
        """One vector each: the mean, of unit length."""
        sums = np.add.reduceat(self.vectors, self.starts, axis=0, dtype=np.float32)
        return Rows.single(unit_rows(sums, "a mean of segments"))

    def blocks(self, columns: int) -> Iterator[tuple[int, Rows]]:
        """Neighbouring things, few enough for `BLOCK_SCORES` with as many columns.

        Yields:
            The position of the first, and the block.
        """
        ends = np.append(self.starts[1:], len(self.vectors))
        rows = max(1, BLOCK_SCORES // max(1, columns))
        first = 0
        while first < len(self):
            start = self.starts[first]
            last = max(first + 1, int(np.searchsorted(ends, start + rows, side="right")))
            vectors = self.vectors[start : ends[last - 1]]
            yield first, Rows(vectors, self.starts[first:last] - start)
            first = last


def best_scores(asked: Rows, gallery: Rows) -> NDArray[np.float32]:
    """(asked, gallery) float32 inner products; of several vectors the best pair counts."""
    scores: NDArray[np.float32] = asked.vectors @ gallery.vectors.T
    if not gallery.are_single:
        scores = np.maximum.reduceat(scores, gallery.starts, axis=1)
    if not asked.are_single:
        scores = np.maximum.reduceat(scores, asked.starts, axis=0)
    return scores


def stored_rows(
    snapshot: Snapshot, space: Space, medium: Medium, keys: Mapping[int, str]
) -> tuple[list[str], Rows]:
    """What a collection holds of some items in one space, as it is searched.

    Args:
        snapshot: The generation.
        space: Whose vectors.
        medium: The medium of the segments.
        keys: Names of the items by their ids.

    Returns:
        Names of those items that have vectors, by item id, and the vectors.
    """
    code = MEDIUM_CODES.index(medium)
    ids, vectors = [np.empty(0, np.int64)], [np.empty((0, space.dim), np.float16)]
    for block in snapshot.iter_segments(space.name):
        mine = (block.media == code) & np.isin(block.item_ids, list(keys))
        ids.append(block.item_ids[mine])
        vectors.append(block.vectors[mine])
    items, starts = np.unique(np.concatenate(ids), return_index=True)
    rows = Rows(np.concatenate(vectors).astype(np.float32), starts.astype(np.int64))
    return [keys[item] for item in items.tolist()], rows
