"""`dups`: pairs of rows above a threshold, pairs of items from them, groups from those.

Pictures are compared with pictures, recordings with recordings and videos with videos, by what they
show or play; the sound of videos is left aside. Two pictures are near-duplicates where their cosine
reaches the threshold. Two recordings or videos are where runs of matching segments cover enough of
the shorter one: a clip is a duplicate of the film it was cut from. Items that are paths of one file
are no duplicates of each other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.duplicates.groups import DuplicateGroup, ItemPairs, PairBook
from retrieval.duplicates.identical import first_of_identical
from retrieval.duplicates.neighbours import QUERY_ROWS, Matches, Neighbours, unit
from retrieval.duplicates.overlaps import Overlap, find_overlaps
from retrieval.duplicates.same_files import further_paths
from retrieval.errors import QueryError
from retrieval.search.items import ItemTable
from retrieval.search.open_space import OpenedSpace, Part
from retrieval.store.blocks import isin_sorted
from retrieval.store.reader import Snapshot
from retrieval.store.schema import MEDIUM_CODES
from retrieval.types import Medium, Space, TimedRows

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Told how many rows are done, and of how many."""


@dataclass(frozen=True, slots=True)
class DuplicateOptions:
    """What counts as a near-duplicate.

    Attributes:
        threshold: Least cosine of two pictures, or of two segments.
        min_seconds: Least length of a matching span; a shorter item must match as a whole.
        share: Least share of the shorter item's segments that match in such spans.
        exact: Compare everything with everything even where there is an approximate index.
    """

    threshold: float = 0.95
    min_seconds: float = 4.0
    share: float = 0.5
    exact: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise QueryError(f"--threshold is a cosine above 0 and up to 1, got {self.threshold}")
        if not 0 <= self.share <= 1:
            raise QueryError(f"--share is between 0 and 1, got {self.share}")
        if not 0 <= self.min_seconds < float("inf"):
            raise QueryError(f"--min-seconds is at least 0, got {self.min_seconds}")


def find_duplicates(
    snapshot: Snapshot,
    options: DuplicateOptions,
    *,
    spaces: Sequence[str] = (),
    progress: Progress = lambda done, total: None,
) -> list[DuplicateGroup]:
    """Find the groups of near-duplicate items.

    Args:
        snapshot: The generation.
        options: What counts.
        spaces: Compare in these; empty: for each modality the first space that embeds it.
        progress: Called after every block of rows.

    Raises:
        SpaceMismatchError: The collection has no such space.
        QueryError: An option makes no sense.
    """
    items = ItemTable(snapshot)
    left_out = np.union1d(snapshot.removed_ids(), further_paths(snapshot))
    chosen = list(_chosen(snapshot, spaces))
    opened = {space.name: OpenedSpace(snapshot, space) for space, _ in chosen}
    total = sum(len(part.rows) for space, _ in chosen for part in opened[space.name].parts)
    done = 0
    groups: list[DuplicateGroup] = []
    for space, modality in chosen:
        comparison = _Comparison(left_out, items, opened[space.name], modality, options)
        for rows in comparison.run():
            done += rows
            progress(done, total)
        groups += comparison.groups()
    return groups


def _chosen(snapshot: Snapshot, names: Sequence[str]) -> Iterator[tuple[Space, Medium]]:
    spaces = [snapshot.space(name) for name in names] or list(snapshot.spaces)
    for modality in MEDIUM_CODES:
        able = [space for space in spaces if modality in space.media]
        for space in able if names else able[:1]:
            yield space, modality


