"""`PushedCollection`, the searching part of `Collection` for one that was pushed to Qdrant."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self, Unpack

import numpy as np
from numpy.typing import NDArray

from retrieval.collection import Collection
from retrieval.engines.qdrant.address import QdrantAddress
from retrieval.engines.qdrant.generations import open_current
from retrieval.engines.qdrant.ranking import PushedPoints
from retrieval.engines.qdrant.search import PushedSearch
from retrieval.engines.qdrant.server import QdrantServer
from retrieval.errors import CollectionDamagedError, QueryError, RetrievalError
from retrieval.search.arguments import query_of
from retrieval.search.hits import Hits
from retrieval.search.keywords import SearchKeywords, options_of
from retrieval.search.query import Query, QueryLike
from retrieval.search.searcher import SearchResult
from retrieval.search.vector_query import VectorQuery
from retrieval.store.current import read_current
from retrieval.store.status import SpaceStatus, Status
from retrieval.targets import TextMode


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

    def summary(self) -> str:
        """Describe the contents in one line."""
        return self.status().summary()

    def search(
        self,
        query: QueryLike | VectorQuery | None = None,
        *,
        like: int | None = None,
        ids: Sequence[int] | NDArray[np.integer] | None = None,
        **options: Unpack[SearchKeywords],
    ) -> Hits:
        """Find the items closest to a query; the arguments are those of `answer`."""
        return self.answer(query, like=like, ids=ids, **options).hits

    def answer(
        self,
        query: QueryLike | VectorQuery | None = None,
        *,
        like: int | None = None,
        ids: Sequence[int] | NDArray[np.integer] | None = None,
        **options: Unpack[SearchKeywords],
    ) -> SearchResult:
        """Find the items closest to a query; the arguments are those of `Collection.answer`.

        `text` of `auto` and `off` are the same: Qdrant has vectors, and no words.

        Raises:
            QueryError: The query or an argument is invalid, or needs the collection itself.
            FilterError: The condition is invalid, or Qdrant cannot evaluate it.
            SpaceMismatchError: The model here is not the one of the pushed vectors.
            ServerError: The server does not answer.
        """
        given = query_of(query, like, options.get("vector"), options.get("space"))
        converted = options_of(options, ids, self._source.reranker)
        if converted.text is TextMode.ONLY:
            raise QueryError("Qdrant has no words of the items; search the collection for words")
        converted = replace(converted, text=TextMode.OFF)
        parsed = given if isinstance(given, VectorQuery) else Query.of(given)
        points = PushedPoints(self._server, self._collection, with_vectors=converted.with_vectors)
        source = self._source if self._has_source else None
        return PushedSearch(points, self.card, self._source.encoder, source).run(parsed, converted)

    # ------------------------------------------------------------ parts

    def _check_count(self) -> None:
        """Refuse a collection that something else changed, or whose push was interrupted."""
        found = PushedPoints(self._server, self._collection).count()
        if not self.card.complete or found != self.card.points:
            raise CollectionDamagedError(
                f"{self.address} has {found:,} points, its metadata lists {self.card.points:,}: "
                f"something else changed it; push {self.card.source} again"
            )

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
