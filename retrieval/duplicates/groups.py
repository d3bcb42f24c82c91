"""Joins pairs of near-duplicate items to groups and keeps the best matches of each item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retrieval.duplicates.components import Components
from retrieval.duplicates.contents import Contents
from retrieval.duplicates.overlaps import Overlap
from retrieval.media.sources.presence import is_missing
from retrieval.search.member import ItemRow
from retrieval.types import Medium, Scalar

MAX_MATCHES = 5
"""Matches reported per item: a thousand copies of a picture have half a million pairs."""

MAX_PENDING_PAIRS = 1 << 20
"""Pairs held before the weaker ones of each item are dropped."""

PAIR = np.dtype([("item", "i8"), ("other", "i8"), ("score", "f4"), ("share", "f4")])
"""A pair of items, as positions among the compared items."""

ItemPairs = NDArray[np.void]
"""(n,) of dtype `PAIR`."""

Overlaps = Mapping[tuple[int, int], tuple[Overlap, ...]]
"""Overlaps by item and other item."""

NO_OVERLAPS: Overlaps = {}


@dataclass(frozen=True, slots=True)
class Match:
    """A near-duplicate of an item.

    Attributes:
        item_id: The other item.
        score: Cosine of two pictures; for recordings and videos the mean over their overlaps.
        share: Share of the shorter item that matches; 1 for pictures.
        overlaps: Matching spans in order of time; empty for pictures.
        collection: Name of its collection if several are compared.
    """

    item_id: int
    score: float
    share: float = 1.0
    overlaps: tuple[Overlap, ...] = ()
    collection: str | None = None


@dataclass(frozen=True, slots=True)
class DuplicateItem:
    """An item of a group with its best matches, best first, at most five.

    Attributes:
        missing: Whether its file does not exist.
        collection: Name of its collection if several are compared.
    """

    item_id: int
    uri: str
    matches: tuple[Match, ...]
    metadata: dict[str, Scalar] = field(default_factory=dict)
    missing: bool = False
    collection: str | None = None


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Items connected by pairs of near-duplicates.

    Items are ordered by id, those with missing files last. The first is the one to keep.
    """

    space: str
    modality: Medium
    items: tuple[DuplicateItem, ...]


def item_pairs(
    items: NDArray[np.int64] | int,
    others: NDArray[np.int64] | int,
    scores: NDArray[np.float32] | float,
    shares: NDArray[np.float32] | float,
) -> ItemPairs:
    """Create pairs of items from arrays (n,) or single values."""
    pairs = np.empty(np.size(items), PAIR)
    pairs["item"], pairs["other"], pairs["score"], pairs["share"] = items, others, scores, shares
    return pairs


def mirrored(pairs: ItemPairs) -> ItemPairs:
    """Return the pairs with items and others exchanged."""
    return item_pairs(pairs["other"], pairs["item"], pairs["score"], pairs["share"])


def best_of_each(pairs: ItemPairs) -> ItemPairs:
    """Return the best distinct pairs of each item, best first, grouped by item.

    A pair may occur twice, found from both of its items.
    """
    best = _strongest(pairs, 2 * MAX_MATCHES)
    best = best[np.lexsort((best["other"], best["item"]))]
    changed = (np.diff(best["item"]) != 0) | (np.diff(best["other"]) != 0)
    return _strongest(best[np.append(True, changed)[: len(best)]], MAX_MATCHES)


def _strongest(pairs: ItemPairs, count: int) -> ItemPairs:
    """Return the strongest pairs of each item, grouped by item."""
    ordered = pairs[np.lexsort((-_strengths(pairs), pairs["item"]))]
    positions = np.arange(len(ordered))
    is_first = np.append(True, np.diff(ordered["item"]) != 0)[: len(ordered)]
    starts = np.maximum.accumulate(np.where(is_first, positions, 0))
    return ordered[positions - starts < count]