class _Comparison:
    """The items of one modality, compared in one space."""

    def __init__(
        self,
        left_out: NDArray[np.int64],
        items: ItemTable,
        opened: OpenedSpace,
        modality: Medium,
        options: DuplicateOptions,
    ) -> None:
        self._space = opened.space.name
        self._modality = modality
        self._options = options
        self._items = items
        self._parts = opened.parts
        self._allowed = [self._mask(part, left_out) for part in self._parts]
        self._item_ids: NDArray[np.int64] = np.concatenate(
            [np.empty(0, np.int64), *(part.rows.item_ids for part in self._parts)]
        )
        self._lengths = self._rows_of_items()
        self._book = PairBook(items)
        if modality is Medium.IMAGE:
            self._take_identical(opened.space.dim)
        self._neighbours = Neighbours(
            self._parts, self._allowed, options.threshold, exact=options.exact
        )

    def groups(self) -> Iterator[DuplicateGroup]:
        """What was found."""
        return self._book.groups(self._space, self._modality)

    def run(self) -> Iterator[int]:
        """Compare block by block; yields the rows of each block."""
        for number, part in enumerate(self._parts):
            for block in item_blocks(part.rows.item_ids):
                if self._allowed[number][block].any():
                    found = self._neighbours.of(number, block)
                    if self._modality is Medium.IMAGE:
                        self._take_pictures(found)
                    else:
                        self._take_timed(found)
                yield block.stop - block.start

    def _mask(self, part: Part, left_out: NDArray[np.int64]) -> NDArray[np.bool_]:
        code = MEDIUM_CODES.index(self._modality)
        item_ids = part.rows.item_ids
        mask: NDArray[np.bool_] = (part.rows.media == code) & ~isin_sorted(item_ids, left_out)
        mask &= self._items.modalities_of(item_ids) == code
        return mask

    def _places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of the rows' items in the table of items."""
        return np.searchsorted(self._items.item_ids, self._item_ids[rows])

    def _rows_of_items(self) -> NDArray[np.int64]:
        """How many rows of each item, by its place, are compared."""
        compared = np.flatnonzero(np.concatenate([np.empty(0, np.bool_), *self._allowed]))
        return np.bincount(self._places(compared), minlength=len(self._items.item_ids))

    # ------------------------------------------------------------ pictures

    def _take_identical(self, dim: int) -> None:
        """Pair pictures of the same vector with the first of them, which alone goes on."""
        first = first_of_identical(self._parts, self._allowed, dim)
        is_first = first == np.arange(len(first))
        copies = np.flatnonzero(~is_first)
        ones = np.ones(2 * len(copies), np.float32)
        self._add_pictures(np.append(copies, first[copies]), np.append(first[copies], copies), ones)
        start = 0
        for mask in self._allowed:
            mask &= is_first[start : start + len(mask)]
            start += len(mask)

    def _take_pictures(self, found: Iterator[Matches]) -> None:
        for matches in found:
            self._add_pictures(matches.rows, matches.others, matches.scores)

    def _add_pictures(
        self, rows: NDArray[np.int64], others: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> None:
        if len(rows):
            shares = np.ones(len(rows), np.float32)
            self._book.add(ItemPairs(self._places(rows), self._places(others), scores, shares))

    # ------------------------------------------------------------ recordings and videos

    def _take_timed(self, found: Iterator[Matches]) -> None:
        """Verify the pairs of items that enough rows of the shorter one propose."""
        count = len(self._items.item_ids)
        proposed = [  # each row with each item that it matches somewhere, as one number
            np.unique(matches.rows * count + self._places(matches.others)) for matches in found
        ]
        if not any(len(some) for some in proposed):
            return
        rows, others = np.divmod(np.unique(np.concatenate(proposed)), count)
        pairs, matching = np.unique(self._places(rows) * count + others, return_counts=True)
        items, others = np.divmod(pairs, count)
        # The pair is judged when the shorter one asks, and with half of what is needed: an
        # approximate index may have missed some.
        mine, theirs = self._lengths[items], self._lengths[others]
        asks = (mine < theirs) | ((mine == theirs) & (items < others))
        enough = matching >= self._options.share * mine / 2
        for place in np.unique(items[asks & enough]).tolist():
            self._verify(place, others[asks & enough & (items == place)].tolist())

    def _verify(self, place: int, others: Sequence[int]) -> None:
        item = self._timed_rows(place)
        pairs: list[ItemPairs] = []
        overlaps: dict[tuple[int, int], tuple[Overlap, ...]] = {}
        for other in others:
            spans, share = find_overlaps(
                item,
                self._timed_rows(other),
                self._neighbours.threshold,
                self._options.min_seconds,
            )
            if spans and share >= self._options.share:
                overlaps[place, other] = tuple(spans)
                pairs.append(ItemPairs.of(place, other, _mean_score(spans), share))
        if pairs:
            found = ItemPairs.joined(pairs)
            self._book.add(ItemPairs.joined([found, found.mirrored()]), overlaps)

    def _timed_rows(self, place: int) -> TimedRows:
        item_id = int(self._items.item_ids[place])
        for part, allowed in zip(self._parts, self._allowed, strict=True):
            rows = part.item_rows(item_id)
            if rows.stop > rows.start:
                kept = allowed[rows]
                return TimedRows(
                    part.rows.start_seconds[rows][kept].astype(np.float64),
                    part.rows.end_seconds[rows][kept].astype(np.float64),
                    unit(part.vectors(rows)[kept]),
                )
        raise LookupError(f"item {item_id} has no rows in {self._space}")


def item_blocks(item_ids: NDArray[np.int64]) -> Iterator[slice]:
    """Neighbouring rows in blocks of whole items: about `QUERY_ROWS`, or one longer item."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(item_ids)) + 1, [len(item_ids)]])
    first = 0
    while first < len(item_ids):
        # The last item that begins within the block ends it, but for a single longer one.
        last = int(starts[np.searchsorted(starts, first + QUERY_ROWS, side="right") - 1])
        if last <= first:
            last = int(starts[np.searchsorted(starts, first, side="right")])
        yield slice(first, last)
        first = last


def _mean_score(spans: Sequence[Overlap]) -> float:
    seconds = [span.end_seconds - span.start_seconds for span in spans]
    return float(np.average([span.score for span in spans], weights=seconds))
