"""Searches several served collections as one."""

from __future__ import annotations

from collections.abc import Sequence

from retrieval.caching import LruCache
from retrieval.localization.choose import choose_localizers
from retrieval.protocols import Encoder
from retrieval.search.coordinator import Coordinator
from retrieval.search.members import Members
from retrieval.search.options import SearchOptions
from retrieval.search.query import EmbeddedFile, Query
from retrieval.search.result import SearchResult
from retrieval.serving.generations import VANISHED, Generation, ServedCollection
from retrieval.types import Space

MAX_GROUPS = 4
"""Number of sets of generations whose statistics are kept."""


class SearchGroups:
    """The sets of collections that are searched together.

    Hits and items of queries name their collection by its slug.
    """

    def __init__(self) -> None:
        self._coordinators: LruCache[tuple[tuple[str, int], ...], Coordinator] = LruCache(
            MAX_GROUPS
        )

    def search(
        self, collections: Sequence[ServedCollection], query: Query, options: SearchOptions
    ) -> SearchResult:
        """Search the current generations, and the next ones if files vanish.

        Raises:
            RetrievalError, OSError: The error of the search; there are no other generations.
        """
        while True:
            generations = [collection.current for collection in collections]
            try:
                return self._coordinator(collections, generations).search(query, options)
            except VANISHED:
                switched = [collection.refresh() for collection in collections]
                current = [collection.current for collection in collections]
                if not any(switched) and current == generations:
                    raise

    def _coordinator(
        self, collections: Sequence[ServedCollection], generations: Sequence[Generation]
    ) -> Coordinator:
        pairs = list(zip(collections, generations, strict=True))

        def open_members() -> Coordinator:
            members = Members({each.slug: one.searcher.member for each, one in pairs})
            owners = {
                space.name: collection
                for collection, generation in reversed(pairs)
                for space in generation.snapshot.spaces
            }

            def encoder(space: Space) -> Encoder:
                return owners[space.name].encoder(space)

            localizers = choose_localizers(
                "auto", list(members.spaces.values()), device=collections[0].device
            )
            return Coordinator(members, encoder, localizers)

        key = tuple((collection.slug, generation.number) for collection, generation in pairs)
        return self._coordinators.get(key, open_members)


def joined_file(files: Sequence[EmbeddedFile]) -> EmbeddedFile:
    """Return a file with the vectors of all spaces of several collections."""
    vectors = {name: rows for file in files for name, rows in file.vectors.items()}
    return EmbeddedFile(files[0].name, vectors)
