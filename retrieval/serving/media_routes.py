"""`/media`, `/clips` and `/api/items`: the files of items, by id."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.responses import StreamingResponse

from retrieval.media.names import container_of, uri_to_path
from retrieval.serving.errors import HttpError
from retrieval.serving.file_response import FileResponse, attachment
from retrieval.serving.item_files import ItemFile, ItemRecord, item_record
from retrieval.serving.json_response import json_response
from retrieval.serving.limits import MAX_CLIP_SECONDS
from retrieval.serving.media_types import HEAD_BYTES, OTHER, media_type
from retrieval.serving.parameters import ITEM_ID
from retrieval.serving.services import Services
from retrieval.types import Medium

MAX_SECONDS = 10_000_000.0
NOT_STORED = {"cache-control": "no-store"}

Slug = Annotated[str, Path(max_length=60)]
ItemId = Annotated[str, Path(max_length=18, pattern=rf"^{ITEM_ID}$")]
Seconds = Annotated[float, Query(ge=0, le=MAX_SECONDS, allow_inf_nan=False)]
"""A time that a client names."""


def media_routes(services: Services) -> APIRouter:
    """Return the routes of files."""
    router = APIRouter(tags=["media"])

    @router.head("/media/{collection}/{item}", include_in_schema=False)
    @router.get("/media/{collection}/{item}", summary="A file")
    async def media(
        request: Request, collection: Slug, item: ItemId, play: Seconds | None = None
    ) -> Response:
        """Send the file itself, or with `play=SECONDS` fragmented MP4 from that time on."""
        record = find_record(services, collection, item)
        opened = await asyncio.to_thread(services.files.open, record)
        if play is None:
            return _file_response(opened)
        return await _stream(services, request, opened, play, MAX_SECONDS)

    @router.get("/clips/{collection}/{item}", summary="A span of a recording or video, as MP4")
    async def clip(
        request: Request, collection: Slug, item: ItemId, start: Seconds, end: Seconds
    ) -> Response:
        if not 0 < end - start <= MAX_CLIP_SECONDS:
            raise HttpError(422, f"end: a clip lasts more than 0 and up to {MAX_CLIP_SECONDS:g} s")
        record = find_record(services, collection, item)
        opened = await asyncio.to_thread(services.files.open, record)
        response = await _stream(services, request, opened, start, end)
        stem = os.path.splitext(file_name(record.uri))[0]
        response.headers["content-disposition"] = attachment(f"{stem}-{start:.1f}-{end:.1f}.mp4")
        return response

    @router.get("/api/items/{collection}/{item}", summary="What is recorded about an item")
    async def item_details(collection: Slug, item: ItemId) -> Response:
        """Return columns, type or codecs, and whether browsers show the file as it is."""
        record = find_record(services, collection, item)
        details = {
            "item_id": record.item_id,
            "uri": record.uri,
            "name": file_name(record.uri),
            "modality": record.modality,
            "metadata": record.columns,
        }
        if record.modality is not Medium.IMAGE:
            return json_response(details | json.loads(await services.derived.probe(record)))
        opened = await asyncio.to_thread(services.files.open, record)
        try:
            kind = _kind(opened)
        finally:
            opened.close()
        return json_response(details | {"playable": kind != OTHER, "type": kind})

    return router


def find_record(services: Services, slug: str, item_id: str) -> ItemRecord:
    """Return the record of an item.

    Raises:
        HttpError: 404: there is no such collection or item.
    """
    collection = services.collection(slug)
    return collection.use(lambda generation: item_record(generation, int(item_id)))


async def _stream(
    services: Services, request: Request, opened: ItemFile, start: float, end: float
) -> Response:
    """Convert a span; takes over the open file."""
    record = opened.record
    if record.modality is Medium.IMAGE:
        opened.close()
        raise HttpError(422, f"item {record.item_id} is an image, which has no time")
    if request.method == "HEAD":
        opened.close()
        return Response(media_type="video/mp4", headers=NOT_STORED)
    chunks = await services.transcodes.start(opened, start, end)
    return StreamingResponse(chunks, media_type="video/mp4", headers=NOT_STORED)


def _file_response(opened: ItemFile) -> Response:
    try:
        kind = _kind(opened)
    except OSError:
        opened.close()
        raise
    name = file_name(opened.record.uri)
    return FileResponse(opened, media_type=kind, name=name, inline=kind != OTHER)


def _kind(opened: ItemFile) -> str:
    record = opened.record
    head = os.pread(opened.descriptor, min(HEAD_BYTES, record.size), opened.offset)
    return media_type(head, sound_only=record.modality is Medium.AUDIO)


def file_name(uri: str) -> str:
    """Return the last part of an item's path, or of its name in an archive."""
    container, member = container_of(uri)
    return os.path.basename(member if member is not None else uri_to_path(container)) or "media"
