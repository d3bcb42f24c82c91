"""The façade: one folder that holds everything about one corpus."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from collections.abc import Collection as AnyOf

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrieval.duplicates.find import DuplicateOptions, find_duplicates
from retrieval.duplicates.groups import DuplicateGroup
from retrieval.embedding.options import EmbedOptions, EmbedReport
from retrieval.embedding.run import embed
from retrieval.errors import CollectionNotFoundError, RetrievalError
from retrieval.progress import Progress, no_progress
from retrieval.search.arguments import names_of, query_of, targets_of
from retrieval.search.filtering import chosen_items
from retrieval.search.hits import Hits
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.card import IndexCard
from retrieval.search.indexing.deadline import EFFORT_SECONDS
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.open_collection import OpenCollection
from retrieval.search.options import SearchOptions
from retrieval.search.query import QueryLike
from retrieval.search.reranking.reranker import RERANK_TOP, Reranker
from retrieval.search.searcher import SearchResult
from retrieval.search.vector_query import VectorQuery
from retrieval.store.compact import GRACE_SECONDS, CompactReport, compact
from retrieval.store.status import Status
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.targets import Target


class Collection(OpenCollection):
    """A corpus of images, recordings and videos, searchable by meaning.

    Reading methods answer from the generation that was current when the first of them ran;
    `refresh` moves on to the newest.

    >>> collection = Collection("holidays")                       # doctest: +SKIP
    >>> collection.add("~/Pictures", "~/Videos")                  # doctest: +SKIP
    >>> collection.index()                                        # doctest: +SKIP
    >>> collection.search("a dog on the beach", to=["image"])     # doctest: +SKIP
    """

    @classmethod
    def open(
        cls, root: str | os.PathLike[str], *, device: str = "auto", localizer: str = "auto"
    ) -> Collection:
        """Open a collection that exists.

        Args:
            root: The folder.
            device: Where models run and indexes are searched: `auto`, `cpu` or `cuda`.
            localizer: What finds moments: `auto`, `similarity`, `hammer` or `hammer:FOLDER`.

        Raises:
            CollectionNotFoundError: The folder holds none.
            CollectionDamagedError: A listed file is missing or has another size.
        """
        collection = cls(root, device=device, localizer=localizer)
        _ = collection.snapshot
        return collection

    def __len__(self) -> int:
        """Items; 0 before the first are embedded."""
        try:
            return sum(self.status().items.values())
        except CollectionNotFoundError:
            return 0

    def __bool__(self) -> bool:
        """True, also when empty: `if collection` asks whether there is one."""
        return True

    def __repr__(self) -> str:
        name = f"{type(self).__name__}({str(self.root)!r})"
        try:
            return f"<{name}: {self.status().summary()}>"
        except CollectionNotFoundError:
            return f"<{name}: empty>"
        except RetrievalError as error:
            return f"<{name}: {error}>"

    # ------------------------------------------------------------ writing

    def add(
        self,
        *sources: str | os.PathLike[str],
        options: EmbedOptions | None = None,
        on_item: Callable[[EmbedReport], None] | None = None,
    ) -> EmbedReport:
        """Embed files, folders, lists or tars: new ones are added, changed ones replaced."""
        report = embed(sources, self.root, options, on_item)
        self.refresh()
        return report

    def index(
        self,
        kind: str | None = None,
        *,
        recall: float | None = None,
        memory: int | None = None,
        latency_ms: float | None = None,
        effort_seconds: float = EFFORT_SECONDS,
        progress: Progress = no_progress,
    ) -> list[IndexCard]:
        """Bring the index of every space up to date: new rows become a part, seldom all is new.

        Without any argument the index stays of the kind that was asked for before.

        Args:
            kind: `auto`, `exact`, any FAISS factory string, or `CAGRA`, which a GPU builds.
            recall: Share of the ten exact neighbours that text and media queries find; 0.95.
            memory: Bytes that the index may take when searched, beside its mapped vectors.
            latency_ms: Median time of a query that is still fast enough for exact search.
            effort_seconds: What choosing a kind by trial may take; the best one so far is built.
            progress: Receives the number of the current trial.

        Returns:
            The cards of all parts.
        """
        given = {"kind": kind, "recall": recall, "memory": memory, "latency_ms": latency_ms}
        asked = {name: value for name, value in given.items() if value is not None}
        request = IndexRequest(**asked) if asked else None  # type: ignore[arg-type]
        cards = build_index(
            self.root,
            request=request,
            device=self.device,
            encoders=self.encoder,
            progress=progress,
            effort_seconds=effort_seconds,
        )
        self.refresh()
        return cards

    def remove(
        self,
        *,
        where: str | Sequence[str] | None = None,
        ids: int | Sequence[int] | NDArray[np.integer] = (),
        dry_run: bool = False,
    ) -> int:
        """Take out the items that a filter matches or that are named; returns how many.

        Args:
            where: SQL condition over the items' columns; of several all must hold.
            ids: Items to take out as well.
            dry_run: Take out nothing, and tell how many it would be.

        Raises:
            QueryError: An id is of no item.
            FilterError: The condition is refused.
        """
        if dry_run:
            return len(self.items_to_remove(where=where, ids=ids))
        with CollectionWriter.open(self.root) as writer:
            removed = chosen_items(writer.snapshot, where, ids) if writer.snapshot else {}
            writer.remove(list(removed))
        self.refresh()
        return len(removed)

    def items_to_remove(
        self,
        *,
        where: str | Sequence[str] | None = None,
        ids: int | Sequence[int] | NDArray[np.integer] = (),
    ) -> dict[int, str]:
        """The uris, by id, of the items that `remove` would take out."""
        return chosen_items(self.snapshot, where, ids)

    def compact(self, *, grace_seconds: float = GRACE_SECONDS) -> CompactReport:
        """Merge small shards, drop removed rows, collect old generations and leftovers.

        Generations that were current less than `grace_seconds` ago keep their files.
        """
        report = compact(self.root, grace_seconds=grace_seconds)
        self.refresh()
        return report

    # ------------------------------------------------------------ reading

    def search(
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
        rerank: str | Reranker | None = None,
        with_vectors: bool = False,
        vector: ArrayLike | None = None,
        space: str | None = None,
    ) -> Hits:
        """Find the media closest to a text, a file, a picture or an item; best first.

        Args:
            query: Text, an expression such as `"a horse" + 0.5*@stripes.png`, a path, a PIL image,
                or an array (height, width, 3) of uint8.
            like: The id of an item in place of a query; the item itself is left out.
            to: Any of image, music, video, moment; all but moment when empty.
            k: Hits to return; fewer come only where fewer items match.
            offset: Hits to pass over first, as for a second page.
            where: SQL condition over the items' columns; of several, all must hold.
            ids: Look among these items only; ids that no item has are passed over.
            cutoff: Drop hits that are no better than those of unrelated texts.
            min_score: Drop hits of a lower score.
            rerank: A re-ranker that judges the pictures among the first 20 hits again:
                `tiny`, `tiny:FOLDER`, `blip:HUB-ID-OR-FOLDER`, or an object; see
                `retrieval.search.reranking.reranker.rerank`.
            with_vectors: Give each hit the stored vector of its best segment.
            vector: In place of `query`: (dim,) numbers, or (m, dim) of one file, of a space's
                own model. No model is loaded.
            space: The space of `vector`; needed where several have vectors of this length.

        Raises:
            QueryError: The query cannot be understood or embedded, or an argument makes no sense.
            FilterError: The condition is refused.
        """
        return self.answer(
            query,
            like=like,
            vector=vector,
            space=space,
            to=to,
            k=k,
            offset=offset,
            where=where,
            ids=ids,
            cutoff=cutoff,
            min_score=min_score,
            rerank=rerank,
            with_vectors=with_vectors,
        ).hits

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
        vector: ArrayLike | None = None,
        space: str | None = None,
    ) -> SearchResult:
        """`search` with the time each stage took, and optionally in some spaces only."""
        parsed = query_of(query, like, vector, space)
        options = SearchOptions(
            to=targets_of(to),
            k=k,
            offset=offset,
            where=where,
            ids=ids,
            spaces=names_of(spaces),
            cutoff=cutoff,
            min_score=min_score,
            reranker=self.reranker(rerank) if isinstance(rerank, str) else rerank,
            rerank_top=rerank_top,
            with_vectors=with_vectors,
        )
        return self.searcher.search(parsed, options)

    def duplicates(
        self,
        threshold: float = 0.95,
        *,
        min_seconds: float = 4.0,
        share: float = 0.5,
        spaces: str | Sequence[str] = (),
        exact: bool = False,
        progress: Progress = no_progress,
    ) -> list[DuplicateGroup]:
        """Groups of near-duplicate items: pictures, recordings, videos; the largest first.

        Args:
            threshold: Least cosine of two pictures, or of two segments that match.
            min_seconds: Least length of a matching span of two recordings or videos.
            share: Least share of the shorter one that matches in such spans.
            spaces: Compare in these; empty: for each modality the first space that embeds it.
            exact: Compare everything with everything even where there is an approximate index.
            progress: Receives the number of compared rows.

        Raises:
            QueryError: An option makes no sense.
            SpaceMismatchError: There is no such space.
        """
        options = DuplicateOptions(threshold, min_seconds, share, exact)
        return find_duplicates(
            self.snapshot, options, spaces=names_of(spaces) or (), progress=progress
        )

    def verify(self) -> list[str]:
        """Compare every listed file with its digest; one line per problem."""
        return verify(self.root)

    def status(self) -> Status:
        """What the collection holds."""
        return Status.of(self.snapshot)
