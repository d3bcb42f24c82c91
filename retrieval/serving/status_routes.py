"""`/health` and `/metrics`."""

from __future__ import annotations

from fastapi import APIRouter, Response

import retrieval
from retrieval.serving.json_response import json_response
from retrieval.serving.metrics import Labels, resident_bytes
from retrieval.serving.services import Services


def status_routes(services: Services) -> APIRouter:
    """Return the routes for monitoring."""
    router = APIRouter(tags=["monitoring"])

    @router.get("/health", summary="Whether the server answers, and which generations")
    async def health() -> Response:
        collections = [
            {"collection": each.slug, "generation": each.current.number}
            for each in services.library
        ]
        return json_response(
            {"status": "ok", "version": retrieval.__version__, "collections": collections}
        )

    @router.get("/metrics", summary="Counters in Prometheus' text format")
    async def metrics() -> Response:
        generations: list[tuple[Labels, float]] = []
        rows: list[tuple[Labels, float]] = []
        batches: list[tuple[Labels, float]] = []
        texts: list[tuple[Labels, float]] = []
        for each in services.library:
            label = (("collection", each.slug),)
            generations.append((label, each.current.number))
            manifest = each.current.snapshot.manifest
            for space in manifest.spaces:
                count = sum(file.rows for file in manifest.files_in(f"segments/{space.name}"))
                rows.append(((*label, ("space", space.name)), count))
            batches.append((label, sum(batcher.batches for batcher in each.batchers)))
            texts.append((label, sum(batcher.texts for batcher in each.batchers)))
        text = services.metrics.text(
            {
                "generation": generations,
                "rows": rows,
                "text_batches": batches,
                "encoded_texts": texts,
                "searches_admitted": [((), services.searches.admitted)],
                "media_waiting": [((), services.derived.waiting)],
                "media_made": [((), services.derived.made)],
                "resident_memory_bytes": [((), resident_bytes())],
            }
        )
        return Response(text, media_type="text/plain; version=0.0.4")

    return router
