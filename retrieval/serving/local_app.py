"""The application behind the local socket: searching, for the same version and generation only."""

from __future__ import annotations

from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from retrieval.serving.guard import send_error
from retrieval.serving.local_socket import (
    GENERATION_HEADER,
    ROOT_HEADER,
    VERSION_HEADER,
    program_version,
)
from retrieval.serving.search_routes import LOCAL
from retrieval.serving.services import Services

CONFLICT = 409


class LocalApp:
    """Answers `/api/search` of clients that see the same program and the same generation.

    Only processes of the same user reach the socket, so no token is needed.

    Args:
        routes: All routes, without the guard.
        services: The collections.
    """

    def __init__(self, routes: ASGIApp, services: Services) -> None:
        self._routes = routes
        self._services = services
        self._version = program_version()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        reason = self._refusal(scope)
        if reason is not None:
            await send_error(send, scope, CONFLICT, reason)
            return
        await self._routes({**scope, LOCAL: True}, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        collection = self._services.library.at(unquote(headers.get(ROOT_HEADER, "/")))
        if (scope["method"], scope["path"]) != ("GET", "/api/search") or collection is None:
            return "only searches of a served collection are answered here"
        if headers.get(VERSION_HEADER) != self._version:
            return "the client has another version"
        if headers.get(GENERATION_HEADER) != str(collection.current.number):
            return "the client sees another generation"
        if f"collection={collection.slug}".encode() not in scope["query_string"].split(b"&"):
            scope["query_string"] += f"&collection={collection.slug}".encode()
        return None
