"""`RemoteCollection`, the reading part of `Collection` for one that a server has open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import QueryError, RetrievalError, ServerError
from retrieval.remote_query import RemoteQuery
from retrieval.search.arguments import item_ids_of, query_of
from retrieval.search.hits import Hits
from retrieval.search.keywords import SearchKeywords, options_of
from retrieval.search.options import SearchOptions
from retrieval.search.query import Query, QueryLike
from retrieval.search.result_json import hit_of
from retrieval.search.searcher import SearchResult, StageTimes
from retrieval.search.vector_query import VectorQuery
from retrieval.serving.http_client import HttpClient, UnknownNameError
from retrieval.store.status import SpaceStatus, Status

LOCAL_ONLY = ("rerank", "rerank_top", "spaces", "with_vectors", "vector", "space")
"""Arguments of `Collection.search` and `answer` that need the collection on this machine."""

MAX_IDS_CHARS = 4_000
"""Length of the list of `ids` in one request."""


class RemoteCollection:
    """A collection that a server has open: `search`, `answer` and `status` as of `Collection`.

    Nothing is loaded here but the results. Files of queries are sent to the server.

    Attributes:
        name: Short name (slug) of the collection on the server.
    """

    def __init__(self, client: HttpClient, name: str | None = None) -> None:
        self._client = client
        self._check_version()
        self._dates: tuple[int, dict[str, str]] | None = None
        known = [str(each["collection"]) for each in self._overviews()]
        if name is not None and name not in known:
            raise QueryError(f"the server has no collection {name!r}; known: {', '.join(known)}")
        self.name = name or known[0]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._client.address!r}, {self.name!r})>"

    def __len__(self) -> int:
        """Number of items."""
        return sum(self.status().items.values())

    def __bool__(self) -> bool:
        """Always true, so that an empty collection differs from None."""
        return True

    def search(
        self,
        query: QueryLike | None = None,
        *,
        like: int | None = None,
        ids: Sequence[int] | NDArray[np.integer] | None = None,
        **options: Unpack[SearchKeywords],
    ) -> Hits:
        """Find the items closest to a text, a file, a picture or an item; best first.

        The arguments are those of `Collection.search`, except `rerank`, `with_vectors`, `vector`
        and `space`. The server limits their size.

        Raises:
            QueryError: The query or an argument is invalid, or needs the collection itself.
            MediaTooLargeError: The server takes no files of this size.
            ServerError: The server does not answer or is overloaded.
        """
        return self.answer(query, like=like, ids=ids, **options).hits

    def answer(
        self,
        query: QueryLike | None = None,
        *,
        like: int | None = None,
        ids: Sequence[int] | NDArray[np.integer] | None = None,
        **options: Unpack[SearchKeywords],
    ) -> SearchResult:
        """Search like `search`; return the hits with the server's time of each stage."""
        _refuse(options)
        options["where"] = _conditions(options.get("where"), ids)
        parameters = _parameters(options_of(options))
        given = query_of(query, like, None, None)
        if isinstance(given, VectorQuery):
            raise QueryError("a server takes no vectors; open the collection itself")
        parsed = Query.of(given)
        document = self._search(RemoteQuery.of(parsed), parameters)
        return self._result(document, str(parsed))

    def status(self) -> Status:
        """Summarise the contents of the collection."""
        overview = self._overview()
        return Status(
            generation=overview["generation"],
            items=overview["items"],
            removed=overview["removed"],
            failures=overview["failures"],
            bytes=overview["bytes"],
            spaces=tuple(
                SpaceStatus(
                    name=space["space"],
                    encoder=space["encoder"],
                    dim=space["dim"],
                    media=tuple(space["media"]),
                    rows=space["rows"],
                    index=tuple(space["index_parts"]),
                )
                for space in overview["spaces"]
            ),
            texts=overview["texts"],
            text_index=tuple(overview["text_index"]),
        )

    # ------------------------------------------------------------ requests

    def _check_version(self) -> None:
        from importlib.metadata import version

        health = self._client.get("/health")
        here, there = version("retrieval"), str(health.get("version"))
        if here.split(".")[:2] != there.split(".")[:2]:
            raise ServerError(
                f"the server at {self._client.address} has version {there}, this program {here}; "
                "install the same version on both sides"
            )

    def _overviews(self) -> list[dict[str, Any]]:
        overviews: list[dict[str, Any]] = self._client.get("/api/collections")["collections"]
        return overviews

    def _overview(self) -> dict[str, Any]:
        for overview in self._overviews():
            if overview["collection"] == self.name:
                return overview
        raise UnknownNameError(
            f"{self._client.address} serves no collection {self.name!r} any more"
        )

    def _search(self, query: RemoteQuery, options: dict[str, str | list[str]]) -> dict[str, Any]:
        """Search; send the files that the server does not know yet."""
        subject: dict[str, str | list[str]] = {"collection": self.name}
        try:
            return self._client.get("/api/search", {**subject, **query.parameters, **options})
        except UnknownNameError:
            if not query.files:
                raise
        for each in query.files:
            with each.opened() as (file, size):
                self._client.post("/api/search", {**subject, "k": "1"}, file, size)
        return self._client.get("/api/search", {**subject, **query.parameters, **options})

    def _result(self, document: dict[str, Any], query: str) -> SearchResult:
        dates = self._date_columns(document["generation"]) if document["hits"] else {}
        try:
            hits = Hits(hit_of(hit, dates) for hit in document["hits"])
            times = StageTimes(**document["took_ms"])
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, RetrievalError):
                raise
            raise ServerError(
                f"{self._client.address} answers in another format ({error}); install the same "
                "version on both sides"
            ) from error
        return SearchResult(query, hits, times, document["hidden"])

    def _date_columns(self, generation: int) -> dict[str, str]:
        if self._dates is None or self._dates[0] != generation:
            overview = self._overview()
            self._dates = (generation, overview["dates"])
        return self._dates[1]


def _refuse(options: SearchKeywords) -> None:
    """Refuse the arguments that a server has no parameters for."""
    for name in LOCAL_ONLY:
        value = options.get(name)
        if value is not None and value is not False:
            raise QueryError(f"a server takes no `{name}`; open the collection itself")


def _conditions(
    where: str | Sequence[str] | None, ids: Sequence[int] | NDArray[np.integer] | None
) -> list[str]:
    """Return the conditions; `ids` are one of them."""
    conditions = [where] if isinstance(where, str) else list(where or ())
    if ids is not None:
        # No item has the id -1.
        listed = ", ".join(map(str, item_ids_of(ids).tolist() or [-1]))
        if len(listed) > MAX_IDS_CHARS:
            raise QueryError(
                f"a server takes no {len(ids):,} ids in one search; give a condition or fewer ids"
            )
        conditions.append(f"item_id IN ({listed})")
    return conditions


def _parameters(options: SearchOptions) -> dict[str, str | list[str]]:
    parameters: dict[str, str | list[str]] = {
        "to": [str(target) for target in options.to],
        "k": str(options.k),
        "offset": str(options.offset),
        "where": list(options.where or ()),
        "cutoff": str(bool(options.cutoff)).lower(),
        "text": str(options.text),
    }
    if options.min_score is not None:
        parameters["min_score"] = repr(float(options.min_score))
    return parameters