def _strengths(pairs: ItemPairs) -> NDArray[np.float32]:
    """Return score times share, which ranks a complete copy above a short exact one."""
    strengths: NDArray[np.float32] = pairs["score"] * pairs["share"]
    return strengths


class PairCollector:
    """Collects pairs of items and keeps what groups need, in memory linear in the items."""

    def __init__(self, items: Contents) -> None:
        self._items = items
        self._components = Components(len(items.item_ids))
        self._pairs: list[ItemPairs] = []
        self._pending = 0
        self._strongest = np.zeros(len(items.item_ids), np.float32)
        self._overlaps: dict[tuple[int, int], tuple[Overlap, ...]] = {}

    def add(self, pairs: ItemPairs, overlaps: Overlaps = NO_OVERLAPS) -> None:
        """Add pairs of items.

        Args:
            pairs: Complete for `items` if each item is in one or few calls. For `others`, at least
                one pair each is kept in the opposite direction.
            overlaps: Overlaps of recordings and videos, by positions of the item and the other.
        """
        self._components.join(pairs["item"], pairs["other"])
        best = np.concatenate([best_of_each(pairs), mirrored(self._strongest_so_far(pairs))])
        if overlaps:
            for pair in best[["item", "other"]].tolist():
                pair = pair if pair in overlaps else pair[::-1]
                self._overlaps[pair] = overlaps[pair]
        self._pairs.append(best)
        self._pending += len(best)
        if self._pending > max(MAX_PENDING_PAIRS, len(self._pairs[0])):
            self._pairs = [best_of_each(np.concatenate(self._pairs))]
            self._pending = 0

    def _strongest_so_far(self, pairs: ItemPairs) -> ItemPairs:
        """Return one pair for each other item that has no stronger one, so that all are listed."""
        strengths = _strengths(pairs)
        np.maximum.at(self._strongest, pairs["other"], strengths)
        best: ItemPairs = pairs[strengths >= self._strongest[pairs["other"]]]
        return best[np.unique(best["other"], return_index=True)[1]]

    def groups(self, space: str, modality: Medium) -> Iterator[DuplicateGroup]:
        """Yield the groups, largest first."""
        if not self._pairs:
            return
        best = best_of_each(np.concatenate(self._pairs))
        members = np.unique(best["item"])
        rows = self._items.rows(self._items.item_ids[members])
        roots = self._components.roots()[members]
        order = np.lexsort((members, roots))
        groups = np.split(members[order], np.flatnonzero(np.diff(roots[order])) + 1)
        for group in sorted(groups, key=lambda group: (-len(group), int(group[0]))):
            group_rows = [rows[place] for place in np.searchsorted(members, group).tolist()]
            items = sorted(self._members(group, group_rows, best), key=lambda item: item.missing)
            yield DuplicateGroup(space, modality, tuple(items))

    def _members(
        self, group: NDArray[np.int64], rows: Sequence[ItemRow], pairs: ItemPairs
    ) -> Iterator[DuplicateItem]:
        item_ids = self._items.item_ids
        for item, (uri, _, metadata) in zip(group.tolist(), rows, strict=True):
            first, last = np.searchsorted(pairs["item"], [item, item + 1])
            matches = tuple(
                self._match(item, other, score, share)
                for _, other, score, share in pairs[first:last].tolist()
            )
            name, item_id = self._items.place(int(item_ids[item]))
            yield DuplicateItem(item_id, uri, matches, metadata, is_missing(uri), name)

    def _match(self, item: int, other: int, score: float, share: float) -> Match:
        name, item_id = self._items.place(int(self._items.item_ids[other]))
        return Match(item_id, min(1.0, score), share, self._overlaps_of(item, other), name)

    def _overlaps_of(self, item: int, other: int) -> tuple[Overlap, ...]:
        if (item, other) in self._overlaps:
            return self._overlaps[item, other]
        overlaps = (overlap.mirrored() for overlap in self._overlaps.get((other, item), ()))
        return tuple(sorted(overlaps, key=lambda overlap: overlap.start_seconds))
