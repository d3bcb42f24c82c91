"""`/api/search`: queries by text, items and files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from retrieval.search.options import SearchOptions
from retrieval.search.query import EmbeddedFile
from retrieval.search.query import Query as SearchQuery
from retrieval.search.result_json import as_json
from retrieval.serving.bodies import Body, received
from retrieval.serving.generations import Generation, ServedCollection
from retrieval.serving.json_response import json_response
from retrieval.serving.limits import MAX_OFFSET
from retrieval.serving.newest import newest_hits, newest_items
from retrieval.serving.parameters import SearchParameters
from retrieval.serving.services import Services
from retrieval.serving.several import joined_file
from retrieval.types import Medium

LOCAL = "retrieval.local"
"""Key of the scope of a request through the local socket."""


def search_routes(services: Services) -> APIRouter:
    """Return the routes of searching."""
    router = APIRouter(tags=["search"])

    @router.get("/api/search", summary="Search by text, items and files that were sent before")
    async def search(
        request: Request, parameters: Annotated[SearchParameters, Query()]
    ) -> Response:
        return await _answer(services, request, parameters)

    @router.post("/api/search", summary="Search by a picture, recording or video: the raw body")
    async def search_by_file(
        request: Request, parameters: Annotated[SearchParameters, Query()]
    ) -> Response:
        collections = services.collections(parameters.collection)

        def embed(body: Body) -> None:
            for collection in collections:
                services.file_queries.add(collection, body)

        # Admitted first, so that a limited number of bodies is on the disk.
        with services.uploads:
            async with received(request) as body:
                await services.uploads.run(lambda: embed(body))
        with_file = parameters.model_copy(update={"file": [*parameters.file, body.digest]})
        return await _answer(services, request, with_file)

    return router


async def _answer(services: Services, request: Request, parameters: SearchParameters) -> Response:
    collections = services.collections(parameters.collection)
    is_group = len(collections) > 1

    def file_named(digest: str) -> EmbeddedFile:
        files = [services.file_queries.get(each, digest) for each in collections]
        return joined_file(files) if is_group else files[0]

    query = parameters.query(file_named, names_collections=is_group)
    options = parameters.options()
    with services.searches:
        if is_group:
            content = await services.searches.run(
                lambda: (
                    _newest_of_several(collections, options)
                    if query is None
                    else _search_several(services, collections, query, options)
                )
            )
        elif query is None:
            content = await services.searches.run(lambda: _newest(collections[0], options))
        else:
            alone = LOCAL in request.scope
            start = time.perf_counter()
            await encode_texts(collections[0], query, parameters.media(), alone=alone)
            encode_ms = (time.perf_counter() - start) * 1e3
            content = await services.searches.run(
                lambda: _search(collections[0], query, options, encode_ms)
            )
    services.metrics.count_stages(content["took_ms"])  # type: ignore[arg-type]
    shown = content.pop("shown")
    more = shown == parameters.k and parameters.offset + parameters.k <= MAX_OFFSET
    content["next"] = _next(parameters) if more else None
    if parameters.file:
        content["file"] = [each.partition(":")[0] for each in parameters.file]
    return json_response(content)


async def encode_texts(
    collection: ServedCollection,
    query: SearchQuery,
    media: set[Medium],
    *,
    alone: bool = False,
) -> None:
    """Encode the texts of a query together with those of other requests.

    The search then finds the vectors in the encoders' cache. An error is raised there.

    Args:
        collection: The collection.
        query: The query.
        media: The media that are searched; they select the models.
        alone: Encode the texts in batches of their own; see `TextBatcher.submit`.
    """
    futures = [
        asyncio.wrap_future(batcher.submit(text, alone=alone))
        for batcher, text in collection.text_batchers(query, media)
    ]
    await asyncio.gather(*futures, return_exceptions=True)


def _search(
    collection: ServedCollection, query: SearchQuery, options: SearchOptions, encode_ms: float
) -> dict[str, object]:
    """Search; `encode_ms` is the time that the texts took before."""

    def search(generation: Generation) -> dict[str, object]:
        result = generation.searcher.search(query, options)
        times = replace(result.took_ms, encode=result.took_ms.encode + encode_ms)
        result = replace(result, took_ms=times)
        return as_json(result) | {
            "hidden": result.hidden,
            "collection": collection.slug,
            "generation": generation.number,
            "shown": len(result.hits),
        }

    return collection.use(search)


def _search_several(
    services: Services,
    collections: Sequence[ServedCollection],
    query: SearchQuery,
    options: SearchOptions,
) -> dict[str, object]:
    result = services.groups.search(collections, query, options)
    return as_json(result) | {
        "hidden": result.hidden,
        "collection": [collection.slug for collection in collections],
        "shown": len(result.hits),
    }


def _newest(collection: ServedCollection, options: SearchOptions) -> dict[str, object]:
    """List the newest items in the form of hits without a score."""

    def newest(generation: Generation) -> dict[str, object]:
        items = [item for _, item in newest_items(generation, options)]
        hits = newest_hits(generation, items, options.offset + 1)
        return {
            "query": "", "hits": hits, "took_ms": {}, "hidden": 0, "shown": len(hits),
            "collection": collection.slug, "generation": generation.number,
        }  # fmt: skip

    return collection.use(newest)


def _newest_of_several(
    collections: Sequence[ServedCollection], options: SearchOptions
) -> dict[str, object]:
    first = replace(options, offset=0, k=options.offset + options.k)
    pages = [
        [
            (-time, -number, -item_id)
            for time, item_id in collection.use(lambda generation: newest_items(generation, first))
        ]
        for number, collection in enumerate(collections)
    ]
    page = sorted(item for each in pages for item in each)[options.offset : first.k]
    hits: list[dict[str, object]] = []
    for rank, (_, number, item_id) in enumerate(page, options.offset + 1):
        collection = collections[-number]
        found = collection.use(partial(newest_hits, item_ids=[-item_id], first_rank=rank))
        hits += [hit | {"collection": collection.slug} for hit in found]
    slugs = [collection.slug for collection in collections]
    return {"query": "", "hits": hits, "took_ms": {}, "hidden": 0, "shown": len(hits),
            "collection": slugs}  # fmt: skip


def _next(parameters: SearchParameters) -> str:
    """Return the address of the next page, relative to that of the request."""
    changed = parameters.model_copy(update={"offset": parameters.offset + parameters.k})
    given = changed.model_dump(mode="json", exclude_defaults=True)
    return "?" + urlencode(given, doseq=True)
