"""Answers queries over one generation of a collection.

`Searcher.search` shows the whole query path: parse, filter, match words, embed, search and group by
item, order, localize, re-rank.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retrieval.localization.similarity import SimilarityLocalizer
from retrieval.media.sources.presence import is_missing
from retrieval.protocols import Encoder, Localizer
from retrieval.search.filtering import RowFilter, SelectedPart
from retrieval.search.fusion import MIN_CANDIDATES, fuse, fused_hits
from retrieval.search.hit_vectors import with_vectors
from retrieval.search.hits import Hits
from retrieval.search.indexing.card import IndexCard
from retrieval.search.items import ItemTable
from retrieval.search.moments import MomentStage, segment_rows
from retrieval.search.open_space import OpenedSpace
from retrieval.search.options import SearchOptions
from retrieval.search.query import Query, QueryLike
from retrieval.search.query_vectors import QueryVectors, embed_query
from retrieval.search.ranking import ScoredItem, hits_of, rank_items, score_items
from retrieval.search.reranking.reranker import rerank, text_of
from retrieval.search.text_moments import rank_moments
from retrieval.search.text_stage import TextSearch, TextStage
from retrieval.search.vector_query import VectorQuery
from retrieval.store.reader import Snapshot
from retrieval.store.schema import MEDIUM_CODES
from retrieval.targets import Target, TextMode
from retrieval.types import Hit, Medium, Space


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Milliseconds of the stages of one search; `rerank` is None without a re-ranker.

    `filter` is near 0 for a condition that the searcher evaluated before. `text` finds matching
    texts; `localize` includes their fusion with vectors.
    """

    encode: float
    filter: float
    search: float
    localize: float
    rerank: float | None = None
    text: float = 0.0


