"""Search: query → vectors per space → filter → index → group by item → order → localize."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from indexes.selection import Selection
from retrieval.errors import QueryError
from retrieval.localization.similarity import SimilarityLocalizer
from retrieval.media.sources.presence import is_missing
from retrieval.protocols import Encoder, Localizer
from retrieval.search.arguments import check_counts, item_ids_of
from retrieval.search.calibration import QueryKind
from retrieval.search.filtering import RowFilter, media_targets
from retrieval.search.hit_vectors import with_vectors
from retrieval.search.hits import Hits
from retrieval.search.items import ItemTable
from retrieval.search.moments import Candidate, MomentStage, segment_rows
from retrieval.search.open_space import ItemMatch, OpenedSpace, Part, best_items, bounded
from retrieval.search.query import Askable, Query
from retrieval.search.query_vectors import QueryVectors, embed_query
from retrieval.search.reranking.reranker import TOP, Reranker, rerank, text_of
from retrieval.search.vector_query import VectorQuery
from retrieval.store.blocks import contained
from retrieval.store.reader import Snapshot
from retrieval.store.schema import MEDIUM_CODES
from retrieval.targets import Target
from retrieval.types import Hit, Medium, Scalar, Space


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds of the stages of one search; `rerank` is None where nothing was re-ranked.

    `filter` is the time to find the rows that may answer: near 0 for a condition asked before.
    """

    encode: float
    filter: float
    search: float
    localize: float
    rerank: float | None = None


class _Stopwatch:
    """Milliseconds from lap to lap."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        before, self._last = self._last, time.perf_counter()
        return (self._last - before) * 1e3


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One query's hits, best first."""

    query: str
    hits: Hits
    took_ms: Took


