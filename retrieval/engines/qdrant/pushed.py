"""`PushedCollection`, the searching part of `Collection` for one that was pushed to Qdrant."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Collection as AnyOf
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrieval.collection import Collection
from retrieval.engines.qdrant.address import QdrantAddress
from retrieval.engines.qdrant.conditions import all_of, any_of, condition_filter, matches, none_of
from retrieval.engines.qdrant.generations import open_current
from retrieval.engines.qdrant.payload import ITEM_ID, MEDIUM, MODALITY
from retrieval.engines.qdrant.ranking import PushedPoints, RankedMatch, rank
from retrieval.engines.qdrant.server import QdrantServer
from retrieval.errors import CollectionDamagedError, QueryError, RetrievalError
from retrieval.media.sources.presence import is_missing
from retrieval.search.arguments import item_ids_of, names_of, query_of, targets_of, text_mode_of
from retrieval.search.filtering import media_targets
from retrieval.search.hits import Hits
from retrieval.search.options import SearchOptions
from retrieval.search.query import Query, QueryLike
from retrieval.search.query_vectors import QueryVectors, embed_query
from retrieval.search.reranking.reranker import RERANK_TOP, Reranker, rerank, text_of
from retrieval.search.searcher import SearchResult, StageTimes
from retrieval.search.vector_query import VectorQuery
from retrieval.store.current import read_current
from retrieval.store.status import SpaceStatus, Status
from retrieval.targets import Target, TextMode
from retrieval.types import Hit, Medium, Space

MIN_EXACT_ITEMS = 100
"""Number of items to ask for where they are scored again; no localizer reads more."""


class PushedCollection:
    """A pushed generation: `search`, `answer` and `status` as of `Collection`.

    Qdrant finds items by vectors. Words, moments and exact scores need the collection itself. It is
    used where its folder is given, or where it still has the generation that was pushed.

    Attributes:
        address: Address with the name.
        card: What was pushed.
    """

    def __init__(
        self,
        address: str,
        *,
        collection: str | os.PathLike[str] | None = None,
        device: str = "auto",
        localizer: str = "auto",
        use_source: bool = True,
    ) -> None:
        """Connect to a pushed collection; see `open_pushed`."""
        place = QdrantAddress.parse(address)
        self._server = QdrantServer(place)
        try:
            found = open_current(self._server, place.name)
            self._collection, self.card = found.collection, found.card
            self.address = str(place.named(found.card.name))
            self._check_count()
            root = Path(self.card.source if collection is None else collection).expanduser()
            # Also without its folder, this object loads the encoders.
            self._source = Collection(root, device=device, localizer=localizer)
            self._has_source = self._is_current(root, given=collection is not None, use=use_source)
        except BaseException:
            self._server.close()
            raise

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self.address!r}): {self.status().summary()}>"

    def __len__(self) -> int:
        """Number of items that have vectors."""
        return sum(self.card.items.values())

    def __bool__(self) -> bool:
        """Always true, so that an empty collection differs from None."""
        return True

    def close(self) -> None:
        """Release models, files and the connection."""
        self._source.close()
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def source(self) -> Path | None:
        """The folder of the collection if it is used for moments and exact scores."""
        return self._source.root if self._has_source else None

    def status(self) -> Status:
        """Summarise the pushed generation."""
        return Status(
            generation=self.card.generation,
            items=self.card.items,
            removed=0,
            failures=0,
            bytes=0,
            spaces=tuple(
                SpaceStatus(
                    name=each.space.name,
                    encoder=each.space.encoder,
                    dim=each.space.dim,
                    media=tuple(medium.value for medium in each.space.media),
                    rows=each.rows,
                    index=(self._collection,),
                )
                for each in self.card.spaces
            ),
        )

    # ------------------------------------------------------------ searching

    def search(self, query: QueryLike | VectorQuery | None = None, **options: Any) -> Hits:
        """Find the items closest to a query; the arguments are those of `answer`."""
        return self.answer(query, **options).hits

    def answer(
        self,
        query: QueryLike | VectorQuery | None = None,
        *,
        like: int | None = None,
        to: str | AnyOf[Target | str] | None = (),
        k: int = 10,
        offset: int = 0,
        where: str | Sequence[str] | None = None,
        ids: Sequence[int] | NDArray[np.integer] | None = None,
        cutoff: bool = False,
        min_score: float | None = None,
        spaces: str | Sequence[str] | None = None,
        rerank: str | Reranker | None = None,
        rerank_top: int = RERANK_TOP,
        with_vectors: bool = False,
        text: str | TextMode = TextMode.AUTO,
        vector: ArrayLike | None = None,
        space: str | None = None,
    ) -> SearchResult:
        """Find the items closest to a query; the arguments are those of `Collection.answer`.

        `text` of `auto` and `off` are the same: Qdrant has vectors, and no words.

        Raises:
            QueryError: The query or an argument is invalid, or needs the collection itself.
            FilterError: The condition is invalid, or Qdrant cannot evaluate it.
            SpaceMismatchError: The model here is not the one of the pushed vectors.
            ServerError: The server does not answer.
        """
        given = query_of(query, like, vector, space)
        if text_mode_of(text) is TextMode.ONLY:
            raise QueryError("Qdrant has no words of the items; search the collection for words")
        options = SearchOptions(
            to=targets_of(to),
            k=k,
            offset=offset,
            where=where,
            ids=ids,
            spaces=names_of(spaces),
            cutoff=cutoff,
            min_score=min_score,
            reranker=self._source.reranker(rerank) if isinstance(rerank, str) else rerank,
            rerank_top=rerank_top,
            with_vectors=with_vectors,
            text=TextMode.OFF,
        )
        return self._answer(given if isinstance(given, VectorQuery) else Query.of(given), options)

    def _answer(self, query: Query | VectorQuery, options: SearchOptions) -> SearchResult:
        if Target.MOMENT in options.to and not self._has_source:
            raise QueryError(
                f"moments need the collection itself; give the folder of generation "
                f"{self.card.generation} of {self.card.source}"
            )
        if options.reranker is not None:
            text_of(query)  # refuses other queries before anything is searched
        start = time.perf_counter()
        condition = self._condition(query, options)
        points = PushedPoints(self._server, self._collection, with_vectors=options.with_vectors)
        known = self._spaces(query, options)
        matching = [each for each in known if points.has_points(each.name, condition)]
        filtered = time.perf_counter()
        vectors = self._embed(query, matching or known, points)
        embedded = time.perf_counter()
        found = rank(points, self.card, vectors, condition, self._limit(options))
        times = StageTimes(
            (embedded - filtered) * 1e3,
            (filtered - start) * 1e3,
            (time.perf_counter() - embedded) * 1e3,
            0.0,
        )
        if Target.MOMENT in options.to:
            return self._moments(query, options, found, times)
        if self._has_source:
            start = time.perf_counter()
            hits = self._exact_hits(query, vectors, found, options)
            times = replace(times, localize=(time.perf_counter() - start) * 1e3)
        else:
            hits = [each.hit(self.card.columns) for each in found]
        return _result(query, hits, options, times)

    def _exact_hits(
        self,
        query: Query | VectorQuery,
        vectors: Mapping[str, QueryVectors],
        found: Sequence[RankedMatch],
        options: SearchOptions,
    ) -> list[Hit]:
        """Score the found items exactly in the collection itself."""
        if not found:
            return []
        everything = replace(
            _selecting(found, options),
            k=len(found), offset=0, cutoff=False, min_score=None, reranker=None,
        )  # fmt: skip
        hits = list(self._source.searcher.search(query, everything).hits)
        if len(vectors) > 1 and len({hit.space for hit in hits}) == 1:
            # The items are of one space by chance, and the collection compares their scores as they
            # are. Among all items, calibrated scores are compared.
            hits.sort(key=lambda hit: (-self._calibrated(hit, vectors), hit.item_id))
        return hits

    def _calibrated(self, hit: Hit, vectors: Mapping[str, QueryVectors]) -> float:
        assert hit.space is not None
        assert hit.score is not None
        calibration = self.card.calibration(hit.space)
        return calibration.calibrated(hit.score, vectors[hit.space].query_type, hit.medium)

    def _moments(
        self,
        query: Query | VectorQuery,
        options: SearchOptions,
        found: Sequence[RankedMatch],
        times: StageTimes,
    ) -> SearchResult:
        """Find the moments of the found items in the collection itself."""
        here = self._source.searcher.search(query, _selecting(found, options))
        took = replace(
            here.took_ms,
            encode=here.took_ms.encode + times.encode,
            filter=here.took_ms.filter + times.filter,
            search=here.took_ms.search + times.search,
        )
        return replace(here, took_ms=took)

    # ------------------------------------------------------------ parts

    def _limit(self, options: SearchOptions) -> int:
        """Number of items to ask for; more where they are scored again."""
        limit = options.first_stage_hits
        if self._has_source:
            limit = max(2 * limit, MIN_EXACT_ITEMS)
        return min(limit, max(1, len(self)))

    def _spaces(self, query: Query | VectorQuery, options: SearchOptions) -> list[Space]:
        """Return the spaces with rows that a query is searched in."""
        known = [each.space for each in self.card.spaces if each.rows]
        if isinstance(query, VectorQuery):
            return [query.choose_space([each.space for each in self.card.spaces])]
        return [each for each in known if options.spaces is None or each.name in options.spaces]

    def _embed(
        self, query: Query | VectorQuery, spaces: Sequence[Space], points: PushedPoints
    ) -> dict[str, QueryVectors]:
        dims = {each.space.name: each.space.dim for each in self.card.spaces}

        def stored(space: str, item_id: int) -> NDArray[np.float32]:
            return points.item_vectors(space, item_id, dims[space])

        return embed_query(query, spaces, self._source.encoder, stored) if spaces else {}

    def _condition(self, query: Query | VectorQuery, options: SearchOptions) -> Any:
        """Return the filter of targets, conditions, ids, and items of the query itself."""
        targets = media_targets(options.to)
        modalities = [str(t) for t in (Target.IMAGE, Target.VIDEO) if t in targets]
        media = [any_of(matches(MODALITY, modalities))] if modalities else []
        if Target.MUSIC in targets:
            media.append(any_of(matches(MEDIUM, [str(Medium.AUDIO)])))
        parts = [any_of(*media)]
        parts += [
            condition_filter(condition, self.card.columns)
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
        if not self._count(all_of(matches(ITEM_ID, [item_id]))):
            raise QueryError(
                f"no item that was pushed has the id {item_id}; hits show the ids of items"
            )

    def _check_count(self) -> None:
        """Refuse a collection that something else changed, or whose push was interrupted."""
        found = self._count(None)
        if not self.card.complete or found != self.card.points:
            raise CollectionDamagedError(
                f"{self.address} has {found:,} points, its metadata lists {self.card.points:,}: "
                f"something else changed it; push {self.card.source} again"
            )

    def _count(self, condition: Any) -> int:
        answer = self._server.call("count", self._collection, count_filter=condition, exact=True)
        return int(answer.count)

    def _is_current(self, root: Path, *, given: bool, use: bool) -> bool:
        """Whether a folder has the generation that was pushed.

        Raises:
            RetrievalError: The folder was given, and is no collection, or of another generation.
        """
        if not (given or use):
            return False
        try:
            current = read_current(root)
        except RetrievalError:
            if given:
                raise
            return False
        if current is not None and current.digest == self.card.manifest:
            return True
        if given:
            state = "is no collection" if current is None else f"is at {current.generation}"
            raise QueryError(
                f"{self.address} was pushed from generation {self.card.generation}, and {root} "
                f"{state}; push it again, or leave out the folder"
            )
        return False


def _selecting(found: Sequence[RankedMatch], options: SearchOptions) -> SearchOptions:
    """Return the options of a search among the found items; Qdrant applied the conditions."""
    ids = np.array([each.match.item_id for each in found], np.int64)
    return replace(options, ids=ids, where=None)


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


def open_pushed(
    address: str,
    *,
    collection: str | os.PathLike[str] | None = None,
    device: str = "auto",
    localizer: str = "auto",
    use_source: bool = True,
) -> PushedCollection:
    """Connect to a pushed collection.

    Args:
        address: `qdrant://HOST:6333/NAME`, `qdrants://…` for TLS, or `qdrant+file:FOLDER#NAME`. The
            name may be left out where one collection was pushed. The environment variable
            QDRANT_API_KEY has the key.
        collection: Folder of the collection, for moments and exact scores. By default, the folder
            that was pushed is used if it still has the pushed generation.
        device: Device of models and indexes: `auto`, `cpu` or `cuda`.
        localizer: `auto`, `similarity`, `hammer` or `hammer:FOLDER`.
        use_source: Use the folder that was pushed.

    Raises:
        QueryError: The address is invalid, or the folder has another generation.
        CollectionNotFoundError: There is no pushed collection of the name.
        CollectionDamagedError: Something else changed the pushed collection.
        ServerError: No server answers, or it refuses the key.
        MissingExtraError: qdrant-client is not installed.
    """
    return PushedCollection(
        address, collection=collection, device=device, localizer=localizer, use_source=use_source
    )
