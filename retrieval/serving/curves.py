"""Scores the segments of an item over time, for the curve below a player."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from retrieval.errors import QueryError
from retrieval.search.query import Query as SearchQuery
from retrieval.serving.errors import HttpError
from retrieval.serving.generations import Generation, ServedCollection
from retrieval.serving.item_files import item_record
from retrieval.serving.json_response import json_response
from retrieval.serving.media_routes import ItemId, Slug
from retrieval.serving.parameters import QueryParameters
from retrieval.serving.search_routes import encode_texts
from retrieval.serving.services import Services
from retrieval.types import Medium

DIGITS = 4


class CurveParameters(QueryParameters):
    """A query, and which segments to score."""

    collection: str | None = Field(None, max_length=60, description="Has no effect.")
    space: str | None = Field(None, max_length=100, description="By default all spaces.")
    medium: Medium | None = Field(None, description="By default video and audio.")

    def media(self) -> set[Medium]:
        """Return the media of the segments."""
        return {self.medium} if self.medium else {Medium.VIDEO, Medium.AUDIO}


def curve_routes(services: Services) -> APIRouter:
    """Return the route of score curves."""
    router = APIRouter(tags=["search"])

    @router.get("/curves/{collection}/{item}", summary="The score of a query over an item's time")
    async def curves(
        request: Request,
        collection: Slug,
        item: ItemId,
        parameters: Annotated[CurveParameters, Query()],
    ) -> Response:
        del request
        found = services.collection(collection)
        query = parameters.query(lambda digest: services.file_queries.get(found, digest))
        if query is None:
            raise HttpError(422, "q: a curve needs a query")
        with services.searches:
            await encode_texts(found, query, parameters.media())
            content = await services.searches.run(
                lambda: _curves(found, int(item), query, parameters)
            )
        return json_response({"curves": content})

    return router


def _curves(
    collection: ServedCollection, item_id: int, query: SearchQuery, parameters: CurveParameters
) -> list[dict[str, Any]]:
    def score(generation: Generation) -> list[dict[str, Any]]:
        item_record(generation, item_id)  # 404 for an unknown item
        spaces = [space.name for space in generation.snapshot.spaces]
        if parameters.space is not None:
            if parameters.space not in spaces:
                raise HttpError(404, "no space of this name")
            spaces = [parameters.space]
        pairs = [(space, medium) for space in spaces for medium in sorted(parameters.media())]
        found = [_curve(generation, item_id, query, *pair) for pair in pairs]
        return [curve for curve in found if curve is not None]

    return collection.use(score)


def _curve(
    generation: Generation, item_id: int, query: SearchQuery, space: str, medium: Medium
) -> dict[str, Any] | None:
    """Score one item in one space; None if it has no such segments or the query no vector."""
    try:
        starts, ends, scores = generation.searcher.curve(query, item_id, space, medium)
    except QueryError:
        return None
    if not len(scores):
        return None
    return {
        "space": space,
        "medium": medium,
        "start_seconds": [round(float(value), 3) for value in starts],
        "end_seconds": [round(float(value), 3) for value in ends],
        "scores": [round(float(value), DIGITS) for value in scores],
    }