class Searcher:
    """A snapshot with its indexes open; answers from that one generation for ever.

    Args:
        snapshot: The generation.
        encoders: Gives the encoder of a space; called when a query first needs it.
        localizers: Find the moments of items, the preferred one first; the last one must answer
            every query.
        exact: Leave approximate indexes aside.
        device: Where indexes are searched: `cpu`, `cuda` or `auto`.
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
        self._stage = MomentStage(snapshot, localizers, self._spaces)
        self._items = ItemTable(snapshot)
        self._filter = RowFilter(snapshot, self._items)

    def search(
        self,
        query: Askable | VectorQuery,
        *,
        to: Collection[Target] = (),
        k: int = 10,
        offset: int = 0,
        where: str | Sequence[str] | None = None,
        ids: Sequence[int] | NDArray[np.integer] | None = None,
        cutoff: bool = False,
        min_score: float | None = None,
        spaces: Sequence[str] | None = None,
        reranker: Reranker | None = None,
        rerank_top: int = TOP,
        vectors_of_hits: bool = False,
    ) -> SearchResult:
        """Answer one query; see `Collection.search`."""
        check_counts(k, offset, rerank_top, min_score)
        parsed = query if isinstance(query, VectorQuery) else Query.of(query)
        text = None if reranker is None else text_of(parsed)
        clock = _Stopwatch()
        if isinstance(parsed, VectorQuery):
            spaces = [parsed.chosen(self._snapshot.spaces).name]
        chosen = [
            opened
            for name, opened in self._spaces.items()
            if opened.parts and (spaces is None or name in spaces)
        ]
        # Before any model is loaded: a condition that is refused should be so at once.
        selected = self._selected(chosen, to, where)
        selected = self._restricted(selected, ids, self._own_items(parsed))
        filter_ms = clock.lap()
        # Models of spaces without a row that may answer are not needed.
        answering = [o for o in chosen if any(rows.count for _, rows in selected[o.space.name])]
        known = [opened.space for opened in answering or chosen]
        vectors = self._embedded(parsed, known) if known else {}
        encode_ms = clock.lap()
        wanted = offset + k if reranker is None else max(offset + k, rerank_top)
        # More items than there are cannot come; more moments than items can.
        items = min(wanted, max(1, len(self._items.item_ids)))
        firsts = max(items, self._stage.max_items) if Target.MOMENT in to else items
        candidates = self._candidates(vectors, selected, firsts)
        search_ms = clock.lap()
        if Target.MOMENT in to:
            hits = self._moments(candidates, parsed, vectors, wanted)
        else:
            hits = self._hits(candidates[:items])
        hits = [hit for hit in hits if hit.likely or not cutoff]
        took = Took(encode_ms, filter_ms, search_ms, clock.lap())
        if reranker is not None and text is not None:
            hits = rerank(hits, text, reranker, top=rerank_top)
            took = replace(took, rerank=clock.lap())
        if min_score is not None:
            hits = [hit for hit in hits if hit.score >= min_score]
        hits = [replace(hit, rank=i) for i, hit in enumerate(hits, 1)][offset : offset + k]
        if vectors_of_hits:
            hits = list(with_vectors(hits, self._snapshot, vectors))
        missing = {uri: is_missing(uri) for uri in {hit.uri for hit in hits}}
        marked = (replace(hit, missing=missing[hit.uri]) for hit in hits)
        return SearchResult(str(parsed), Hits(marked), took)

    def curve(
        self, query: Askable, item_id: int, space: str, medium: Medium
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """A query's score over one item's segments: starts, ends and scores, each (n,)."""
        opened = self._spaces[space]
        spaces = [opened.space]
        found = embed_query(Query.of(query), spaces, self._encoders, self._stored)
        vectors = found[space].vectors
        for part in opened.parts:
            rows = segment_rows(part, item_id, MEDIUM_CODES.index(medium))
            if len(rows.vectors):
                scores = (rows.vectors @ vectors.T).mean(axis=1)
                return (
                    rows.start_seconds.astype(np.float32),
                    rows.end_seconds.astype(np.float32),
                    scores,
                )
        empty = np.empty(0, np.float32)
        return empty, empty, empty

    def _embedded(
        self, query: Query | VectorQuery, spaces: Sequence[Space]
    ) -> dict[str, QueryVectors]:
        if isinstance(query, VectorQuery):
            return query.embedded(spaces)
        return embed_query(query, spaces, self._encoders, self._stored)

    def _moments(
        self,
        candidates: list[Candidate],
        query: Query | VectorQuery,
        vectors: dict[str, QueryVectors],
        wanted: int,
    ) -> list[Hit]:
        """Refine the best candidates to spans."""
        considered = candidates[: max(wanted, self._stage.max_items)]
        found = list(zip(considered, self._hits(considered), strict=True))
        return self._stage.refine(found, query, vectors, by_score=len(vectors) < 2)[:wanted]

    # ------------------------------------------------------------ items

    def _selected(
        self,
        spaces: Sequence[OpenedSpace],
        to: Collection[Target],
        where: str | Sequence[str] | None,
    ) -> dict[str, list[tuple[Part, Selection]]]:
        """The rows of every space's parts that may answer."""
        conditions = [where] if isinstance(where, str) else list(where or ())
        for condition in conditions:
            self._filter.matching(condition)  # refused even where there is nothing to filter
        # Each is a condition by itself, so that parentheses join them as they were meant.
        joined = " AND ".join(f"({one})" for one in conditions)
        asked = joined if len(conditions) > 1 else next(iter(conditions), None)
        targets = media_targets(to)
        return {
            opened.space.name: [
                (part, self._filter.select(part, targets, asked)) for part in opened.parts
            ]
            for opened in spaces
        }

    def _restricted(
        self,
        selected: dict[str, list[tuple[Part, Selection]]],
        ids: Sequence[int] | NDArray[np.integer] | None,
        without: Sequence[int],
    ) -> dict[str, list[tuple[Part, Selection]]]:
        """The rows of the items named, or of all, but never of the query's own items."""
        if ids is None and not without:
            return selected
        among = None if ids is None else np.unique(item_ids_of(ids))
        own = np.asarray(sorted(without), np.int64)

        def narrowed(part: Part, rows: Selection) -> Selection:
            mask = rows.mask & ~contained(part.rows.item_ids, own)
            if among is not None:
                mask &= contained(part.rows.item_ids, among)
            return part.selection(mask)

        return {
            name: [(part, narrowed(part, rows)) for part, rows in parts]
            for name, parts in selected.items()
        }

    def _own_items(self, query: Query | VectorQuery) -> tuple[int, ...]:
        """Items that the query is made of; all of them are there."""
        if isinstance(query, VectorQuery):
            return ()
        named = np.array(query.item_ids, np.int64)
        there = contained(named, self._items.item_ids)
        there &= ~contained(named, self._snapshot.removed_ids())
        for item_id in named[~there]:
            raise QueryError(f"no item has the id {item_id}; every hit of a search shows its id")
        return query.item_ids

    def _stored(self, space: str, item_id: int) -> NDArray[np.float32]:
        return self._snapshot.item_segments(space, item_id).vectors

    def _candidates(
        self,
        vectors: dict[str, QueryVectors],
        selected: dict[str, list[tuple[Part, Selection]]],
        k: int,
    ) -> list[Candidate]:
        """Items of all spaces, each once, best first."""
        best: dict[int, Candidate] = {}
        for name, query in vectors.items():
            opened = self._spaces[name]
            for part, rows in selected[name]:
                if not rows.count:
                    continue
                for match in best_items(part, query.vectors, k, rows, query.kind):
                    candidate = _judged(match, opened, part, query.kind)
                    older = best.get(match.item_id)
                    if older is None or candidate.calibrated > older.calibrated:
                        best[match.item_id] = candidate
        # Scores of one space are comparable as they are; calibration is for several.
        by_score = len(vectors) < 2
        return sorted(
            best.values(),
            key=lambda c: (-(c.match.score if by_score else c.calibrated), c.match.item_id),
        )

    def _hits(self, candidates: Sequence[Candidate]) -> list[Hit]:
        described = self._items.rows([candidate.match.item_id for candidate in candidates])
        return [
            _hit(candidate, uri, modality, metadata)
            for candidate, (uri, modality, metadata) in zip(candidates, described, strict=True)
        ]


def _judged(match: ItemMatch, opened: OpenedSpace, part: Part, kind: QueryKind) -> Candidate:
    medium = MEDIUM_CODES[match.medium]
    calibration = opened.calibration
    return Candidate(
        match,
        opened,
        part,
        calibration.calibrated(match.score, kind, medium),
        calibration.likely(match.score, kind, medium),
    )


def _hit(candidate: Candidate, uri: str, modality: Medium, metadata: dict[str, Scalar]) -> Hit:
    match = candidate.match
    timed = not np.isnan(match.start_seconds)
    return Hit(
        rank=0,
        score=bounded(match.score),
        item_id=match.item_id,
        uri=uri,
        modality=modality,
        medium=candidate.medium,
        start_seconds=match.start_seconds if timed else None,
        end_seconds=match.end_seconds if timed else None,
        space=candidate.opened.space.name,
        likely=candidate.likely,
        metadata=metadata,
    )