class _Stopwatch:
    """Measures consecutive intervals."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Milliseconds since the previous lap."""
        before, self._last = self._last, time.perf_counter()
        return (self._last - before) * 1e3


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hits of one query, best first; `hidden` is the number that the cut-off dropped."""

    query: str
    hits: Hits
    took_ms: StageTimes
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class _Found:
    """What the vectors of a query found.

    Attributes:
        query: The query that was embedded.
        vectors: The query by space.
        rows: The selected rows by space.
        items: Items, best first.
    """

    query: Query | VectorQuery
    vectors: Mapping[str, QueryVectors]
    rows: Mapping[str, Sequence[SelectedPart]]
    items: list[ScoredItem]


class Searcher:
    """Searches one snapshot, whose indexes it opens.

    Args:
        snapshot: The generation to search.
        encoders: Returns the encoder of a space. It is called when a query first needs one.
        localizers: Find the moments of items, in order of preference. The last one must accept
            every query.
        exact: Ignore approximate indexes.
        device: Device to search on: `cpu`, `cuda` or `auto`.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        encoders: Callable[[Space], Encoder],
        localizers: Sequence[Localizer] = (SimilarityLocalizer(),),
        *,
        exact: bool = False,
        device: str = "cpu",
    ) -> None:
        self._snapshot = snapshot
        self._encoders = encoders
        self._spaces = {
            space.name: OpenedSpace(snapshot, space, exact=exact, device=device)
            for space in snapshot.spaces
        }
        self._items = ItemTable(snapshot)
        self._filter = RowFilter(snapshot, self._items)
        self._texts = TextStage(snapshot, self._items)
        self._moments = MomentStage(snapshot, localizers, self._spaces)

    @property
    def items(self) -> ItemTable:
        """The living items of the snapshot."""
        return self._items

    def cards(self, space: str) -> list[IndexCard]:
        """Return the cards of the parts of a space's index."""
        return self._spaces[space].cards

    def search(
        self, query: QueryLike | VectorQuery, options: SearchOptions | None = None
    ) -> SearchResult:
        """Answer one query; see `Collection.search`."""
        options = options or SearchOptions()
        # Parse the query.
        parsed = query if isinstance(query, VectorQuery) else Query.of(query)
        stopwatch = _Stopwatch()
        text = self._texts.start(parsed, options.text)
        asked = parsed
        if text is not None:
            options, asked = text.restrict(options), text.query_of_vectors(parsed)
        rerank_text = None if options.reranker is None else text_of(asked)
        text_ms = stopwatch.lap()
        # Filter the rows first: a refused condition must fail before a model is loaded.
        spaces = self._spaces_of(asked, options)
        rows = self._filter.select_rows(spaces, options, excluded=asked.item_ids)
        filter_ms = stopwatch.lap()
        # Find the items whose texts match.
        limit = self._item_limit(options)
        if text is not None:
            text.find(limit, self._filter.select_items(list(self._spaces.values()), options))
        text_ms += stopwatch.lap()
        # Embed the query, without loading models of spaces that have no matching row.
        matching = [opened.space for opened in spaces if rows[opened.space.name]]
        known = matching or [opened.space for opened in spaces]
        vectors = embed_query(asked, known, self._encoders, self._stored_vectors) if known else {}
        encode_ms = stopwatch.lap()
        # Search the spaces, group rows by item, order the items.
        is_hybrid = text is not None and bool(text.groups)
        candidates = max(limit, MIN_CANDIDATES) if is_hybrid else limit
        items = rank_items(self._spaces, rows, vectors, candidates)
        search_ms = stopwatch.lap()
        # Look up the items' columns, add the items that texts found, and localize moments.
        found = _Found(asked, vectors, rows, items)
        if text is not None and is_hybrid:
            hits = self._hybrid_hits(found, text, options, limit)
        else:
            hits = self._vector_hits(found, options)
        shown = [hit for hit in hits if hit.likely or not options.cutoff]
        hidden, hits = len(hits) - len(shown), shown
        times = StageTimes(encode_ms, filter_ms, search_ms, stopwatch.lap(), text=text_ms)
        # Re-rank the first hits.
        if options.reranker is not None and rerank_text is not None:
            hits = rerank(hits, rerank_text, options.reranker, top=options.rerank_top)
            times = replace(times, rerank=stopwatch.lap())
        # Return the requested page.
        hits = _page(hits, options)
        if options.with_vectors:
            hits = list(with_vectors(hits, self._snapshot, vectors))
        return SearchResult(str(parsed), Hits(_mark_missing(hits)), times, hidden)

    def _vector_hits(self, found: _Found, options: SearchOptions) -> list[Hit]:
        """Rank the items that vectors found, or their moments."""
        hits = hits_of(found.items, self._items)
        if Target.MOMENT not in options.to:
            return hits
        pairs = list(zip(found.items, hits, strict=True))
        ranked = self._moments.refine(pairs, found.query, found.vectors)
        return [entry.hit for entry in ranked[: options.first_stage_hits]]

    def _hybrid_hits(
        self, found: _Found, text: TextSearch, options: SearchOptions, limit: int
    ) -> list[Hit]:
        """Rank the items that vectors and texts found, or their moments."""
        item_ids = [item.match.item_id for item in found.items]
        text.find_in(item_ids)
        if Target.MOMENT not in options.to:
            fused = fuse(found.items, text.groups, limit)
            return text.describe_all(fused_hits(fused, self._items))
        others = sorted(text.groups.keys() - set(item_ids))
        items = [*found.items, *score_items(self._spaces, found.rows, found.vectors, others)]
        pairs = list(zip(items, hits_of(items, self._items), strict=True))
        ranked = self._moments.refine(pairs, found.query, found.vectors, calibrated=True)
        text.complete_moments()
        return rank_moments(ranked, text, self._items, options.first_stage_hits)

    def curve(
        self, query: QueryLike, item_id: int, space: str, medium: Medium
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Score the segments of one item: starts, ends and scores, each (n,) float32."""
        opened = self._spaces[space]
        embedded = embed_query(
            Query.of(query), [opened.space], self._encoders, self._stored_vectors
        )
        for part in opened.parts:
            rows = segment_rows(part, item_id, MEDIUM_CODES.index(medium))
            if len(rows.vectors):
                scores = (rows.vectors @ embedded[space].vectors.T).mean(axis=1)
                starts, ends = rows.start_seconds, rows.end_seconds
                return starts.astype(np.float32), ends.astype(np.float32), scores
        empty = np.empty(0, np.float32)
        return empty, empty, empty

    def _spaces_of(self, query: Query | VectorQuery, options: SearchOptions) -> list[OpenedSpace]:
        """Non-empty spaces that a query is searched in; none if words alone are."""
        if options.text is TextMode.ONLY:
            return []
        names = options.spaces
        if isinstance(query, VectorQuery):
            names = [query.choose_space(self._snapshot.spaces).name]
        return [
            opened
            for name, opened in self._spaces.items()
            if opened.parts and (names is None or name in names)
        ]

    def _item_limit(self, options: SearchOptions) -> int:
        """Number of items to rank; one item can have several moments."""
        limit = min(options.first_stage_hits, max(1, len(self._items.item_ids)))
        return max(limit, self._moments.max_items) if Target.MOMENT in options.to else limit

    def _stored_vectors(self, space: str, item_id: int) -> NDArray[np.float32]:
        return self._snapshot.item_segments(space, item_id).vectors


def _page(hits: Iterable[Hit], options: SearchOptions) -> list[Hit]:
    """Drop low scores, number the hits, and cut out the requested page."""
    minimum = options.min_score
    scored = [hit for hit in hits if minimum is None or _reaches(hit, minimum)]
    ranked = [replace(hit, rank=rank) for rank, hit in enumerate(scored, 1)]
    return ranked[options.offset : options.offset + options.k]


def _reaches(hit: Hit, minimum: float) -> bool:
    """Whether the score of a hit reaches a minimum, or the hit has a matching text."""
    return hit.matched is not None or (hit.score is not None and hit.score >= minimum)


def _mark_missing(hits: Sequence[Hit]) -> list[Hit]:
    """Mark hits whose file no longer exists."""
    missing = {uri: is_missing(uri) for uri in {hit.uri for hit in hits}}
    return [replace(hit, missing=missing[hit.uri]) for hit in hits]
