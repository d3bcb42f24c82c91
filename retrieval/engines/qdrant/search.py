"""The path of a query over the points of a pushed collection."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.engines.qdrant.card import PushedCard
from retrieval.engines.qdrant.conditions import all_of, any_of, condition_filter, matches, none_of
from retrieval.engines.qdrant.payload import ITEM_ID, MEDIUM, MODALITY
from retrieval.engines.qdrant.ranking import PushedPoints, RankedMatch, rank
from retrieval.errors import QueryError
from retrieval.media.sources.presence import is_missing
from retrieval.protocols import Encoder
from retrieval.search.arguments import item_ids_of, names_of
from retrieval.search.filtering import media_targets
from retrieval.search.hits import Hits
from retrieval.search.open_collection import OpenCollection
from retrieval.search.options import SearchOptions
from retrieval.search.query import Query
from retrieval.search.query_vectors import QueryVectors, embed_query
from retrieval.search.reranking.reranker import rerank, text_of
from retrieval.search.searcher import SearchResult, StageTimes
from retrieval.search.vector_query import VectorQuery
from retrieval.targets import Target
from retrieval.types import Hit, Medium, Space

MIN_EXACT_ITEMS = 100
"""Number of items to ask for where they are scored again; no localizer reads more."""


class PushedSearch:
    """Answers queries from points.

    Args:
        points: The points.
        card: What was pushed.
        encoders: Returns the encoder of a space.
        source: The collection itself, for moments and exact scores; None if it is not available.
    """

    def __init__(
        self,
        points: PushedPoints,
        card: PushedCard,
        encoders: Callable[[Space], Encoder],
        source: OpenCollection | None,
    ) -> None:
        self._points = points
        self._card = card
        self._encoders = encoders
        self._source = source

    def run(self, query: Query | VectorQuery, options: SearchOptions) -> SearchResult:
        """Answer one query; see `PushedCollection.answer`."""
        if Target.MOMENT in options.to and self._source is None:
            raise QueryError(
                f"moments need the collection itself; give the folder of generation "
                f"{self._card.generation} of {self._card.source}"
            )
        if options.reranker is not None:
            text_of(query)  # refuses other queries before anything is searched
        start = time.perf_counter()
        condition = self._condition(query, options)
        known = self._spaces(query, options)
        matching = [each for each in known if self._points.has_points(each.name, condition)]
        filtered = time.perf_counter()
        vectors = self._embed(query, matching or known)
        embedded = time.perf_counter()
        found = rank(self._points, self._card, vectors, condition, self._limit(options))
        times = StageTimes(
            (embedded - filtered) * 1e3,
            (filtered - start) * 1e3,
            (time.perf_counter() - embedded) * 1e3,
            0.0,
        )
        if self._source is None:
            hits = [each.hit(self._card.columns) for each in found]
            return _result(query, hits, options, times)
        return self._exact(self._source, query, vectors, found, options, times)

    def _exact(
        self,
        source: OpenCollection,
        query: Query | VectorQuery,
        vectors: Mapping[str, QueryVectors],
        found: Sequence[RankedMatch],
        options: SearchOptions,
        times: StageTimes,
    ) -> SearchResult:
        """Score the found items exactly, and find their moments, in the collection itself."""
        ids = np.array([each.match.item_id for each in found], np.int64)
        selecting = replace(options, ids=ids, where=None)  # Qdrant applied the conditions
        spaces = {each.space for each in found}
        if len(vectors) > 1 and len(spaces) == 1 and Target.MOMENT not in options.to:
            # The collection would compare the scores of a single space as they are. The items are
            # of one space by chance, so their calibrated scores are compared.
            every = replace(
                selecting, k=len(ids), offset=0, cutoff=False, min_score=None, reranker=None
            )
            hits = list(source.searcher.search(query, every).hits)
            hits.sort(key=lambda hit: (-self._calibrated(hit, vectors), hit.item_id))
            return _result(query, hits[: options.first_stage_hits], options, times)
        result = source.searcher.search(query, selecting)
        took = replace(
            result.took_ms,
            encode=result.took_ms.encode + times.encode,
            filter=result.took_ms.filter + times.filter,
            search=result.took_ms.search + times.search,
        )
        return replace(result, took_ms=took)

    def _calibrated(self, hit: Hit, vectors: Mapping[str, QueryVectors]) -> float:
        assert hit.space is not None
        assert hit.score is not None
        calibration = self._card.calibration(hit.space)
        return calibration.calibrated(hit.score, vectors[hit.space].query_type, hit.medium)

    def _limit(self, options: SearchOptions) -> int:
        """Number of items to ask for; more where they are scored again."""
        limit = options.first_stage_hits
        if self._source is not None:
            limit = max(2 * limit, MIN_EXACT_ITEMS)
        return min(limit, max(1, sum(self._card.items.values())))

    def _spaces(self, query: Query | VectorQuery, options: SearchOptions) -> list[Space]:
        """Return the spaces with rows that a query is searched in."""
        known = [each.space for each in self._card.spaces if each.rows]
        if isinstance(query, VectorQuery):
            return [query.choose_space([each.space for each in self._card.spaces])]
        return [each for each in known if options.spaces is None or each.name in options.spaces]

    def _embed(
        self, query: Query | VectorQuery, spaces: Sequence[Space]
    ) -> dict[str, QueryVectors]:
        dims = {each.space.name: each.space.dim for each in self._card.spaces}

        def stored(space: str, item_id: int) -> NDArray[np.float32]:
            return self._points.item_vectors(space, item_id, dims[space])

        return embed_query(query, spaces, self._encoders, stored) if spaces else {}

    def _condition(self, query: Query | VectorQuery, options: SearchOptions) -> Any:
        """Return the filter of targets, conditions, ids, and items of the query itself."""
        targets = media_targets(options.to)
        modalities = [str(t) for t in (Target.IMAGE, Target.VIDEO) if t in targets]
        media = [any_of(matches(MODALITY, modalities))] if modalities else []
        if Target.MUSIC in targets:
            media.append(any_of(matches(MEDIUM, [str(Medium.AUDIO)])))
        parts = [any_of(*media)]
        parts += [
            condition_filter(condition, self._card.columns)
            for condition in names_of(options.where) or []
        ]
        if options.ids is not None:
            listed = item_ids_of(options.ids).tolist() or [-1]  # no item has the id -1
            parts.append(any_of(matches(ITEM_ID, listed)))
        for item_id in query.item_ids:
            self._check_existing(item_id)
        if query.item_ids:
            parts.append(none_of(matches(ITEM_ID, query.item_ids)))
        return all_of(*parts)

    def _check_existing(self, item_id: int) -> None:
        if not self._points.count(all_of(matches(ITEM_ID, [item_id]))):
            raise QueryError(
                f"no item that was pushed has the id {item_id}; hits show the ids of items"
            )


def _result(
    query: Query | VectorQuery, hits: list[Hit], options: SearchOptions, times: StageTimes
) -> SearchResult:
    """Cut off, re-rank, number and page the ordered hits."""
    shown = [hit for hit in hits if hit.likely or not options.cutoff]
    hidden = len(hits) - len(shown)
    if options.reranker is not None:
        start = time.perf_counter()
        shown = rerank(shown, text_of(query), options.reranker, top=options.rerank_top)
        times = replace(times, rerank=(time.perf_counter() - start) * 1e3)
    minimum = -math.inf if options.min_score is None else options.min_score
    scored = [hit for hit in shown if hit.score is not None and hit.score >= minimum]
    ranked = [replace(hit, rank=rank) for rank, hit in enumerate(scored, 1)]
    page = ranked[options.offset : options.offset + options.k]
    page = [replace(hit, missing=is_missing(hit.uri)) for hit in page]
    return SearchResult(str(query), Hits(page), times, hidden)
