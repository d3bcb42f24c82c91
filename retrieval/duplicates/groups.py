"""From pairs of items to groups: who hangs together, and what each is most like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retrieval.duplicates.components import Components
from retrieval.duplicates.overlaps import Overlap
from retrieval.media.sources.presence import is_missing
from retrieval.search.items import ItemTable
from retrieval.types import Medium, Scalar

MATCHES_KEPT = 5
"""Other items that are named for each: a thousand copies of a picture have half a million pairs."""

PAIRS_WAITING = 1 << 20
"""Pairs that are held before the worse ones of each item are dropped."""


@dataclass(frozen=True, slots=True)
class Match:
    """What an item of a group is like.

    Attributes:
        item_id: The other item.
        score: Cosine of two pictures; of recordings and videos the mean over their overlaps.
        share: How much of the shorter item matches; 1 for pictures.
        overlaps: Which seconds match, in order of time; none for pictures.
    """

    item_id: int
    score: float
    share: float = 1.0
    overlaps: tuple[Overlap, ...] = ()


@dataclass(frozen=True, slots=True)
class DuplicateItem:
    """One item of a group; `matches` are the best of its pairs, best first, at most five.

    `missing` says that its file is gone.
    """

    item_id: int
    uri: str
    matches: tuple[Match, ...]
    metadata: dict[str, Scalar] = field(default_factory=dict)
    missing: bool = False


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Items that hang together by pairs of near-duplicates.

    They are in the order of their ids, those whose files are missing after all others: the first is
    the one to keep.
    """

    space: str
    modality: Medium
    items: tuple[DuplicateItem, ...]


@dataclass(frozen=True, slots=True)
class ItemPairs:
    """Pairs of items, parallel arrays (n,): places in the table of items, score and share."""

    items: NDArray[np.int64]
    others: NDArray[np.int64]
    scores: NDArray[np.float32]
    shares: NDArray[np.float32]

    @classmethod
    def joined(cls, several: list[ItemPairs]) -> ItemPairs:
        """All pairs of some."""
        names = ("items", "others", "scores", "shares")
        return cls(*(np.concatenate([getattr(one, name) for one in several]) for name in names))

    @classmethod
    def of(cls, item: int, other: int, score: float, share: float) -> ItemPairs:
        """A single pair."""
        return cls(
            np.array([item]),
            np.array([other]),
            np.array([score], np.float32),
            np.array([share], np.float32),
        )

    def mirrored(self) -> ItemPairs:
        """The same pairs in the other direction."""
        return ItemPairs(self.others, self.items, self.scores, self.shares)

    def chosen(self, which: NDArray[np.int64]) -> ItemPairs:
        """Some of them."""
        return ItemPairs(
            self.items[which], self.others[which], self.scores[which], self.shares[which]
        )

    @property
    def strengths(self) -> NDArray[np.float32]:
        """What decides which pair is better: a whole copy comes before a short exact one."""
        return self.scores * self.shares

    def best_of_each(self) -> ItemPairs:
        """Each pair once, and of each item its best only, best first; grouped by item.

        A pair may be there twice, as both of its items saw it.
        """
        some = self._first_of_each(2 * MATCHES_KEPT)
        once = some.chosen(np.lexsort((some.others, some.items)))
        changed = (np.diff(once.items) != 0) | (np.diff(once.others) != 0)
        once = once.chosen(np.flatnonzero(np.append(True, changed)[: len(once.items)]))
        return once._first_of_each(MATCHES_KEPT)

    def _first_of_each(self, count: int) -> ItemPairs:
        """The strongest pairs of each item, grouped by item."""
        order = np.lexsort((-self.strengths, self.items))
        items = self.items[order]
        places = np.arange(len(items))
        begins = np.append(True, np.diff(items) != 0)[: len(items)]
        starts = np.maximum.accumulate(np.where(begins, places, 0))
        return self.chosen(order[places - starts < count])


NOTHING: Mapping[tuple[int, int], tuple[Overlap, ...]] = {}


class PairBook:
    """Takes pairs of items as they are found; keeps what groups need, in linear memory."""

    def __init__(self, items: ItemTable) -> None:
        self._items = items
        self._components = Components(len(items.item_ids))
        self._kept: list[ItemPairs] = []
        self._waiting = 0
        self._strongest = np.zeros(len(items.item_ids), np.float32)
        self._overlaps: dict[tuple[int, int], tuple[Overlap, ...]] = {}

    def add(
        self, pairs: ItemPairs, overlaps: Mapping[tuple[int, int], tuple[Overlap, ...]] = NOTHING
    ) -> None:
        """Take pairs of items, by their places.

        Args:
            pairs: All of an item's in one call or few; the other item of each is sure of a single
                one in its own direction, unless they come in both.
            overlaps: By places of the item and the other, for recordings and videos.
        """
        self._components.join(pairs.items, pairs.others)
        best = ItemPairs.joined([pairs.best_of_each(), self._best_so_far(pairs).mirrored()])
        if overlaps:
            for place in zip(best.items.tolist(), best.others.tolist(), strict=True):
                place = place if place in overlaps else place[::-1]
                self._overlaps[place] = overlaps[place]
        self._kept.append(best)
        self._waiting += len(best.items)
        if self._waiting > max(PAIRS_WAITING, len(self._kept[0].items)):
            self._kept = [ItemPairs.joined(self._kept).best_of_each()]
            self._waiting = 0

    def _best_so_far(self, pairs: ItemPairs) -> ItemPairs:
        """One pair for each of the others that never had a better one: all are named somewhere."""
        np.maximum.at(self._strongest, pairs.others, pairs.strengths)
        best = pairs.chosen(np.flatnonzero(pairs.strengths >= self._strongest[pairs.others]))
        return best.chosen(np.unique(best.others, return_index=True)[1])

    def groups(self, space: str, modality: Medium) -> Iterator[DuplicateGroup]:
        """The groups, largest first."""
        if not self._kept:
            return
        best = ItemPairs.joined(self._kept).best_of_each()
        members = np.unique(best.items)
        roots = self._components.roots()[members]
        order = np.lexsort((members, roots))
        groups = np.split(members[order], np.flatnonzero(np.diff(roots[order])) + 1)
        for group in sorted(groups, key=lambda group: (-len(group), int(group[0]))):
            described = sorted(self._members(group, best), key=lambda item: item.missing)
            yield DuplicateGroup(space, modality, tuple(described))

    def _members(self, group: NDArray[np.int64], pairs: ItemPairs) -> Iterator[DuplicateItem]:
        item_ids = self._items.item_ids
        described = self._items.rows(item_ids[group].tolist())
        for place, (uri, _, metadata) in zip(group.tolist(), described, strict=True):
            first, last = np.searchsorted(pairs.items, [place, place + 1])
            matches = tuple(
                Match(int(item_ids[other]), min(1.0, score), share, self._overlaps_of(place, other))
                for other, score, share in zip(
                    pairs.others[first:last].tolist(),
                    pairs.scores[first:last].tolist(),
                    pairs.shares[first:last].tolist(),
                    strict=True,
                )
            )
            yield DuplicateItem(int(item_ids[place]), uri, matches, metadata, is_missing(uri))

    def _overlaps_of(self, place: int, other: int) -> tuple[Overlap, ...]:
        if (place, other) in self._overlaps:
            return self._overlaps[place, other]
        mirrored = (overlap.mirrored() for overlap in self._overlaps.get((other, place), ()))
        return tuple(sorted(mirrored, key=lambda overlap: overlap.start_seconds))
