"""What a switch would change: the same queries asked of two collections, indexes or models.

Items are matched by uri, since two collections give one file different ids.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.spaces import check_encoder
from retrieval.errors import QueryError
from retrieval.evaluation.overlap import jaccard, rank_biased_overlap
from retrieval.protocols import Encoder
from retrieval.search.arguments import targets_of
from retrieval.search.query import Query
from retrieval.search.searcher import Searcher
from retrieval.store.reader import Snapshot
from retrieval.targets import Target
from retrieval.types import Space

SAMPLED_CAPTIONS = 200
"""Captions that are asked where no queries are given."""

_GENERATION = re.compile(r"(?P<folder>.+)@(?P<generation>\d+)", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared.

    Attributes:
        root: The collection's folder.
        generation: The one to ask; None for the current one.
        space: The only space to ask; None for all.
        exact: Leave approximate indexes aside.
    """

    root: Path
    generation: int | None = None
    space: str | None = None
    exact: bool = False

    @classmethod
    def parse(cls, text: str, *, space: str | None = None, exact: bool = False) -> Side:
        """Read `FOLDER` or `FOLDER@GENERATION`; a folder of that very name goes first."""
        match = _GENERATION.fullmatch(text)
        if match is None or Path(text).expanduser().exists():
            return cls(Path(text).expanduser(), None, space, exact)
        return cls(Path(match["folder"]).expanduser(), int(match["generation"]), space, exact)

    def snapshot(self) -> Snapshot:
        """Open the generation.

        Raises:
            CollectionError: There is none, or it is no longer whole.
            SpaceMismatchError: It has no such space.
        """
        snapshot = (
            Snapshot.open(self.root)
            if self.generation is None
            else Snapshot.open_generation(self.root, self.generation)
        )
        if self.space is not None:
            snapshot.space(self.space)
        return snapshot

    def __str__(self) -> str:
        generation = "" if self.generation is None else f"@{self.generation}"
        more = [*filter(None, [self.space]), *(["exact"] if self.exact else [])]
        return f"{self.root}{generation}" + (f" ({', '.join(more)})" if more else "")


@dataclass(frozen=True, slots=True)
class Move:
    """An item's rank on either side; None where it is not among the first k."""

    uri: str
    old_rank: int | None
    new_rank: int | None


@dataclass(frozen=True, slots=True)
class QueryDiff:
    """How one query's first k items differ.

    Attributes:
        query: The query.
        jaccard: Items in both answers over items in either.
        rbo: Rank-biased overlap, 0 … 1; see `rank_biased_overlap`.
        same_first: Whether the first item is the same.
        moves: Items whose rank differs, by the better of their ranks.
    """

    query: str
    jaccard: float
    rbo: float
    same_first: bool
    moves: tuple[Move, ...]


@dataclass(frozen=True, slots=True)
class Diff:
    """All queries, in the order they were asked, and their means."""

    old: str
    new: str
    k: int
    queries: tuple[QueryDiff, ...]

    @property
    def jaccard(self) -> float:
        """Mean over the queries."""
        return fmean(query.jaccard for query in self.queries)

    @property
    def rbo(self) -> float:
        """Mean over the queries."""
        return fmean(query.rbo for query in self.queries)

    @property
    def same_first(self) -> int:
        """Queries whose first item stays."""
        return sum(query.same_first for query in self.queries)

    @property
    def unchanged(self) -> int:
        """Queries whose answers are the same, item by item."""
        return sum(not query.moves for query in self.queries)

    def most_changed(self, count: int) -> list[QueryDiff]:
        """The queries with the least overlap, worst first, without the unchanged ones."""
        changed = [query for query in self.queries if query.moves]
        return sorted(changed, key=lambda query: (query.rbo, query.jaccard))[:count]


def diff(
    old: str | os.PathLike[str] | Side,
    new: str | os.PathLike[str] | Side,
    queries: Sequence[str | Query] | None = None,
    *,
    k: int = 10,
    to: str | Collection[Target | str] | None = (),
    where: str | Sequence[str] | None = None,
    device: str = "auto",
    on_query: Callable[[int, int], None] = lambda done, total: None,
) -> Diff:
    """Ask two sides the same queries.

    Args:
        old: What serves now: a folder, `FOLDER@GENERATION`, or a `Side`.
        new: What would take its place.
        queries: What to ask; None: captions of the old side's items, evenly chosen.
        k: Items of an answer that are compared.
        to: As for a search, but for moments.
        where: As for a search; holds for both sides.
        device: Where models run.
        on_query: Told after each query how many are done, of how many.

    Raises:
        QueryError: Nothing to ask, or a query that a side cannot embed.
        CollectionError, ModelError, FilterError: As opening and searching either side.
    """
    sides = [side if isinstance(side, Side) else Side.parse(os.fspath(side)) for side in (old, new)]
    targets = targets_of(to)
    if Target.MOMENT in targets:
        raise QueryError("diff compares items; moments of one item have no rank of their own")
    snapshots = [side.snapshot() for side in sides]
    # A caption is a text as it is, whatever it looks like.
    captions = _captions(snapshots[0]) if queries is None else []
    asked = [Query.of_text(caption) for caption in captions] if queries is None else queries
    if not asked:
        raise QueryError("there is nothing to ask: give at least one query")
    encoders = _Encoders(device)
    searchers = [
        (
            Searcher(snapshot, encoders, exact=side.exact),
            None if side.space is None else [side.space],
        )
        for side, snapshot in zip(sides, snapshots, strict=True)
    ]
    found = []
    for number, query in enumerate(asked, 1):
        one, other = (
            searcher.search(query, to=targets, k=k, where=where, spaces=names)
            for searcher, names in searchers
        )
        found.append(
            compare(one.query, [hit.uri for hit in one.hits], [hit.uri for hit in other.hits])
        )
        on_query(number, len(asked))
    return Diff(str(sides[0]), str(sides[1]), k, tuple(found))


def compare(query: str, old: Sequence[str], new: Sequence[str]) -> QueryDiff:
    """Compare two answers, each a list of uris, best first."""
    olds = {uri: rank for rank, uri in enumerate(old, 1)}
    news = {uri: rank for rank, uri in enumerate(new, 1)}
    moves = [
        Move(uri, olds.get(uri), news.get(uri))
        for uri in {**olds, **news}
        if olds.get(uri) != news.get(uri)
    ]
    moves.sort(key=lambda move: min(move.old_rank or len(olds) + 1, move.new_rank or len(news) + 1))
    return QueryDiff(
        query,
        jaccard(old, new),
        rank_biased_overlap(old, new),
        list(old[:1]) == list(new[:1]),
        tuple(moves),
    )


class _Encoders:
    """Encoders by the digest of their space: two collections of one model share it."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._loaded: dict[tuple[str, str], Encoder] = {}

    def __call__(self, space: Space) -> Encoder:
        key = (space.name, space.digest)
        if key not in self._loaded:
            encoder = load_encoder(space.encoder, device=self._device)
            check_encoder(space, encoder)
            self._loaded[key] = encoder
        return self._loaded[key]


def _captions(snapshot: Snapshot) -> list[str]:
    """Captions of a generation, evenly chosen."""
    captions = dict.fromkeys(
        caption
        for batch in snapshot.iter_items()
        for caption in batch.column("caption").to_pylist()
        if caption and caption.strip()
    )
    if not captions:
        raise QueryError(f"{snapshot.root} holds no captions to ask; give queries of your own")
    step = max(1, len(captions) / SAMPLED_CAPTIONS)
    every = list(captions)
    return [every[int(place * step)] for place in range(min(len(every), SAMPLED_CAPTIONS))]
