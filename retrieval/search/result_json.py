"""Converts results to the JSON objects that the command line and the server print."""

from __future__ import annotations

from dataclasses import asdict

from retrieval.search.searcher import SearchResult


def as_json(result: SearchResult) -> dict[str, object]:
    """Return the JSON object of a result.

    `first_stage_score` is present only after re-ranking, `vector` only on request.
    """
    hits = [asdict(hit) for hit in result.hits]
    took = {s: round(value, 3) for s, value in asdict(result.took_ms).items() if value is not None}
    for hit in hits:
        if "rerank" not in took:
            del hit["first_stage_score"]
        vector = hit.pop("vector")
        if vector is not None:
            hit["vector"] = vector.tolist()
    return {"query": result.query, "hits": hits, "took_ms": took}
