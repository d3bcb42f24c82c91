"""Converts results to the JSON objects that the command line and the server print, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import date, datetime
from typing import Any

from retrieval.search.searcher import SearchResult
from retrieval.types import Hit, Medium, TextMatch, TextSource


def as_json(result: SearchResult) -> dict[str, object]:
    """Return the JSON object of a result.

    `first_stage_score` is present only after re-ranking, `vector` only on request, and `collection`
    only in a search of several collections.
    """
    hits = [asdict(hit) for hit in result.hits]
    took = {s: round(value, 3) for s, value in asdict(result.took_ms).items() if value is not None}
    for hit in hits:
        if "rerank" not in took:
            del hit["first_stage_score"]
        if hit["collection"] is None:
            del hit["collection"]
        vector = hit.pop("vector")
        if vector is not None:
            hit["vector"] = vector.tolist()
    partial = {"partial": True, "absent": list(result.absent)} if result.absent else {}
    return {"query": result.query, "hits": hits, "took_ms": took, **partial}


def hit_of(document: Mapping[str, Any], dates: Mapping[str, str]) -> Hit:
    """Return the hit of a JSON object.

    Args:
        document: One of the `hits` of `as_json`.
        dates: The columns whose values are dates (`date`) or times (`timestamp`).
    """
    known = {field.name for field in fields(Hit)}
    values = {name: value for name, value in document.items() if name in known}
    values["modality"] = Medium(values["modality"])
    values["medium"] = Medium(values["medium"])
    values["metadata"] = {
        name: _DATES[dates[name]](value) if name in dates and isinstance(value, str) else value
        for name, value in values["metadata"].items()
    }
    matched = values.get("matched")
    if matched is not None:
        marks = tuple((start, end) for start, end in matched["marks"])
        source = TextSource(matched["source"])
        values["matched"] = TextMatch(**{**matched, "source": source, "marks": marks})
    return Hit(**values)


_DATES = {"date": date.fromisoformat, "timestamp": datetime.fromisoformat}
