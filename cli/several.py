"""Arguments that name one or several collections, and the collections behind them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retrieval.errors import QueryError

if TYPE_CHECKING:
    from cli.media_folder import SearchedCollection
    from retrieval.collection_group import CollectionGroup
    from retrieval.search.query import Query
    from retrieval.search.vector_query import VectorQuery
    from retrieval.targets import Target


def _roots_of(paths: list[Path]) -> list[Path]:
    from retrieval.automatic.finding import collection_root
    from retrieval.collection_paths import expand

    return expand(collection_root(path) for path in paths)


CollectionsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="COLLECTION",
        help="Folders made by `embed`, patterns of them such as 'archive/*', or folders of media "
        "that `search` was given.",
        callback=_roots_of,
    ),
]
SkipDamagedOption = Annotated[
    bool,
    typer.Option("--skip-damaged", help="Leave out damaged ones of several collections."),
]


def split_query(arguments: Sequence[str], *, has_query: bool) -> tuple[list[str], str | None]:
    """Split the arguments of `search` into collections and the query, which is the last one.

    Args:
        arguments: COLLECTION... [QUERY].
        has_query: Options give the query, or a prompt asks for it. What is no path is a query all
            the same, so that it can be refused.

    Raises:
        QueryError: The last one of several arguments is a collection, and no query follows.
    """
    from retrieval.collection_paths import is_collection, is_pattern

    if len(arguments) < 2:
        return list(arguments), None
    *collections, query = arguments
    path = None if "\0" in query else Path(query).expanduser()
    if has_query and path is not None and (os.path.lexists(path) or is_pattern(path)):
        return list(arguments), None
    is_path = "/" in query or len(collections) > 1
    if is_path and path is not None and is_collection(path):
        raise QueryError(f"{query} is a collection; give a query after it")
    return collections, query


class SearchedGroup:
    """Several collections, and media folders that are brought up to date for queries.

    Args:
        paths: Folders and patterns.
        device: Device of models and indexes.
        localizer: Localizer of moments.
        skip_damaged: Leave out damaged collections.

    Raises:
        CollectionNotFoundError: There is no such folder, or nothing matches a pattern.
    """

    def __init__(
        self, paths: Sequence[str], *, device: str, localizer: str, skip_damaged: bool
    ) -> None:
        from retrieval.collection_paths import expand, is_collection

        self._device, self._localizer = device, localizer
        self._skip_damaged = skip_damaged
        self._group: CollectionGroup | None = None
        self._searched: dict[str, Path | SearchedCollection] = {
            str(root): root if is_collection(root) else self._media_folder(root)
            for root in expand(paths)
        }

    def _media_folder(self, root: Path) -> SearchedCollection:
        from cli.media_folder import SearchedCollection

        return SearchedCollection(
            root, model=None, here=False, device=self._device, localizer=self._localizer
        )

    def prepare(
        self, to: Sequence[Target], queries: Sequence[Query | VectorQuery] = ()
    ) -> CollectionGroup:
        """Return the group; media folders are brought up to date for some queries first.

        Raises:
            CollectionError: A collection is damaged.
        """
        from retrieval.collection import Collection
        from retrieval.collection_group import CollectionGroup

        collections = {
            name: Collection(each, device=self._device, localizer=self._localizer)
            if isinstance(each, Path)
            else each.prepare(to, queries)
            for name, each in self._searched.items()
        }
        if self._group is None:
            self._group = CollectionGroup(
                collections,
                device=self._device,
                localizer=self._localizer,
                skip_damaged=self._skip_damaged,
            )
            self._group.load()
        elif any(not isinstance(each, Path) for each in self._searched.values()):
            self._group.refresh()
        return self._group
