"""`/media`, `/thumbnails`, `/waveforms` and `/clips`: files of items, by id."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from retrieval.media.names import container_of, uri_to_path
from retrieval.serving.derived import MAX_PEAKS, SIDES
from retrieval.serving.file_response import CACHE_CONTROL, FileResponse, etag_matches
from retrieval.serving.item_files import ItemFile, ItemRecord, item_record
from retrieval.serving.media_types import HEAD_BYTES, OTHER, media_type
from retrieval.serving.parameters import ITEM_ID
from retrieval.serving.services import Services
from retrieval.types import Medium

MAX_SECONDS = 10_000_000.0

Slug = Annotated[str, Path(max_length=60)]
ItemId = Annotated[str, Path(max_length=18, pattern=rf"^{ITEM_ID}$")]
Seconds = Annotated[float, Query(ge=0, le=MAX_SECONDS, allow_inf_nan=False)]
"""A time that a client names."""


def media_routes(services: Services) -> APIRouter:
    """Return the routes of media."""
    router = APIRouter(tags=["media"])

    def find(slug: str, item_id: str) -> ItemRecord:
        collection = services.collection(slug)
        return collection.use(lambda generation: item_record(generation, int(item_id)))

    @router.api_route("/media/{collection}/{item}", methods=["GET", "HEAD"], summary="A file")
    async def media(collection: Slug, item: ItemId) -> Response:
        record = find(collection, item)
        opened = await asyncio.to_thread(services.files.open, record)
        return _file_response(opened)

    @router.get("/thumbnails/{collection}/{item}", summary="A small picture of an item, as WebP")
    async def thumbnail(
        request: Request,
        collection: Slug,
        item: ItemId,
        t: Seconds = 0.0,
        size: Annotated[int, Query(ge=1, le=SIDES[-1])] = 320,
    ) -> Response:
        record = find(collection, item)
        etag = f'"{record.sha256[:24]}-{t:.1f}-{size}"'
        headers = {"etag": etag, "cache-control": CACHE_CONTROL}
        if etag_matches(request.headers.get("if-none-match"), etag):
            return Response(status_code=304, headers=headers)
        content = await services.derived.thumbnail(record, t, size)
        return Response(content, headers=headers, media_type="image/webp")

    @router.get("/waveforms/{collection}/{item}", summary="The peaks of a recording or video")
    async def waveform(
        request: Request,
        collection: Slug,
        item: ItemId,
        bins: Annotated[int, Query(ge=1, le=MAX_PEAKS)] = 800,
    ) -> Response:
        record = find(collection, item)
        etag = f'"{record.sha256[:24]}-{bins}"'
        headers = {"etag": etag, "cache-control": CACHE_CONTROL}
        if etag_matches(request.headers.get("if-none-match"), etag):
            return Response(status_code=304, headers=headers)
        content = await services.derived.waveform(record, bins)
        return Response(content, headers=headers, media_type="application/json")

    return router


def _file_response(opened: ItemFile) -> Response:
    record = opened.record
    try:
        head = os.pread(opened.descriptor, min(HEAD_BYTES, record.size), opened.offset)
    except OSError:
        opened.close()
        raise
    kind = media_type(head, sound_only=record.modality is Medium.AUDIO)
    response = FileResponse(
        opened, media_type=kind, name=file_name(record.uri), inline=kind != OTHER
    )
    return response  # type: ignore[return-value]  # FastAPI sends any ASGI application


def file_name(uri: str) -> str:
    """Return the last part of an item's path, or of its name in an archive."""
    container, member = container_of(uri)
    return os.path.basename(member if member is not None else uri_to_path(container)) or "media"
