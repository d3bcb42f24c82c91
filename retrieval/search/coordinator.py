"""Answers queries over one or several members.

`Coordinator.search` shows the whole query path: parse, filter, match words, embed, search and group
by item, order, localize, re-rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import MemberUnavailableError, QueryError
from retrieval.localization.similarity import SimilarityLocalizer
from retrieval.protocols import Encoder, Localizer
from retrieval.search.calibration import Calibration
from retrieval.search.fusion import MIN_CANDIDATES, fuse, fused_hits
from retrieval.search.hits import Hits, with_values
from retrieval.search.member import WantedRows
from retrieval.search.members import Members
from retrieval.search.moments import MomentStage
from retrieval.search.options import SearchOptions
from retrieval.search.pooled_calibration import PooledCalibration
from retrieval.search.query import Query, QueryLike
from retrieval.search.query_vectors import QueryVectors, embed_query
from retrieval.search.ranking import ScoredItem, best_of_items, hits_of, rank_items
from retrieval.search.reranking.reranker import rerank, text_of
from retrieval.search.result import SearchResult, StageTimes, Stopwatch
from retrieval.search.scatter import Scatter, SentQuery
from retrieval.search.text_answers import TextAnswers
from retrieval.search.text_moments import rank_moments
from retrieval.search.vector_query import VectorQuery
from retrieval.targets import Target, TextMode
from retrieval.texts.word_query import WordQuery
from retrieval.types import Hit, Medium, Space


@dataclass(frozen=True, slots=True)
class _Found:
    """What the vectors of a query found.

    Attributes:
        query: The query that was embedded.
        vectors: The query by space.
        calibrations: Calibration by space.
        items: Items, best first.
        scatter: Asks the members.
    """

    query: Query | VectorQuery
    vectors: Mapping[str, QueryVectors]
    calibrations: Mapping[str, Calibration]
    items: list[ScoredItem]
    scatter: Scatter


class Coordinator:
    """Searches several members as if they were one collection.

    Attributes:
        members: The members.

    Args:
        members: The attribute.
        encoders: Returns the encoder of a space. It is called when a query first needs one.
        localizers: Find the moments of items, in order of preference. The last one must accept
            every query.
        partial: Leave out members that do not answer, instead of raising an error.
    """

    def __init__(
        self,
        members: Members,
        encoders: Callable[[Space], Encoder],
        localizers: Sequence[Localizer] = (SimilarityLocalizer(),),
        *,
        partial: bool = False,
    ) -> None:
        self.members = members
        self._calibration = PooledCalibration(members)
        self._encoders = encoders
        self._moments = MomentStage(localizers, members.spaces)
        self._partial = partial

    def search(
        self, query: QueryLike | VectorQuery, options: SearchOptions | None = None
    ) -> SearchResult:
        """Answer one query; see `Collection.search`.

        Item ids of the query and of `options.ids` are global; see `Members`.

        Raises:
            MemberUnavailableError: A member does not answer, and partial answers are not allowed,
                or none answers.
        """
        parsed = query if isinstance(query, VectorQuery) else Query.of(query)
        options = options or SearchOptions()
        absent: set[str] = set()
        while True:
            try:
                return self._search(parsed, options, absent)
            except MemberUnavailableError as error:
                absent.update(error.names)
                if not self._partial or not error.names or len(absent) == len(self.members):
                    raise

    def _search(
        self, parsed: Query | VectorQuery, options: SearchOptions, absent: AbstractSet[str]
    ) -> SearchResult:
        stopwatch, title = Stopwatch(), str(parsed)
        if isinstance(parsed, Query):
            parsed = self.members.with_global_ids(parsed)
        words = _words_of(parsed, options.text)
        rerank_text = None if options.reranker is None else text_of(parsed)
        # Filter the rows first: a refused condition must fail before a model is loaded.
        spaces = self._spaces_of(parsed, options)
        sent = SentQuery(options, spaces, words, parsed.item_ids)
        scatter = Scatter(self.members, self._calibration, sent, absent)
        asked = parsed
        if words is not None and words.restricts_vectors and scatter.has_texts:
            asked = Query.of_text(words.words)  # Models embed the words without operators.
            rerank_text = rerank_text and text_of(asked)
        # Find the items whose texts match.
        limit = self._item_limit(options)
        stopwatch_text = Stopwatch()
        text = scatter.find_texts(limit)
        text_ms = scatter.text_ms + stopwatch_text.lap()
        stopwatch.lap()
        # Embed the query, without loading models of spaces that have no matching row.
        known = [self.members.spaces[name] for name in spaces if name in scatter.spaces]
        known = known or [self.members.spaces[name] for name in spaces]
        vectors = embed_query(asked, known, self._encoders, scatter.item_vectors) if known else {}
        encode_ms = stopwatch.lap()
        # Search the spaces, group rows by item, order the items.
        candidates = max(limit, MIN_CANDIDATES) if text.groups else limit
        matches = scatter.find(vectors, candidates) if vectors else {}
        calibrations = scatter.calibrations(vectors)
        items = rank_items(matches, vectors, calibrations, candidates)
        search_ms = stopwatch.lap()
        # Look up the items' columns, add the items that texts found, and localize moments.
        found = _Found(asked, vectors, calibrations, items, scatter)
        if text.groups:
            hits = self._hybrid_hits(found, text, options, limit)
        else:
            hits = self._vector_hits(found, options)
        shown = [hit for hit in hits if hit.likely or not options.cutoff]
        hidden, hits = len(hits) - len(shown), shown
        times = StageTimes(encode_ms, scatter.filter_ms, search_ms, stopwatch.lap(), text=text_ms)
        # Re-rank the first hits.
        if options.reranker is not None and rerank_text is not None:
            hits = rerank(hits, rerank_text, options.reranker, top=options.rerank_top)
            times = replace(times, rerank=stopwatch.lap())
        # Return the requested page.
        hits = scatter.finish(_page(hits, options), vectors if options.with_vectors else None)
        names = tuple(name for name in self.members.names if name in absent)
        return SearchResult(title, Hits(hits), times, hidden, names)

    def _vector_hits(self, found: _Found, options: SearchOptions) -> list[Hit]:
        """Rank the items that vectors found, or their moments."""
        hits = hits_of(found.items, found.scatter)
        if Target.MOMENT not in options.to:
            return hits
        pairs = list(zip(found.items, hits, strict=True))
        ranked = self._moments.refine(
            pairs, found.query, found.vectors, found.calibrations, found.scatter
        )
        return [entry.hit for entry in ranked[: options.first_stage_hits]]

    def _hybrid_hits(
        self, found: _Found, text: TextAnswers, options: SearchOptions, limit: int
    ) -> list[Hit]:
        """Rank the items that vectors and texts found, or their moments."""
        scatter, item_ids = found.scatter, [item.match.item_id for item in found.items]
        word_ids = sorted(text.groups.keys() - set(item_ids))
        text.groups |= scatter.match_texts([id_ for id_ in item_ids if id_ not in text.groups])
        if Target.MOMENT not in options.to:
            fused = fuse(found.items, text.groups, limit)
            return text.describe_all(fused_hits(fused, scatter))
        others = scatter.score(found.vectors, word_ids) if found.vectors else {}
        items = [
            *found.items,
            *best_of_items(others, found.vectors, found.calibrations),
        ]
        pairs = list(zip(items, hits_of(items, scatter), strict=True))
        ranked = self._moments.refine(
            pairs, found.query, found.vectors, found.calibrations, scatter, calibrated=True
        )
        text.groups = scatter.complete_texts(text.groups)
        return rank_moments(ranked, text, scatter, options.first_stage_hits)

    def curve(
        self, query: QueryLike, item_id: int, space: str, medium: Medium
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Score the segments of one item: starts, ends and scores, each (n,) float32."""
        asked = Query.of(query)
        sent = SentQuery(SearchOptions(), [space])
        scatter = Scatter(self.members, self._calibration, sent)
        spaces = [self.members.spaces[space]]
        embedded = embed_query(asked, spaces, self._encoders, scatter.item_vectors)
        (rows,) = scatter.timed_rows([WantedRows(item_id, space, medium)])
        if not len(rows.vectors):
            empty = np.empty(0, np.float32)
            return empty, empty, empty
        scores = (rows.vectors @ embedded[space].vectors.T).mean(axis=1)
        starts, ends = rows.start_seconds, rows.end_seconds
        return starts.astype(np.float32), ends.astype(np.float32), scores

    def _spaces_of(self, query: Query | VectorQuery, options: SearchOptions) -> list[str]:
        """Names of the non-empty spaces to search; none if words alone are."""
        if options.text is TextMode.ONLY:
            return []
        names = options.spaces
        if isinstance(query, VectorQuery):
            names = [query.choose_space(list(self.members.spaces.values())).name]
        return [name for name in self.members.filled_spaces if names is None or name in names]

    def _item_limit(self, options: SearchOptions) -> int:
        """Number of items to rank; one item can have several moments."""
        limit = min(options.first_stage_hits, max(1, self.members.item_count))
        return max(limit, self._moments.max_items) if Target.MOMENT in options.to else limit


def _words_of(query: Query | VectorQuery, mode: TextMode) -> WordQuery | None:
    """Return the words to match with texts; None if only vectors are searched.

    Raises:
        QueryError: Only words are requested, and the query is not a text.
    """
    if mode is TextMode.OFF:
        return None
    words = None if isinstance(query, VectorQuery) else query.words
    if words is None and mode is TextMode.ONLY:
        raise QueryError(f"words are found by a single text, got {query}")
    return words


def _page(hits: Iterable[Hit], options: SearchOptions) -> list[Hit]:
    """Drop low scores, number the hits, and cut out the requested page."""
    minimum = options.min_score
    scored = [hit for hit in hits if minimum is None or _reaches(hit, minimum)]
    page = scored[options.offset : options.offset + options.k]
    ranked = enumerate(page, options.offset + 1)
    return [hit if hit.rank == rank else with_values(hit, rank=rank) for rank, hit in ranked]


def _reaches(hit: Hit, minimum: float) -> bool:
    """Whether the score of a hit reaches a minimum, or the hit has a matching text."""
    return hit.matched is not None or (hit.score is not None and hit.score >= minimum)
