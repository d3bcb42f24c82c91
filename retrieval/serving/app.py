"""The ASGI applications: all routes behind the guard, and searching through the local socket."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import retrieval
from retrieval.errors import RetrievalError
from retrieval.serving.access import Access
from retrieval.serving.collection_routes import collection_routes
from retrieval.serving.curves import curve_routes
from retrieval.serving.derived_routes import derived_routes
from retrieval.serving.errors import HttpError, as_http_error
from retrieval.serving.guard import Guard
from retrieval.serving.json_response import json_response
from retrieval.serving.media_routes import media_routes
from retrieval.serving.metrics import Metrics
from retrieval.serving.page_routes import page_routes
from retrieval.serving.search_routes import search_routes
from retrieval.serving.services import Services
from retrieval.serving.status_routes import status_routes

logger = logging.getLogger(__name__)


def create_app(services: Services, access: Access) -> ASGIApp:
    """Return the application that the port serves."""
    return Guard(create_routes(services), access)


def create_routes(services: Services) -> FastAPI:
    """Return all routes, without the guard."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        yield
        services.close()

    app = FastAPI(
        title="retrieval",
        description="Search images, music and video by meaning.",
        version=retrieval.__version__,
        docs_url=None,  # its page loads scripts from another host
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    for router in (
        search_routes(services),
        collection_routes(services),
        media_routes(services),
        derived_routes(services),
        curve_routes(services),
        status_routes(services),
        page_routes(),
    ):
        app.include_router(router)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RetrievalError, _library_error)
    app.add_exception_handler(OSError, _library_error)
    app.add_exception_handler(Exception, _library_error)

    app.add_middleware(_Counted, services.metrics)
    return app


class _Counted:
    """ASGI middleware that counts responses by route and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.count_request(_route_name(scope), message["status"])
            await send(message)

        await self._app(scope, receive, counted)


def _route_name(scope: Scope) -> str:
    """Return the pattern of the route, so that ids do not become labels."""
    return str(getattr(scope.get("route"), "path", "none"))


async def _library_error(request: Request, error: Exception) -> Response:
    answer = as_http_error(error)
    if answer.status >= 500 and not isinstance(error, HttpError):
        reason = " ".join(str(error).split())[:500]
        logger.error("%s: %s: %s", _route_name(request.scope), type(error).__name__, reason)
    return _error_response(request, answer)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error_response(request, HttpError(error.status_code, str(error.detail).lower()))


async def _invalid(request: Request, error: Exception) -> Response:
    """Say which parameter is invalid, without repeating its value."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"][1:])[:60] or "the request"
    if first["loc"][0] == "path":
        return _error_response(request, HttpError(404, "no such address"))
    return _error_response(request, HttpError(422, f"{name}: {first['msg']}"))


def _error_response(request: Request, error: HttpError) -> Response:
    response = json_response({"error": str(error)}, error.status)
    response.headers.update(error.headers)
    if request.method == "POST":
        response.headers["connection"] = "close"  # the body may be endless
    return response
