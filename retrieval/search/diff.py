"""Compares the results of two collections, indexes or models for the same queries.

Items are matched by uri, because ids of two collections differ.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.spaces import check_encoder
from retrieval.errors import QueryError
from retrieval.evaluation.overlap import jaccard, rank_biased_overlap
from retrieval.progress import Progress, no_progress
from retrieval.protocols import Encoder
from retrieval.search.coordinator import Coordinator
from retrieval.search.local_member import LocalMember
from retrieval.search.members import Members
from retrieval.search.options import SearchOptions
from retrieval.search.query import Query
from retrieval.store.reader import Snapshot
from retrieval.targets import Target, TextMode
from retrieval.types import Space

SAMPLED_CAPTIONS = 200
"""Number of captions that serve as default queries."""

_GENERATION = re.compile(r"(?P<folder>.+)@(?P<generation>\d+)", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison.

    Attributes:
        root: The collection's folder.
        generation: Generation to search; None: the current one.
        space: The only space to search; None: all spaces.
        exact: Ignore approximate indexes.
        others: Further collections that are searched together with it.
    """

    root: Path
    generation: int | None = None
    space: str | None = None
    exact: bool = False
    others: tuple[Path, ...] = ()

    @classmethod
    def parse(cls, text: str, *, space: str | None = None, exact: bool = False) -> Side:
        """Parse `FOLDER` or `FOLDER@GENERATION`. A folder of that name takes precedence."""
        match = _GENERATION.fullmatch(text)
        if match is None or Path(text).expanduser().exists():
            return cls(Path(text).expanduser(), None, space, exact)
        return cls(Path(match["folder"]).expanduser(), int(match["generation"]), space, exact)

    def snapshots(self) -> dict[str, Snapshot]:
        """Open the generation of each collection, by name.

        Raises:
            CollectionError: A generation does not exist or is incomplete.
            SpaceMismatchError: No collection has the space.
        """
        first = (
            Snapshot.open(self.root)
            if self.generation is None
            else Snapshot.open_generation(self.root, self.generation)
        )
        snapshots = {str(self.root): first}
        snapshots |= {str(root): Snapshot.open(root) for root in self.others}
        if self.space is not None and not any(
            self.space == space.name for each in snapshots.values() for space in each.spaces
        ):
            first.space(self.space)  # raises the error
        return snapshots

    def __str__(self) -> str:
        generation = "" if self.generation is None else f"@{self.generation}"
        details = [*filter(None, [self.space]), *(["exact"] if self.exact else [])]
        names = ", ".join(map(str, [f"{self.root}{generation}", *self.others]))
        return names + (f" ({', '.join(details)})" if details else "")


@dataclass(frozen=True, slots=True)
class Move:
    """The ranks of an item on both sides; None beyond the first k."""

    uri: str
    old_rank: int | None
    new_rank: int | None


@dataclass(frozen=True, slots=True)
class QueryDiff:
    """Differences between the first k items of one query.

    Attributes:
        query: The query.
        jaccard: Number of items in both results over number of items in either.
        rbo: Rank-biased overlap, 0 … 1; see `rank_biased_overlap`.
        same_first: Whether the first item is the same.
        moves: Items whose rank differs, sorted by the better of their ranks.
    """

    query: str
    jaccard: float
    rbo: float
    same_first: bool
    moves: tuple[Move, ...]


@dataclass(frozen=True, slots=True)
class Diff:
    """Differences of all queries, in the order of the queries."""

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
        """Number of queries with the same first item."""
        return sum(query.same_first for query in self.queries)

    @property
    def unchanged(self) -> int:
        """Number of queries with identical results."""
        return sum(not query.moves for query in self.queries)

    def most_changed(self, limit: int) -> list[QueryDiff]:
        """Return the changed queries with the least overlap, most changed first."""
        changed = [query for query in self.queries if query.moves]
        return sorted(changed, key=lambda query: (query.rbo, query.jaccard))[:limit]


