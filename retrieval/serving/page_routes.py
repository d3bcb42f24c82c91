"""The page: static files of the package."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response

from retrieval.serving.errors import HttpError
from retrieval.serving.file_response import CACHE_CONTROL, etag_matches

TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class _StaticFile:
    content: bytes
    kind: str
    etag: str


def page_routes() -> APIRouter:
    """Return `/` and the files that the page loads, which are read once."""
    router = APIRouter(include_in_schema=False)
    known = {path: _read(entry) for path, entry in _walk(files("retrieval.serving") / "page", "")}

    @router.api_route("/{path:path}", methods=["GET", "HEAD"])
    async def page(request: Request, path: str) -> Response:
        file = known.get(path or "index.html")
        if file is None:
            raise HttpError(404, "no such address")
        headers = {"etag": file.etag, "cache-control": CACHE_CONTROL}
        if etag_matches(request.headers.get("if-none-match"), file.etag):
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers=headers, media_type=file.kind)

    return router


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    """List the files that have a known type, by their path below the folder."""
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in TYPES:
            found.append((prefix + entry.name, entry))
    return found


def _read(entry: Traversable) -> _StaticFile:
    content = entry.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:32]
    return _StaticFile(content, TYPES[entry.name.rpartition(".")[2]], f'"{digest}"')
