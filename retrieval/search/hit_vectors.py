"""The stored vectors behind hits, for whoever wants to go on from an answer."""

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
    """Give each hit the vector of its best segment, as the collection stores it.

    That is the item's segment nearest to the query, in the hit's space and medium; of a moment, the
    nearest among the segments that it touches.

    Args:
        hits: Of one answer.
        snapshot: The generation that gave it.
        queries: The query by space.

    Yields:
        The same hits, `vector` (dim,) float32 of unit length.
    """
    for hit in hits:
        rows = snapshot.item_segments(hit.space, hit.item_id)
        scores = (rows.vectors @ queries[hit.space].vectors.T).max(axis=1)
        best = int(np.where(_touched(rows, hit), scores, -np.inf).argmax())
        yield replace(hit, vector=rows.vectors[best])


def _touched(rows: Segments, hit: Hit) -> NDArray[np.bool_]:
    """Which segments of the hit's medium share time with it, (n,) bool."""
    touched = np.array([medium is hit.medium for medium in rows.media])
    if hit.start_seconds is not None and hit.end_seconds is not None:
        touched &= (rows.start_seconds < hit.end_seconds) & (rows.end_seconds > hit.start_seconds)
    return touched