def diff(
    old: str | os.PathLike[str] | Side,
    new: str | os.PathLike[str] | Side,
    queries: Sequence[str | Query] | None = None,
    *,
    options: SearchOptions | None = None,
    device: str = "auto",
    progress: Progress = no_progress,
) -> Diff:
    """Search both sides with the same queries.

    Args:
        old: Current side: a folder, `FOLDER@GENERATION`, or a `Side`.
        new: Side that would replace it.
        queries: Queries; None: captions of the old side's items, subsampled evenly.
        options: Options of both searches; their targets must not contain moments.
        device: Device of the models.
        progress: Receives the number of finished queries.

    Raises:
        QueryError: There is no query, or a side cannot embed one.
        CollectionError, ModelError, FilterError: A side cannot be opened or searched.
    """
    # Sampled captions are texts of the items, so that words would find the items themselves.
    options = replace(options or SearchOptions(), text=TextMode.OFF)
    sides = [side if isinstance(side, Side) else Side.parse(os.fspath(side)) for side in (old, new)]
    if Target.MOMENT in options.to:
        raise QueryError("diff compares items and cannot rank moments; choose other targets")
    snapshots = [side.snapshots() for side in sides]
    if queries is None:  # Captions are literal text, not expressions.
        captions = _sample_captions(list(snapshots[0].values()))
        queries = [Query.of_text(caption) for caption in captions]
    if not queries:
        raise QueryError("there are no queries; give at least one")
    encoders = _EncoderCache(device)
    searches = [
        (
            Coordinator(
                Members({name: LocalMember(each, exact=side.exact) for name, each in own.items()}),
                encoders,
            ),
            options if side.space is None else replace(options, spaces=[side.space]),
        )
        for side, own in zip(sides, snapshots, strict=True)
    ]
    diffs = []
    for number, query in enumerate(queries, 1):
        before, after = (searcher.search(query, chosen) for searcher, chosen in searches)
        diffs.append(
            compare(before.query, [hit.uri for hit in before.hits], [hit.uri for hit in after.hits])
        )
        progress("diff", number, len(queries))
    return Diff(str(sides[0]), str(sides[1]), options.k, tuple(diffs))


def compare(query: str, old: Sequence[str], new: Sequence[str]) -> QueryDiff:
    """Compare two results, each a list of uris, best first."""
    old_ranks = {uri: rank for rank, uri in enumerate(old, 1)}
    new_ranks = {uri: rank for rank, uri in enumerate(new, 1)}
    moves = [
        Move(uri, old_ranks.get(uri), new_ranks.get(uri))
        for uri in {**old_ranks, **new_ranks}
        if old_ranks.get(uri) != new_ranks.get(uri)
    ]
    moves.sort(key=lambda move: min(move.old_rank or len(old) + 1, move.new_rank or len(new) + 1))
    return QueryDiff(
        query,
        jaccard(old, new),
        rank_biased_overlap(old, new),
        list(old[:1]) == list(new[:1]),
        tuple(moves),
    )


class _EncoderCache:
    """Loads encoders by the digest of their space, so that both sides share a model."""

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


def _sample_captions(snapshots: Sequence[Snapshot]) -> list[str]:
    """Return distinct captions of some generations, subsampled evenly."""
    captions = list(
        dict.fromkeys(
            caption
            for snapshot in snapshots
            for batch in snapshot.iter_items()
            for caption in batch.column("caption").to_pylist()
            if caption and caption.strip()
        )
    )
    if not captions:
        names = ", ".join(str(snapshot.root) for snapshot in snapshots)
        raise QueryError(f"{names} contains no captions to use as queries; give queries")
    step = max(1, len(captions) / SAMPLED_CAPTIONS)
    return [captions[int(n * step)] for n in range(min(len(captions), SAMPLED_CAPTIONS))]
