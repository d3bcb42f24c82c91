"""The collections of one server, by the slugs that name them in addresses."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from retrieval.errors import QueryError, RetrievalError
from retrieval.protocols import Encoder
from retrieval.serving.generations import RemoteMembers, ServedCollection
from retrieval.types import Space

logger = logging.getLogger(__name__)


class Library:
    """The served collections, the first one being the default.

    Args:
        roots: Folders of collections; one that is named twice is served once.
        device: Device of models and indexes.
        encoders: Returns the encoder of a space; by default it is loaded by its specification.
        members: Opens generations elsewhere; by default this process opens them.

    Raises:
        QueryError: No folder is given.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        *,
        device: str = "auto",
        encoders: Callable[[Space], Encoder] | None = None,
        members: RemoteMembers | None = None,
    ) -> None:
        unique = list({root.expanduser().resolve(): root.expanduser() for root in roots}.values())
        if not unique:
            raise QueryError("name at least one collection to serve")
        self._collections: dict[str, ServedCollection] = {}
        self._problems: dict[str, str | None] = {}
        for root in unique:
            slug = _free_slug(slug_of(root), self._collections)
            self._collections[slug] = ServedCollection(
                root, slug, device=device, encoders=encoders, members=members
            )

    def load(self) -> None:
        """Open all collections and load their models.

        Raises:
            RetrievalError: A collection or its models cannot be used.
        """
        for collection in self:
            collection.refresh()

    def refresh(self) -> None:
        """Open new generations; one that cannot be opened is logged and tried again later."""
        for collection in self:
            problem = None
            try:
                collection.refresh()
            except (RetrievalError, OSError) as error:
                problem = str(error)
            if problem and problem != self._problems.get(collection.slug):
                logger.warning(
                    "%s: generation %d stays in use: %s",
                    collection.slug, collection.current.number, problem,
                )  # fmt: skip
            self._problems[collection.slug] = problem

    def close(self) -> None:
        """End the threads of all collections."""
        for collection in self:
            collection.close()

    def __iter__(self) -> Iterator[ServedCollection]:
        return iter(self._collections.values())

    def __len__(self) -> int:
        return len(self._collections)

    def get(self, slug: str | None) -> ServedCollection | None:
        """Return the collection of a slug, or the first one for None."""
        if slug is None:
            return next(iter(self))
        return self._collections.get(slug)

    def at(self, root: str) -> ServedCollection | None:
        """Return the collection in a folder."""
        path = Path(root).resolve()
        return next((each for each in self if each.root.resolve() == path), None)


def slug_of(root: Path) -> str:
    """Return lower-case ASCII letters, digits and dashes that resemble the folder's name."""
    plain = unicodedata.normalize("NFKD", root.resolve().name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:40] or "collection"


def _free_slug(slug: str, taken: dict[str, ServedCollection]) -> str:
    number, free = 2, slug
    while free in taken:
        free = f"{slug}-{number}"
        number += 1
    return free
