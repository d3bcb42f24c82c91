"""`/thumbnails` and `/waveforms`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from retrieval.serving.derived import MAX_PEAKS, SIDES
from retrieval.serving.file_response import CACHE_CONTROL, etag_matches
from retrieval.serving.item_files import ItemRecord
from retrieval.serving.media_routes import ItemId, Seconds, Slug, find_record
from retrieval.serving.services import Services


def derived_routes(services: Services) -> APIRouter:
    """Return the routes of pictures and peaks that are made from files."""
    router = APIRouter(tags=["media"])

    @router.get("/thumbnails/{collection}/{item}", summary="A small picture of an item, as WebP")
    async def thumbnail(
        request: Request,
        collection: Slug,
        item: ItemId,
        t: Seconds = 0.0,
        size: Annotated[int, Query(ge=1, le=SIDES[-1])] = 320,
    ) -> Response:
        """Draw an image, the frame of a video at `t` seconds, or the cover of a recording."""
        record = find_record(services, collection, item)
        return await _respond(
            request, record, f"{t:.1f}-{size}", "image/webp",
            lambda: services.derived.thumbnail(record, t, size),
        )  # fmt: skip

    @router.get("/waveforms/{collection}/{item}", summary="The peaks of a recording or video")
    async def waveform(
        request: Request,
        collection: Slug,
        item: ItemId,
        bins: Annotated[int, Query(ge=1, le=MAX_PEAKS)] = 800,
    ) -> Response:
        """Return `seconds` and up to `bins` peaks, 0 … 1, of spans of equal length."""
        record = find_record(services, collection, item)
        return await _respond(
            request, record, f"{bins}", "application/json",
            lambda: services.derived.waveform(record, bins),
        )  # fmt: skip

    return router


async def _respond(
    request: Request,
    record: ItemRecord,
    variant: str,
    kind: str,
    make: Callable[[], Awaitable[bytes]],
) -> Response:
    """Answer with what is made from a file, unless the client has it already."""
    etag = f'"{record.sha256[:24]}-{variant}"'
    headers = {"etag": etag, "cache-control": CACHE_CONTROL}
    if etag_matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(await make(), headers=headers, media_type=kind)
