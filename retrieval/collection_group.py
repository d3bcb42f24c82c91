"""`CollectionGroup`, the public interface to several collections that are searched as one."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self, TypeVar, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from indexes.forking import ForkSafeLock
from retrieval.collection import Collection
from retrieval.collection_paths import complete_name, expand
from retrieval.duplicates.find import DuplicateOptions, find_duplicates_of
from retrieval.duplicates.groups import DuplicateGroup
from retrieval.errors import (
    CollectionDamagedError,
    CollectionFormatError,
    IndexFileError,
    QueryError,
    RetrievalError,
)
from retrieval.localization.choose import choose_localizers
from retrieval.progress import Progress, no_progress
from retrieval.protocols import Encoder
from retrieval.search.arguments import names_of, parse_item, query_of
from retrieval.search.coordinator import Coordinator
from retrieval.search.hits import Hits
from retrieval.search.keywords import SearchKeywords, options_of
from retrieval.search.local_member import LocalMember
from retrieval.search.members import Members
from retrieval.search.query import Query, QueryLike
from retrieval.search.result import SearchResult
from retrieval.search.threads import call_each
from retrieval.search.vector_query import VectorQuery
from retrieval.store.status import Status
from retrieval.types import Space

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

DAMAGE = (CollectionDamagedError, CollectionFormatError, IndexFileError)
"""Errors of a collection that `skip_damaged` leaves out."""


class CollectionGroup:
    """Several collections that are searched as if they were one.

    The name of a collection is its path, as given to `open`. Hits name their collection, and item
    ids are those of that collection. Threads can share one object.

    >>> group = retrieval.open(["archive/2023", "archive/2024"])       # doctest: +SKIP
    >>> group.search("a dog on the beach", k=5)                        # doctest: +SKIP
    >>> group.search(like="2024:17")                                   # doctest: +SKIP

    Attributes:
        collections: The collections by name.
        skipped: The reason, by name, for each damaged collection that is left out.
        device: Device of models and indexes.
        localizer: Localizer of moments.
    """

    def __init__(
        self,
        collections: Mapping[str, Collection],
        *,
        device: str = "auto",
        localizer: str = "auto",
        skip_damaged: bool = False,
    ) -> None:
        self.collections = dict(collections)
        self.skipped: dict[str, str] = {}
        self.device = device
        self.localizer = localizer
        self._skip_damaged = skip_damaged
        self._reset()
        if not self.collections:
            raise QueryError("name at least one collection")

    def _reset(self) -> None:
        self._lock = ForkSafeLock()
        self._coordinator: Coordinator | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes without opened indexes."""
        state = self.__dict__.copy()
        del state["_lock"], state["_coordinator"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    @classmethod
    def open(
        cls,
        roots: Iterable[str | os.PathLike[str]],
        *,
        device: str = "auto",
        localizer: str = "auto",
        skip_damaged: bool = False,
    ) -> CollectionGroup:
        """Open existing collections.

        Args:
            roots: Folders, and patterns such as `archive/*` for the collections that match. A
                folder that is named twice is opened once.
            device: Device of models and indexes: `auto`, `cpu` or `cuda`.
            localizer: `auto`, `similarity`, `hammer` or `hammer:FOLDER`.
            skip_damaged: Leave out damaged collections, with a warning.

        Raises:
            CollectionNotFoundError: A folder is not a collection, or nothing matches a pattern.
            CollectionDamagedError, CollectionFormatError: A collection is damaged.
        """
        collections = {
            str(root): Collection(root, device=device, localizer=localizer)
            for root in expand(roots)
        }
        group = cls(collections, device=device, localizer=localizer, skip_damaged=skip_damaged)
        group.load()
        return group

    def __len__(self) -> int:
        """Number of items of all collections."""
        return sum(self._for_all(len).values())

    def __bool__(self) -> bool:
        """Always true, so that empty collections differ from None."""
        return True

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(self.collections)}>"

    def load(self) -> None:
        """Open the current generation of each collection, and leave out damaged ones.

        Raises:
            CollectionNotFoundError: A folder is not a collection.
            CollectionDamagedError, CollectionFormatError: A collection is damaged.
        """
        self._for_all(lambda collection: collection.snapshot)

    def close(self) -> None:
        """Release models, indexes and files. The next method call opens them again."""
        self._reset()
        for collection in self.collections.values():
            collection.close()

    def refresh(self) -> None:
        """Use the newest generation of each collection from now on."""
        self._reset()
        for collection in self.collections.values():
            collection.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # ------------------------------------------------------------ reading

    def search(
        self,
        query: QueryLike | VectorQuery | None = None,
        *,
        like: str | None = None,
        ids: Sequence[str] | None = None,
        **options: Unpack[SearchKeywords],
    ) -> Hits:
        """Find the items of all collections that are closest to a query; best first.

        Args:
            query: As for `Collection.search`.
            like: `NAME:ID` of an item to use as the query. A unique last part of the name suffices.
            ids: Search these items only, each `NAME:ID`; unknown ids are ignored.
            options: As for `Collection.search`.

        Raises:
            QueryError: The query cannot be parsed or embedded, or an argument is invalid.
            FilterError: The condition is invalid.
            SpaceMismatchError: Spaces of the same name have different models.
        """
        return self.answer(query, like=like, ids=ids, **options).hits

    def answer(
        self,
        query: QueryLike | VectorQuery | None = None,
        *,
        like: str | None = None,
        ids: Sequence[str] | None = None,
        **options: Unpack[SearchKeywords],
    ) -> SearchResult:
        """Search like `search`; return the hits with the time of each stage."""
        parsed = self._query(query, like, options.get("vector"), options.get("space"))
        reranker = self._models.reranker
        return self.coordinator.search(parsed, options_of(options, self._global_ids(ids), reranker))

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
        """Find groups of near-duplicates over all collections; see `Collection.duplicates`."""
        options = DuplicateOptions(threshold, min_seconds, share, exact)
        snapshots = self._for_all(lambda collection: collection.snapshot)
        return find_duplicates_of(
            snapshots, options, spaces=names_of(spaces) or (), progress=progress
        )

    def status(self) -> dict[str, Status]:
        """Summarise the contents of each collection."""
        return self._for_all(lambda collection: collection.status())

    def summary(self) -> str:
        """Describe the contents in one line."""
        collections = f"{len(self.collections)} collections"
        return f"{collections}, {sum(self._for_all(len).values())} items"

    def verify(self) -> dict[str, list[str]]:
        """Compare every listed file with its digest; return one line per problem, by name."""
        names = list(self.collections)
        problems = call_each([self.collections[name].verify for name in names])
        return dict(zip(names, problems, strict=True))

    # ------------------------------------------------------------ members

    @property
    def coordinator(self) -> Coordinator:
        """Searches the generations that are open."""
        with self._lock:
            if self._coordinator is None:
                members = Members(self._for_all(self._member))
                spaces = list(members.spaces.values())
                localizers = choose_localizers(self.localizer, spaces, device=self.device)
                self._coordinator = Coordinator(members, self.encoder, localizers)
            return self._coordinator

    def _member(self, collection: Collection) -> LocalMember:
        return LocalMember(collection.snapshot, device=self.device, below=collection.below)

    @property
    def _models(self) -> Collection:
        """The collection that loads the models of all."""
        return next(iter(self.collections.values()))

    def encoder(self, space: Space) -> Encoder:
        """Return the encoder of a space, and check it against the space's digest at first use."""
        return self._models.encoder(space)

    def _for_all(self, call: Callable[[Collection], Result]) -> dict[str, Result]:
        """Call a function for all collections at the same time; return the results by name.

        Damaged collections are left out from then on if they are to be skipped.

        Raises:
            RetrievalError: The error of a collection; its message contains the name.
        """

        def attempt(collection: Collection) -> Result | RetrievalError:
            try:
                return call(collection)
            except RetrievalError as error:
                return error

        names = list(self.collections)
        attempts = call_each([partial(attempt, self.collections[name]) for name in names])
        results: dict[str, Result] = {}
        for name, result in zip(names, attempts, strict=True):
            if not isinstance(result, RetrievalError):
                results[name] = result
            elif not (self._skip_damaged and isinstance(result, DAMAGE)):
                raise _named(result, name)
            else:
                self._skip(name, result)
        if not results:
            raise CollectionDamagedError("all collections are damaged; restore one of them")
        return results

    def _skip(self, name: str, error: RetrievalError) -> None:
        logger.warning("%s is skipped: %s", name, error)
        self.skipped[name] = str(error)
        del self.collections[name]

    # ------------------------------------------------------------ names of items

    def _query(
        self,
        query: QueryLike | VectorQuery | None,
        like: str | None,
        vector: ArrayLike | None,
        space: str | None,
    ) -> QueryLike | VectorQuery:
        """Return the one query that is given as a query, an item or a vector."""
        name, item_id = (None, None) if like is None else parse_item(like)
        chosen = query_of(query, item_id, vector, space)
        if item_id is not None:
            chosen = Query.like(item_id, name)
        if not isinstance(chosen, Query):
            return chosen
        terms = (
            term
            if term.collection is None
            else replace(term, collection=complete_name(term.collection, self.collections))
            for term in chosen.terms
        )
        return replace(chosen, terms=tuple(terms))

    def _global_ids(self, ids: Sequence[str] | None) -> NDArray[np.int64] | None:
        """Convert `NAME:ID` to ids in the search of all; unknown ids are left out."""
        if ids is None:
            return None
        known: list[int] = []
        for text in [ids] if isinstance(ids, str) else ids:
            name, item_id = parse_item(text)
            complete = complete_name(name, self.collections)
            known += self.coordinator.members.known_ids(complete, item_id)
        return np.array(known, np.int64)


def _named(error: RetrievalError, name: str) -> RetrievalError:
    """Return an error whose message contains the name of the collection."""
    if name in str(error):
        return error
    named = type(error)(f"{name}: {error}")
    named.__cause__ = error
    return named
