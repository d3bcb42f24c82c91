"""`Collection`, the public interface to one corpus: embed, index, search, maintain."""

from __future__ import annotations

import os
from collections.abc import Collection as AnyOf
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retrieval.duplicates.find import DuplicateOptions, find_duplicates
from retrieval.duplicates.groups import DuplicateGroup
from retrieval.embedding.options import EmbedOptions, EmbedReport
from retrieval.errors import CollectionNotFoundError, RetrievalError
from retrieval.progress import Progress, no_progress
from retrieval.search.arguments import names_of, query_of
from retrieval.search.filtering import chosen_items, conditions_below
from retrieval.search.hits import Hits
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.card import IndexCard
from retrieval.search.indexing.deadline import EFFORT_SECONDS
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.keywords import SearchKeywords, options_of
from retrieval.search.open_collection import OpenCollection
from retrieval.search.query import QueryLike
from retrieval.search.reranking.reranker import RERANK_TOP, Reranker
from retrieval.search.searcher import SearchResult
from retrieval.search.vector_query import VectorQuery
from retrieval.store.compact import GRACE_SECONDS, CompactReport, compact
from retrieval.store.status import Status
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.targets import Target, TextMode


class Collection(OpenCollection):
    """A corpus of images, recordings and videos that is searchable by meaning.

    Reading methods use the generation that was current at the first call. `refresh` switches to the
    newest one.

    >>> collection = Collection("holidays")                       # doctest: +SKIP
    >>> collection.add("~/Pictures", "~/Videos")                  # doctest: +SKIP
    >>> collection.index()                                        # doctest: +SKIP
    >>> collection.search("a dog on the beach", to=["image"])     # doctest: +SKIP
    """

    @classmethod
    def open(
        cls, root: str | os.PathLike[str], *, device: str = "auto", localizer: str = "auto"
    ) -> Collection:
        """Open an existing collection.

        Args:
            root: The folder.
            device: Device of models and indexes: `auto`, `cpu` or `cuda`.
            localizer: `auto`, `similarity`, `hammer` or `hammer:FOLDER`.

        Raises:
            CollectionNotFoundError: The folder is not a collection.
            CollectionDamagedError: A listed file is missing or has another size.
        """
        collection = cls(root, device=device, localizer=localizer)
        _ = collection.snapshot
        return collection

    def __len__(self) -> int:
        """Number of items; 0 before the first embedding."""
        try:
            return sum(self.status().items.values())
        except CollectionNotFoundError:
            return 0

    def __bool__(self) -> bool:
        """Always true, so that an empty collection differs from None."""
        return True

    def __repr__(self) -> str:
        name = f"{type(self).__name__}({str(self.root)!r})"
        try:
            return f"<{name}: {self.summary()}>"
        except CollectionNotFoundError:
            return f"<{name}: empty>"
        except RetrievalError as error:
            return f"<{name}: {error}>"

    # ------------------------------------------------------------ writing

    def add(
        self,
        *sources: str | os.PathLike[str],
        options: EmbedOptions | None = None,
        progress: Progress = no_progress,
    ) -> EmbedReport:
        """Embed files, folders, lists or tars: add new files, replace changed ones.

        See `retrieval.embedding.run.embed`.
        """
        # Searching must not wait for the decoders to be imported.
        from retrieval.embedding.run import embed

        report = embed(sources, self.root, options, progress, load=self.load_encoder)
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
        language: str | None = None,
        progress: Progress = no_progress,
    ) -> list[IndexCard]:
        """Update the index of every space, and the index of the texts.

        New rows usually become a further part of the index of their space. Without arguments every
        index keeps its kind and language.

        Args:
            kind: `auto`, `exact`, a FAISS factory string, or `CAGRA`, which needs a GPU.
            recall: Target share of the ten exact neighbours that queries find; 0.95 by default.
            memory: Bytes of memory for searching, without the mapped vectors.
            latency_ms: Median query time up to which exact search is chosen.
            effort_seconds: Time limit of the trials; the best kind so far is built.
            language: Language of the texts, such as `de` or `german`, whose words are stemmed;
                `none`: words are not stemmed, as at first.
            progress: Receives the number of the current trial.

        Returns:
            The cards of all parts.
        """
        options = {"kind": kind, "recall": recall, "memory": memory, "latency_ms": latency_ms}
        changes = {name: value for name, value in options.items() if value is not None}
        request = IndexRequest(**changes) if changes else None  # type: ignore[arg-type]
        cards = build_index(
            self.root,
            request=request,
            device=self.device,
            encoders=self.encoder,
            progress=progress,
            effort_seconds=effort_seconds,
            language=language,
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
        """Remove the items that match a filter or have the given ids; return their number.

        Args:
            where: SQL condition over the items' columns; several are combined by AND.
            ids: Further items to remove.
            dry_run: Count the items without removing them.

        Raises:
            QueryError: There is no item of an id.
            FilterError: The condition is invalid.
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
        """Return the uris, by id, of the items that `remove` would remove."""
        return chosen_items(self.snapshot, where, ids)

    def compact(self, *, grace_seconds: float = GRACE_SECONDS) -> CompactReport:
        """Merge small shards and delete removed rows, old generations and unused files.

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
        text: str | TextMode = TextMode.AUTO,
        vector: ArrayLike | None = None,
        space: str | None = None,
    ) -> Hits:
        """Find the items closest to a text, a file, a picture or an item; best first.

        Args:
            query: Text, an expression such as `"a horse" + 0.5*@stripes.png`, a path, a PIL image,
                or an array (height, width, 3) of uint8.
            like: Id of an item to use as the query; the item itself is excluded.
            to: Any of image, music, video, moment; if empty, all but moment.
            k: Number of hits; fewer if fewer items match.
            offset: Number of hits to skip, for paging.
            where: SQL condition over the items' columns; several are combined by AND.
            ids: Search these items only; unknown ids are ignored.
            cutoff: Drop hits that are no better than those of unrelated texts.
            min_score: Drop hits with a lower score whose texts do not match.
            rerank: A re-ranker for the pictures among the first 20 hits: `tiny`, `tiny:FOLDER`,
                `blip:HUB-ID-OR-FOLDER`, or an object; see
                `retrieval.search.reranking.reranker.rerank`.
            with_vectors: Set `vector` of each hit.
            text: `auto` also matches the words of text queries with texts of the items, such as
                captions and transcripts; `off` uses vectors alone, `only` words alone.
            vector: Query vector instead of `query`: (dim,) numbers, or (m, dim) of one file, from
                the space's model. No model is loaded.
            space: The space of `vector`; required if several spaces have this dimension.

        Raises:
            QueryError: The query cannot be parsed or embedded, or an argument is invalid.
            FilterError: The condition is invalid.
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
            text=text,
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
        text: str | TextMode = TextMode.AUTO,
        vector: ArrayLike | None = None,
        space: str | None = None,
    ) -> SearchResult:
        """Search like `search`; return the hits with the time of each stage.

        `spaces` restricts the search to some spaces, `rerank_top` is the number of re-ranked hits.
        """
        parsed = query_of(query, like, vector, space)
        keywords: SearchKeywords = {
            "to": to, "k": k, "offset": offset, "where": conditions_below(self.below, where),
            "cutoff": cutoff, "min_score": min_score, "spaces": spaces, "rerank": rerank,
            "rerank_top": rerank_top, "with_vectors": with_vectors, "text": text,
        }  # fmt: skip
        options = options_of(keywords, ids, self.reranker)
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
        """Find groups of near-duplicate pictures, recordings or videos; largest first.

        Args:
            threshold: Minimal cosine of two pictures, or of two matching segments.
            min_seconds: Minimal length of a matching span of two recordings or videos.
            share: Minimal share of the shorter recording or video that such spans cover.
            spaces: Spaces to compare in; if empty, for each modality the first that embeds it.
            exact: Compare all pairs even if there is an approximate index.
            progress: Receives the number of compared rows.

        Raises:
            QueryError: An option is invalid.
            SpaceMismatchError: There is no such space.
        """
        options = DuplicateOptions(threshold, min_seconds, share, exact)
        return find_duplicates(
            self.snapshot, options, spaces=names_of(spaces) or (), progress=progress
        )

    def verify(self) -> list[str]:
        """Compare every listed file with its digest; return one line per problem."""
        return verify(self.root)

    def status(self) -> Status:
        """Summarise the contents of the collection."""
        return Status.of(self.snapshot)

    def summary(self) -> str:
        """Describe the contents in one line."""
        return self.status().summary()
