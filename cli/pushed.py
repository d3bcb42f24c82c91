"""Opens the address of a pushed collection for `search`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.engines.qdrant.address import is_qdrant_address
from retrieval.errors import QueryError

if TYPE_CHECKING:
    from retrieval.engines.qdrant.pushed import PushedCollection
    from retrieval.search.query import Query
    from retrieval.search.vector_query import VectorQuery
    from retrieval.targets import Target


class SearchedAddress:
    """A pushed collection, in the place of a `SearchedCollection`.

    Args:
        address: The address.
        collection: Folder of the collection, for moments and exact scores.
        device: Device of models and indexes.
        localizer: Localizer of moments.
    """

    def __init__(
        self, address: str, *, collection: Path | None, device: str, localizer: str
    ) -> None:
        from retrieval.engines.qdrant.pushed import open_pushed

        self._pushed = open_pushed(
            address, collection=collection, device=device, localizer=localizer
        )

    def prepare(
        self, to: Sequence[Target], queries: Sequence[Query | VectorQuery] = ()
    ) -> PushedCollection:
        """Return the pushed collection."""
        del to, queries
        return self._pushed


def is_address(roots: Sequence[str], source: Path | None, *, folder_options: bool) -> bool:
    """Whether `search` is given an address, and options that go with it.

    Args:
        roots: The arguments before the query.
        source: `--collection`.
        folder_options: Whether `--model` or `--here` is given.

    Raises:
        QueryError: An option does not go with an address, or with a folder; or an address is one
            of several arguments.
    """
    addresses = [root for root in roots if is_qdrant_address(root)]
    if addresses and len(roots) > 1:
        raise QueryError(f"{addresses[0]} is searched alone, not together with other collections")
    if not addresses:
        if source is not None:
            raise QueryError("--collection names the folder of an address such as qdrant://HOST")
        return False
    if folder_options:
        raise QueryError("--model and --here are for folders of media, not for an address")
    return True
