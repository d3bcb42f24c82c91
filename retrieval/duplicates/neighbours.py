"""Range search: finds all rows of a space whose cosine with given rows reaches a threshold.

Small parts, and parts without an approximate index, are compared completely. Otherwise the
approximate index proposes neighbours, and more of them for rows whose last neighbour still reaches
the threshold. The stored vectors decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.selection import Selection
from retrieval.search.open_space import Part

QUERY_ROWS, OTHER_ROWS = 512, 4_096
"""Rows compared at once: a block of scores takes 8 MiB, and 50 MiB if all of them match."""

EXACT_ROWS = 200_000
"""Parts with at most this many allowed rows are compared completely."""

VISITED_SHARE = 1 / 64
"""Share of IVF lists to visit: near-duplicates are in the same list or an adjacent one."""

FIRST_ANSWERS = 16
"""Neighbours requested first, in addition to the rows of the item itself."""

MAX_ANSWERS = 1 << 20
"""Maximum number of answers held at a time."""

VERIFIED_ROWS = 4_096
"""Pairs scored at once."""

ROUNDING = 2e-3
"""Maximum difference between scores of stored float16 vectors and their cosine."""

EQUAL = 1e-6
"""Maximum difference between the score of identical vectors and 1."""


@dataclass(frozen=True, slots=True)
class RowPairs:
    """Pairs of rows, parallel arrays (n,): positions over all parts, and their cosine."""

    rows: NDArray[np.int64]
    others: NDArray[np.int64]
    scores: NDArray[np.float32]

    def take(self, selected: NDArray[np.bool_] | NDArray[np.int64]) -> RowPairs:
        """Return the selected pairs."""
        return RowPairs(self.rows[selected], self.others[selected], self.scores[selected])


class NeighbourSearch:
    """Finds matching rows among all parts of a space.

    Args:
        parts: The parts of one space.
        allowed: For each part (rows,) bool: the rows to compare.
        threshold: Minimum cosine.
        exact: Compare all rows even if there is an approximate index.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        allowed: Sequence[NDArray[np.bool_]],
        threshold: float,
        *,
        exact: bool = False,
    ) -> None:
        self._parts = parts
        self._allowed = allowed
        self._threshold = threshold
        self._exact = exact
        self._selections: dict[int, Selection] = {}
        self._counts = [int(np.count_nonzero(rows)) for rows in allowed]
        self._offsets = np.cumsum([0, *(len(part.rows) for part in parts)])
        self._item_ids = [part.rows.item_ids for part in parts]

    @property
    def threshold(self) -> float:
        """Minimum cosine minus the rounding error of identical vectors."""
        return self._threshold - EQUAL

    def find(self, number: int, rows: slice) -> Iterator[RowPairs]:
        """Yield pairs of the given rows with rows of other items, in any order.

        Args:
            number: Number of the part.
            rows: Consecutive rows of the part; complete items.
        """
        item_ids = self._item_ids[number][rows]
        own = int(np.unique(item_ids, return_counts=True)[1].max(initial=0))
        for first in range(rows.start, rows.stop, QUERY_ROWS):
            block = slice(first, min(first + QUERY_ROWS, rows.stop))
            positions = np.flatnonzero(self._allowed[number][block])
            if not len(positions):
                continue
            queries = normalise(self._parts[number].vectors(block)[positions])
            for other, part in enumerate(self._parts):
                if self._exact or not part.approximates or self._counts[other] <= EXACT_ROWS:
                    matches = self._compare_all(other, queries)
                else:
                    every_query = np.arange(len(positions))
                    matches = self._search_index(other, queries, every_query, FIRST_ANSWERS + own)
                for pairs in matches:
                    yield self._with_other_items(number, first + positions, other, pairs)

    def _with_other_items(
        self, number: int, rows: NDArray[np.int64], other: int, pairs: RowPairs
    ) -> RowPairs:
        """Convert to positions over all parts and drop pairs within an item."""
        own_rows, other_rows = rows[pairs.rows], pairs.others
        different = self._item_ids[number][own_rows] != self._item_ids[other][other_rows]
        global_pairs = RowPairs(
            own_rows + self._offsets[number], other_rows + self._offsets[other], pairs.scores
        )
        return global_pairs.take(different)

    def _compare_all(self, other: int, queries: NDArray[np.float32]) -> Iterator[RowPairs]:
        """Compare queries with all rows of a part."""
        part, allowed = self._parts[other], self._allowed[other]
        for first in range(0, len(part.rows), OTHER_ROWS):
            block = slice(first, min(first + OTHER_ROWS, len(part.rows)))
            if allowed[block].any():
                scores = queries @ normalise(part.vectors(block)).T
                # Few scores match, and `flatnonzero` skips the others faster than `nonzero`.
                matches = np.flatnonzero((scores >= self.threshold) & allowed[block])
                rows, others = np.divmod(matches, scores.shape[1])
                yield RowPairs(rows, others + first, scores[rows, others])

    def _search_index(
        self, other: int, queries: NDArray[np.float32], rows: NDArray[np.int64], k: int
    ) -> Iterator[RowPairs]:
        """Search a part's index; repeat with a larger k while the last answer is near enough."""
        part = self._parts[other]
        k = min(k, len(part.rows))
        step = max(1, MAX_ANSWERS // k)
        for first in range(0, len(rows), step):
            batch = rows[first : first + step]
            scores, ids = part.nearest(
                queries[batch], k, self._selection(other), visited_share=VISITED_SHARE
            )
            near = scores >= self._threshold - ROUNDING
            more = near[:, -1] & (k < len(part.rows))
            positions, ranks = np.nonzero(near & ~more[:, None])
            yield from self._verify(part, queries, batch[positions], ids[positions, ranks])
            if more.any():
                yield from self._search_index(other, queries, batch[more], 4 * k)

    def _selection(self, other: int) -> Selection:
        """Return the mask of a part, prepared once."""
        if other not in self._selections:
            self._selections[other] = self._parts[other].selection(self._allowed[other])
        return self._selections[other]

    def _verify(
        self,
        part: Part,
        queries: NDArray[np.float32],
        rows: NDArray[np.int64],
        others: NDArray[np.int64],
    ) -> Iterator[RowPairs]:
        """Yield the pairs whose stored vectors reach the threshold."""
        for first in range(0, len(rows), VERIFIED_ROWS):
            block = slice(first, first + VERIFIED_ROWS)
            vectors = normalise(part.gather(others[block]))
            scores = np.einsum("ij,ij->i", queries[rows[block]], vectors)
            yield RowPairs(rows[block], others[block], scores).take(scores >= self.threshold)


def normalise(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale stored rows to unit length, from which float16 rounding deviates by up to 5e-4."""
    scaled: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled
