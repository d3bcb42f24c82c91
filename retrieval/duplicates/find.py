"""Finds groups of near-duplicates: compares rows, then items, then joins pairs to groups.

Items are compared within a modality by what they show or play; the sound of videos is ignored. Two
pictures are near-duplicates if their cosine reaches the threshold. Two recordings or videos are if
runs of matching segments cover enough of the shorter one, so a clip is a duplicate of its film.
Paths of the same file are not duplicates of each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.duplicates.contents import Contents
from retrieval.duplicates.groups import DuplicateGroup, PairCollector, item_pairs, mirrored
from retrieval.duplicates.identical import first_identical_rows
from retrieval.duplicates.neighbours import QUERY_ROWS, NeighbourSearch, RowPairs, normalise
from retrieval.duplicates.overlaps import Overlap, find_overlaps
from retrieval.errors import QueryError
from retrieval.progress import Progress, no_progress
from retrieval.search.open_space import Part
from retrieval.store.blocks import isin_sorted
from retrieval.store.reader import Snapshot
from retrieval.store.schema import MEDIUM_CODES
from retrieval.types import Medium, Space, TimedRows


@dataclass(frozen=True, slots=True)
class DuplicateOptions:
    """Criteria for near-duplicates.

    Attributes:
        threshold: Minimum cosine of two pictures, or of two segments.
        min_seconds: Minimum length of a matching span; a shorter item must match completely.
        share: Minimum share of the shorter item's segments that match in such spans.
        exact: Compare all rows even if there is an approximate index.

    Raises:
        QueryError: A value is out of range.
    """

    threshold: float = 0.95
    min_seconds: float = 4.0
    share: float = 0.5
    exact: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise QueryError(
                f"the threshold must be a cosine above 0 and at most 1, got {self.threshold}"
            )
        if not 0 <= self.share <= 1:
            raise QueryError(f"the share must be between 0 and 1, got {self.share}")
        if not 0 <= self.min_seconds < float("inf"):
            raise QueryError(f"the minimum seconds must be at least 0, got {self.min_seconds}")


def find_duplicates(
    snapshot: Snapshot,
    options: DuplicateOptions,
    *,
    spaces: Sequence[str] = (),
    progress: Progress = no_progress,
) -> list[DuplicateGroup]:
    """Find the groups of near-duplicate items.

    Args:
        snapshot: The generation.
        options: The criteria.
        spaces: Spaces to compare in; empty for the first space of each modality.
        progress: Receives the number of compared rows.

    Raises:
        SpaceMismatchError: The collection has no such space.
    """
    return _find(Contents({"": snapshot}, is_named=False), options, spaces, progress)


def find_duplicates_of(
    snapshots: Mapping[str, Snapshot],
    options: DuplicateOptions,
    *,
    spaces: Sequence[str] = (),
    progress: Progress = no_progress,
) -> list[DuplicateGroup]:
    """Find the groups of near-duplicate items of several collections together.

    Args:
        snapshots: The generations by name; items name theirs.
        options: The criteria.
        spaces: Spaces to compare in; empty for the first space of each modality.
        progress: Receives the number of compared rows.

    Raises:
        SpaceMismatchError: No collection has such a space, or spaces of the same name have
            different models.
    """
    return _find(Contents(snapshots, is_named=True), options, spaces, progress)


def _find(
    contents: Contents, options: DuplicateOptions, spaces: Sequence[str], progress: Progress
) -> list[DuplicateGroup]:
    excluded = contents.excluded_ids()
    comparisons = list(_comparisons(contents, spaces))
    opened = {space.name: contents.parts(space.name) for space, _ in comparisons}
    total = sum(len(part.rows) for space, _ in comparisons for part in opened[space.name])
    done = 0
    groups: list[DuplicateGroup] = []
    for space, modality in comparisons:
        comparison = _Comparison(excluded, contents, space, opened[space.name], modality, options)
        for rows in comparison.run():
            done += rows
            progress("comparing", done, total)
        groups += comparison.groups()
    return groups


def _comparisons(contents: Contents, names: Sequence[str]) -> Iterator[tuple[Space, Medium]]:
    spaces = [contents.space(name) for name in names] or list(contents.spaces.values())
    for modality in MEDIUM_CODES:
        suitable = [space for space in spaces if modality in space.media]
        for space in suitable if names else suitable[:1]:
            yield space, modality


class _Comparison:
    """A comparison of the items of one modality in one space.

    Items are identified by their positions in the item table.
    """

    def __init__(
        self,
        excluded: NDArray[np.int64],
        items: Contents,
        space: Space,
        parts: Sequence[Part],
        modality: Medium,
        options: DuplicateOptions,
    ) -> None:
        self._space = space.name
        self._modality = modality
        self._options = options
        self._items = items
        self._parts = parts
        self._allowed = [self._mask(part, excluded) for part in self._parts]
        self._item_ids: NDArray[np.int64] = np.concatenate(
            [np.empty(0, np.int64), *(part.rows.item_ids for part in self._parts)]
        )
        self._row_counts = self._count_rows()
        self._pairs = PairCollector(items)
        if modality is Medium.IMAGE:
            self._add_identical(space.dim)
        self._neighbours = NeighbourSearch(
            self._parts, self._allowed, options.threshold, exact=options.exact
        )

    def groups(self) -> Iterator[DuplicateGroup]:
        """Yield the groups."""
        return self._pairs.groups(self._space, self._modality)

    def run(self) -> Iterator[int]:
        """Compare all rows block by block; yields the number of rows of each block."""
        for number, part in enumerate(self._parts):
            for block in item_blocks(part.rows.item_ids):
                if self._allowed[number][block].any():
                    matches = self._neighbours.find(number, block)
                    if self._modality is Medium.IMAGE:
                        for pairs in matches:
                            self._add_pictures(pairs.rows, pairs.others, pairs.scores)
                    else:
                        self._add_timed(matches)
                yield block.stop - block.start

    def _mask(self, part: Part, excluded: NDArray[np.int64]) -> NDArray[np.bool_]:
        code = MEDIUM_CODES.index(self._modality)
        item_ids = part.rows.item_ids
        mask: NDArray[np.bool_] = (part.rows.media == code) & ~isin_sorted(item_ids, excluded)
        mask &= self._items.modalities_of(item_ids) == code
        return mask

    def _positions(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the items of rows."""
        return np.searchsorted(self._items.item_ids, self._item_ids[rows])

    def _count_rows(self) -> NDArray[np.int64]:
        """Return the number of compared rows of each item."""
        rows = np.flatnonzero(np.concatenate([np.empty(0, np.bool_), *self._allowed]))
        return np.bincount(self._positions(rows), minlength=len(self._items.item_ids))

    # ------------------------------------------------------------ pictures

    def _add_identical(self, dim: int) -> None:
        """Pair pictures with equal vectors with the first of them, and exclude all but the first.

        A corpus may contain a placeholder fifty thousand times.
        """
        first = first_identical_rows(self._parts, self._allowed, dim)
        is_first = first == np.arange(len(first))
        copies = np.flatnonzero(~is_first)
        ones = np.ones(2 * len(copies), np.float32)
        self._add_pictures(np.append(copies, first[copies]), np.append(first[copies], copies), ones)
        start = 0
        for mask in self._allowed:
            mask &= is_first[start : start + len(mask)]
            start += len(mask)

    def _add_pictures(
        self, rows: NDArray[np.int64], others: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> None:
        if len(rows):
            items = self._positions(rows), self._positions(others)
            self._pairs.add(item_pairs(*items, scores, 1.0))

    # ------------------------------------------------------------ recordings and videos

    def _add_timed(self, matches: Iterator[RowPairs]) -> None:
        """Verify the pairs of items that have enough matching rows."""
        count = len(self._items.item_ids)
        row_items = [  # (row, matching item) pairs, encoded as one number
            np.unique(pairs.rows * count + self._positions(pairs.others)) for pairs in matches
        ]
        if not any(len(codes) for codes in row_items):
            return
        rows, others = np.divmod(np.unique(np.concatenate(row_items)), count)
        codes, matching = np.unique(self._positions(rows) * count + others, return_counts=True)
        items, others = np.divmod(codes, count)
        # Each pair is verified from its shorter item. Half of the required matches suffice here,
        # because an approximate index may miss some.
        own, other = self._row_counts[items], self._row_counts[others]
        shorter = (own < other) | ((own == other) & (items < others))
        verify = shorter & (matching >= self._options.share * own / 2)
        for item in np.unique(items[verify]).tolist():
            self._verify(item, others[verify & (items == item)].tolist())

    def _verify(self, item: int, others: Sequence[int]) -> None:
        rows = self._timed_rows(item)
        pairs = []
        overlaps: dict[tuple[int, int], tuple[Overlap, ...]] = {}
        for other in others:
            spans, share = find_overlaps(
                rows,
                self._timed_rows(other),
                self._neighbours.threshold,
                self._options.min_seconds,
            )
            if spans and share >= self._options.share:
                overlaps[item, other] = tuple(spans)
                pairs.append(item_pairs(item, other, _mean_score(spans), share))
        if pairs:
            verified = np.concatenate(pairs)
            self._pairs.add(np.concatenate([verified, mirrored(verified)]), overlaps)

    def _timed_rows(self, item: int) -> TimedRows:
        item_id = int(self._items.item_ids[item])
        for part, allowed in zip(self._parts, self._allowed, strict=True):
            rows = part.item_rows(item_id)
            if rows.stop > rows.start:
                mask = allowed[rows]
                return TimedRows(
                    part.rows.start_seconds[rows][mask].astype(np.float64),
                    part.rows.end_seconds[rows][mask].astype(np.float64),
                    normalise(part.vectors(rows)[mask]),
                )
        raise LookupError(f"item {item_id} has no rows in {self._space}")


def item_blocks(item_ids: NDArray[np.int64]) -> Iterator[slice]:
    """Yield blocks of complete items: at most `QUERY_ROWS` rows, or one longer item."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(item_ids)) + 1, [len(item_ids)]])
    first = 0
    while first < len(item_ids):
        last = int(starts[np.searchsorted(starts, first + QUERY_ROWS, side="right") - 1])
        if last <= first:  # a single longer item
            last = int(starts[np.searchsorted(starts, first, side="right")])
        yield slice(first, last)
        first = last


def _mean_score(spans: Sequence[Overlap]) -> float:
    seconds = [span.end_seconds - span.start_seconds for span in spans]
    return float(np.average([span.score for span in spans], weights=seconds))
