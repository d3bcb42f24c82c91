"""All rows of a space that score at least a threshold with given rows: a range search.

Up to a few hundred thousand rows, and parts without an approximate index, are compared block by
block with everything. An approximate index proposes neighbours instead, ever more of them
for the rows whose last one still reaches the threshold, and the stored vectors decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.selection import Selection
from retrieval.search.open_space import Part

QUERY_ROWS, OTHER_ROWS = 512, 4_096
"""Rows compared at once: a block of scores takes 8 MiB, and 50 where all of them match."""

EXACT_ROWS = 200_000
"""Parts of which no more take part are compared with everything."""

VISITED_SHARE = 1 / 64
"""Lists of an IVF index that are looked into: near-duplicates share a list, or lie in the next."""

FIRST_ANSWERS = 16
"""Neighbours that an index is first asked for, beside the rows of the item itself."""

MAX_ANSWERS = 1 << 20
"""Answers of an index held at a time, however many neighbours a row has."""

VERIFIED_AT_ONCE = 4_096

ROUNDING = 2e-3
"""How far scores of stored float16 vectors may lie below their cosine, whose lengths are not 1."""

EQUAL = 1e-6
"""Identical vectors may score this much below 1."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Pairs of rows, parallel arrays (n,): positions over all parts, and their cosine."""

    rows: NDArray[np.int64]
    others: NDArray[np.int64]
    scores: NDArray[np.float32]

    def chosen(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Matches:
        """Some of them."""
        return Matches(self.rows[which], self.others[which], self.scores[which])


class Neighbours:
    """Rows of some parts, compared with each other.

    Args:
        parts: Of one space.
        allowed: For each part (rows,) bool: which rows take part.
        threshold: Least cosine.
        exact: Compare everything even where there is an approximate index.
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
        """Least cosine, less what rounding may take."""
        return self._threshold - EQUAL

    def of(self, number: int, rows: slice) -> Iterator[Matches]:
        """Pairs of some neighbouring rows of a part with rows of other items, in any order.

        Args:
            number: Of the part.
            rows: Positions in the part; whole items.
        """
        item_ids = self._item_ids[number][rows]
        own = int(np.unique(item_ids, return_counts=True)[1].max(initial=0))
        for first in range(rows.start, rows.stop, QUERY_ROWS):
            block = slice(first, min(first + QUERY_ROWS, rows.stop))
            kept = np.flatnonzero(self._allowed[number][block])
            if not len(kept):
                continue
            queries = unit(self._parts[number].vectors(block)[kept])
            for other, part in enumerate(self._parts):
                if self._exact or not part.approximates or self._counts[other] <= EXACT_ROWS:
                    found = self._compared(other, queries)
                else:
                    found = self._asked(other, queries, np.arange(len(kept)), FIRST_ANSWERS + own)
                for matches in found:
                    yield self._of_other_items(number, first + kept, other, matches)

    def _of_other_items(
        self, number: int, rows: NDArray[np.int64], other: int, matches: Matches
    ) -> Matches:
        """Positions over all parts, without the matches inside an item."""
        mine, theirs = rows[matches.rows], matches.others
        apart = self._item_ids[number][mine] != self._item_ids[other][theirs]
        placed = Matches(
            mine + self._offsets[number], theirs + self._offsets[other], matches.scores
        )
        return placed.chosen(apart)

    def _compared(self, other: int, queries: NDArray[np.float32]) -> Iterator[Matches]:
        """Compare queries with every row of a part."""
        part, allowed = self._parts[other], self._allowed[other]
        for first in range(0, len(part.rows), OTHER_ROWS):
            block = slice(first, min(first + OTHER_ROWS, len(part.rows)))
            if allowed[block].any():
                scores = queries @ unit(part.vectors(block)).T
                mine, theirs = np.nonzero((scores >= self.threshold) & allowed[block])
                yield Matches(mine, theirs + first, scores[mine, theirs])

    def _asked(
        self, other: int, queries: NDArray[np.float32], rows: NDArray[np.int64], k: int
    ) -> Iterator[Matches]:
        """Ask a part's index, and again for more where the last answer is still near enough."""
        part = self._parts[other]
        k = min(k, len(part.rows))
        step = max(1, MAX_ANSWERS // k)
        for first in range(0, len(rows), step):
            some = rows[first : first + step]
            scores, ids = part.nearest(
                queries[some], k, self._selection(other), visited_share=VISITED_SHARE
            )
            near = scores >= self._threshold - ROUNDING
            more = near[:, -1] & (k < len(part.rows))
            mine, place = np.nonzero(near & ~more[:, None])
            yield from self._verified(part, queries, some[mine], ids[mine, place])
            if more.any():
                yield from self._asked(other, queries, some[more], 4 * k)

    def _selection(self, other: int) -> Selection:
        """A part's mask, prepared once for all blocks."""
        if other not in self._selections:
            self._selections[other] = self._parts[other].selection(self._allowed[other])
        return self._selections[other]

    def _verified(
        self,
        part: Part,
        queries: NDArray[np.float32],
        rows: NDArray[np.int64],
        ids: NDArray[np.int64],
    ) -> Iterator[Matches]:
        for first in range(0, len(rows), VERIFIED_AT_ONCE):
            block = slice(first, first + VERIFIED_AT_ONCE)
            mine, theirs = rows[block], ids[block]
            scores = np.einsum("ij,ij->i", queries[mine], unit(part.gather(theirs)))
            yield Matches(mine, theirs, scores).chosen(scores >= self.threshold)


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stored rows at unit length: float16 leaves them off by up to 5e-4."""
    scaled: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled
