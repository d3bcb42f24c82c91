"""Describes a served collection: contents, spaces, indexes, failures, and a running writer."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from retrieval.columns.arrow import column_type
from retrieval.serving.examples import example_queries
from retrieval.serving.generations import Generation, ServedCollection
from retrieval.store.lock import HOLDER_NAME, live_writer
from retrieval.store.writer_progress import WriterProgress, read_progress


def collection_overview(collection: ServedCollection) -> dict[str, object]:
    """Return what the collection page shows."""
    content = collection.use(
        lambda generation: (
            generation.derive("overview", lambda: _contents(generation))
            | {"examples": generation.derive("examples", lambda: example_queries(generation))}
        )
    )
    return {"collection": collection.slug, **content, "writer": _writer(collection)}


def _contents(generation: Generation) -> dict[str, object]:
    status = generation.status
    return {
        "generation": generation.number,
        "items": status.items,
        "hours": round(_seconds(generation) / 3600, 3),
        "removed": status.removed,
        "failures": status.failures,
        "bytes": status.bytes,
        "texts": status.texts,
        "text_index": list(status.text_index),
        "dates": _date_columns(generation),
        "spaces": [
            {
                "space": space.name,
                "encoder": space.encoder,
                "dim": space.dim,
                "media": list(space.media),
                "rows": space.rows,
                "index": _index(generation, space.name),
                "index_parts": list(space.index),
            }
            for space in status.spaces
        ],
    }


def _date_columns(generation: Generation) -> dict[str, str]:
    """Return the columns whose values JSON holds as text: dates and times."""
    types = {
        field.name: column_type(field.type)
        for field in generation.snapshot.items_schema()
        if pa.types.is_temporal(field.type)
    }
    return {name: kind.value for name, kind in types.items()}


def _index(generation: Generation, space: str) -> list[dict[str, Any]]:
    """Return kind, rows and measured recall at 10 of each part of an index."""
    return [
        {
            "kind": card.factory or "exact",
            "rows": card.rows,
            "recall": {str(name): k.get(10) for name, k in card.measured.recall.items()},
        }
        for card in generation.searcher.cards(space)
    ]


def _seconds(generation: Generation) -> float:
    """Total length of all recordings and videos."""
    total = 0.0
    for batch in generation.snapshot.iter_items():
        total += pc.sum(batch.column("duration_seconds")).as_py() or 0.0
    return total


def _writer(collection: ServedCollection) -> dict[str, object] | None:
    """Return the process that is writing to the collection, and its progress, if any."""
    holder = live_writer(collection.root)
    if holder is None:
        return None
    since = None
    with suppress(OSError):
        since = (collection.root / HOLDER_NAME).stat().st_mtime
    progress = read_progress(collection.root)
    return {
        "process": holder.process,
        "host": holder.host,
        "since": since,
        "progress": None if progress is None else _without_process(progress),
    }


def _without_process(progress: WriterProgress) -> dict[str, object]:
    return {key: value for key, value in asdict(progress).items() if key not in ("process", "host")}


def failures_page(collection: ServedCollection, k: int, offset: int) -> dict[str, object]:
    """Return some of the files that could not be embedded."""
    failures = collection.use(
        lambda generation: generation.derive(
            "failures", lambda: list(generation.snapshot.failures().values())
        )
    )
    page = failures[offset : offset + k]
    return {
        "total": len(failures),
        "failures": [
            {"uri": failure.uri, "stage": failure.stage, "reason": failure.reason}
            for failure in page
        ],
        "next": f"?k={k}&offset={offset + k}&collection={collection.slug}"
        if offset + k < len(failures)
        else None,
    }
