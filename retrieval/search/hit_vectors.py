"""Attaches stored vectors to hits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from retrieval.search.query_vectors import QueryVectors
from retrieval.store.reader import Snapshot
from retrieval.types import Hit, Segments


def with_vectors(
    hits: Sequence[Hit], snapshot: Snapshot, queries: Mapping[str, QueryVectors]
) -> Iterator[Hit]:
    """Attach the stored vector of the best segment to each hit.

    The best segment is the one nearest to the query among the item's segments in the hit's space
    and medium. For a moment only overlapping segments count.

    Args:
        hits: Hits of one query.
        snapshot: The searched generation.
        queries: The query by space.

    Yields:
        Hits with a `vector` of shape (dim,), float32, of unit length. A hit that only words found
        has none.
    """
    for hit in hits:
        if hit.space is None:
            yield hit
            continue
        rows = snapshot.item_segments(hit.space, hit.item_id)
        scores = (rows.vectors @ queries[hit.space].vectors.T).max(axis=1)
        best = int(np.where(_overlaps(rows, hit), scores, -np.inf).argmax())
        yield replace(hit, vector=rows.vectors[best])


def _overlaps(rows: Segments, hit: Hit) -> NDArray[np.bool_]:
    """Return which segments of the hit's medium overlap it, (n,) bool."""
    overlapping = np.array([medium is hit.medium for medium in rows.media])
    if hit.start_seconds is not None and hit.end_seconds is not None:
        overlapping &= (rows.start_seconds < hit.end_seconds) & (
            rows.end_seconds > hit.start_seconds
        )
    return overlapping
