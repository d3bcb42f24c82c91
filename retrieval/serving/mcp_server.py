"""Serves collections to assistants by the Model Context Protocol, on standard input and output."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import httpx2
from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

import retrieval
from retrieval.serving.app import create_routes
from retrieval.serving.errors import HttpError
from retrieval.serving.library import Library
from retrieval.serving.limits import MAX_OFFSET, MAX_QUERY_LENGTH
from retrieval.serving.server import REFRESH_SECONDS
from retrieval.serving.services import Services
from retrieval.targets import Target

MAX_HITS = 50
"""Hits of one call; an assistant reads all of them."""

MAX_ID = 10**18
INSTRUCTIONS = (
    "Searches a user's images, recordings and videos by meaning. Describe what is seen or heard in "
    "plain words. Look at hits with get_media before you describe them."
)

QueryText = Annotated[
    str, Field(max_length=MAX_QUERY_LENGTH, description="What to find, in plain words.")
]
CollectionName = Annotated[
    str | None, Field(description="Name from describe_collection; by default the first.")
]
Count = Annotated[int, Field(ge=1, le=MAX_HITS, description="Number of hits.")]
Offset = Annotated[int, Field(ge=0, le=MAX_OFFSET, description="Number of hits to skip.")]
Conditions = Annotated[
    list[str] | None, Field(description="SQL conditions over columns, such as `width > 1000`.")
]


def serve_mcp(library: Library) -> None:
    """Serve read-only tools until standard input ends.

    Nothing but the protocol is written to standard output.

    Raises:
        RetrievalError: A collection or its models cannot be used.
    """
    services = Services(library)
    try:
        with _output_diverted():
            services.library.load()
        asyncio.run(_run(services))
    finally:
        services.close()


def create_server(services: Services) -> MCPServer[Any]:
    """Return the server with its tools, which call the routes of the HTTP API."""
    routes = _Routes(services)
    server: MCPServer[Any] = MCPServer(
        "retrieval", version=retrieval.__version__, instructions=INSTRUCTIONS, log_level="WARNING"
    )
    read_only = ToolAnnotations(read_only_hint=True, open_world_hint=False)

    @server.tool(annotations=read_only)
    async def search(
        query: QueryText = "",
        like: Annotated[
            list[int] | None, Field(description="Ids of items that hits resemble.")
        ] = None,
        to: Annotated[
            list[Target] | None, Field(description="Types of hits; by default all but moments.")
        ] = None,
        where: Conditions = None,
        k: Count = 10,
        offset: Offset = 0,
        collection: CollectionName = None,
    ) -> dict[str, Any]:
        """Find items by meaning; without a query, list the newest ones."""
        subject = {"q": query, "like": [str(each) for each in like or ()]}
        options = {"to": [str(each) for each in to or ()], "where": where or []}
        return await routes.search(collection, {**subject, **options, "k": k, "offset": offset})

    @server.tool(annotations=read_only)
    async def moments(
        query: QueryText,
        where: Conditions = None,
        k: Count = 10,
        offset: Offset = 0,
        collection: CollectionName = None,
    ) -> dict[str, Any]:
        """Find spans of time in videos and recordings."""
        if not query.strip():
            raise ToolError("the query is empty; describe what happens")
        options = {"q": query, "to": ["moment"], "where": where or [], "k": k, "offset": offset}
        return await routes.search(collection, options)

    @server.tool(annotations=read_only)
    async def describe_collection(collection: CollectionName = None) -> dict[str, Any]:
        """Describe contents, columns for conditions, example queries, and all collections."""
        return await routes.describe(collection)

    @server.tool(annotations=read_only, structured_output=False)
    async def get_media(
        item_id: Annotated[int, Field(ge=0, lt=MAX_ID, description="`item_id` of a hit.")],
        seconds: Annotated[
            float, Field(ge=0, le=1e7, allow_inf_nan=False, description="Time in a video.")
        ] = 0.0,
        size: Annotated[int, Field(ge=64, le=1280, description="Pixels of the longer side.")] = 640,
        collection: CollectionName = None,
    ) -> Image:
        """Look at an item: an image, the frame of a video, or the cover of a recording."""
        return Image(data=await routes.thumbnail(collection, item_id, seconds, size), format="webp")

    return server


class _Routes:
    """The routes of the HTTP API in this process, with their limits and messages."""

    def __init__(self, services: Services) -> None:
        self._services = services
        # The application answers its own errors; they are not raised again here.
        transport = httpx2.ASGITransport(create_routes(services), raise_app_exceptions=False)
        self._client = httpx2.AsyncClient(transport=transport, base_url="http://localhost")

    async def search(self, collection: str | None, parameters: dict[str, Any]) -> dict[str, Any]:
        answer = await self._get("/api/search", collection=self._slug(collection), **parameters)
        document: dict[str, Any] = answer.json()
        names = ("query", "hits", "collection", "hidden")
        return {name: document[name] for name in names} | {"more": document["next"] is not None}

    async def describe(self, collection: str | None) -> dict[str, Any]:
        slug = self._slug(collection)
        overviews = (await self._get("/api/collections")).json()["collections"]
        columns = (await self._get("/api/columns", collection=slug)).json()["columns"]
        (overview,) = (each for each in overviews if each["collection"] == slug)
        names = [each["collection"] for each in overviews]
        return {**overview, "columns": columns, "collections": names}

    async def thumbnail(
        self, collection: str | None, item_id: int, seconds: float, size: int
    ) -> bytes:
        address = f"/thumbnails/{self._slug(collection)}/{item_id}"
        content: bytes = (await self._get(address, t=seconds, size=size)).content
        return content

    def _slug(self, collection: str | None) -> str:
        try:
            return self._services.collection(collection).slug
        except HttpError as error:
            known = ", ".join(each.slug for each in self._services.library)
            raise ToolError(f"{error}; known: {known}") from error

    async def _get(self, address: str, **parameters: Any) -> httpx2.Response:
        try:
            answer = await self._client.get(address, params=parameters)
        except (UnicodeError, ValueError, httpx2.InvalidURL) as error:
            raise ToolError("an argument is too long, or is not valid Unicode") from error
        if answer.status_code != httpx2.codes.OK:
            raise ToolError(str(answer.json().get("error", "the search failed")))
        return answer


async def _run(services: Services) -> None:
    refreshing = asyncio.create_task(_refresh(services))
    try:
        await create_server(services).run_stdio_async()
    finally:
        refreshing.cancel()


async def _refresh(services: Services) -> None:
    """Look for new generations from time to time."""
    while True:
        await asyncio.sleep(REFRESH_SECONDS)
        await asyncio.to_thread(services.library.refresh)


@contextmanager
def _output_diverted() -> Iterator[None]:
    """Send what libraries print to standard error; while it serves, the SDK does the same."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)
