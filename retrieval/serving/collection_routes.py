"""`/api/collections`, `/api/failures`, `/api/columns` and `/api/duplicates`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response

from retrieval.duplicates.find import DuplicateOptions, find_duplicates
from retrieval.duplicates.groups import DuplicateGroup
from retrieval.duplicates.report import as_json
from retrieval.serving.columns import summarise_columns
from retrieval.serving.generations import ServedCollection
from retrieval.serving.json_response import json_response
from retrieval.serving.limits import MAX_HITS
from retrieval.serving.overview import collection_overview, failures_page
from retrieval.serving.services import Services

CollectionName = Annotated[
    str | None, Query(max_length=60, description="Slug; by default the first.")
]
MAX_GROUPS = 100
PageSize = Annotated[int, Query(ge=1, le=MAX_HITS)]
Offset = Annotated[int, Query(ge=0, le=10**9)]


def collection_routes(services: Services) -> APIRouter:
    """Return the routes that describe collections."""
    router = APIRouter(tags=["collections"])

    @router.get("/api/collections", summary="The served collections and their contents")
    async def collections() -> Response:
        overviews = [
            await services.slow.submit(partial(collection_overview, each))
            for each in services.library
        ]
        return json_response({"collections": overviews})

    @router.get("/api/failures", summary="Files that could not be embedded, with reasons")
    async def failures(
        collection: CollectionName = None, k: PageSize = 50, offset: Offset = 0
    ) -> Response:
        found = services.collection(collection)
        return json_response(await services.slow.submit(lambda: failures_page(found, k, offset)))

    @router.get("/api/columns", summary="Columns of the items: types, ranges, values, folders")
    async def columns(collection: CollectionName = None) -> Response:
        found = services.collection(collection)
        content = await services.slow.submit(
            lambda: found.use(
                lambda generation: generation.derive(
                    "columns", lambda: summarise_columns(generation)
                )
            )
        )
        return json_response({"collection": found.slug, **content})

    @router.get("/api/duplicates", summary="Groups of near-duplicates, largest first")
    async def duplicates(
        collection: CollectionName = None,
        threshold: Annotated[float, Query(ge=0.5, le=1, allow_inf_nan=False)] = 0.95,
        k: Annotated[int, Query(ge=1, le=MAX_GROUPS)] = 20,
        offset: Offset = 0,
    ) -> Response:
        found = services.collection(collection)
        groups = await services.slow.submit(lambda: _groups(found, round(threshold, 2)))
        page = as_json(groups[offset : offset + k])["groups"]
        more = f"?k={k}&offset={offset + k}&threshold={threshold}&collection={found.slug}"
        return json_response(
            {
                "collection": found.slug,
                "total": len(groups),
                "groups": page,
                "next": more if offset + k < len(groups) else None,
            }
        )

    return router


def _groups(collection: ServedCollection, threshold: float) -> list[DuplicateGroup]:
    """Find near-duplicates once per generation and threshold."""
    return collection.use(
        lambda generation: generation.derive(
            f"duplicates {threshold}",
            lambda: find_duplicates(generation.snapshot, DuplicateOptions(threshold)),
        )
    )
