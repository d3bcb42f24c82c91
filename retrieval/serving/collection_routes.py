"""`/api/collections`, `/api/failures`, `/api/columns` and `/api/duplicates`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from retrieval.serving.limits import MAX_HITS
from retrieval.serving.overview import collection_overview, failures_page
from retrieval.serving.search_routes import json_response
from retrieval.serving.services import Services

CollectionName = Annotated[
    str | None, Query(max_length=60, description="Slug; by default the first.")
]
PageSize = Annotated[int, Query(ge=1, le=MAX_HITS)]
Offset = Annotated[int, Query(ge=0, le=10**9)]


def collection_routes(services: Services) -> APIRouter:
    """Return the routes that describe collections."""
    router = APIRouter(tags=["collections"])

    @router.get("/api/collections", summary="The served collections and their contents")
    async def collections() -> Response:
        overviews = [
            await services.searches.run(lambda each=each: collection_overview(each))  # type: ignore[misc]
            for each in services.library
        ]
        return json_response({"collections": overviews})

    @router.get("/api/failures", summary="Files that could not be embedded, with reasons")
    async def failures(
        collection: CollectionName = None, k: PageSize = 50, offset: Offset = 0
    ) -> Response:
        found = services.collection(collection)
        return json_response(await services.searches.run(lambda: failures_page(found, k, offset)))

    return router
