"""Converts the rows of a collection to points: one per span of an item, a named vector per space.

Rows of several spaces share a point if item, medium and times agree.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.engines.qdrant.payload import (
    DIGEST,
    END,
    ITEM_ID,
    MEDIUM,
    START,
    PayloadColumn,
    item_payload,
)
from retrieval.store.blocks import SegmentBlock
from retrieval.store.reader import Snapshot
from retrieval.store.schema import MEDIUM_CODES
from retrieval.types import Medium

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://retrieval.invalid/points")

MAX_BATCH_POINTS = 512
MAX_BATCH_BYTES = 8 << 20
"""Estimated size of a request. A server takes 32 MiB by default."""

BYTES_PER_NUMBER = 18
"""Characters of a float16 in JSON, on average."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point.

    Attributes:
        id: See `point_id`.
        vectors: (dim,) float16 by space.
        payload: Columns of the item, medium and times of the row, and the digest.
        digest: Digest of vectors and payload. A point that has it is not sent again.
        bytes: Estimated size in a request.
    """

    id: str
    vectors: dict[str, NDArray[np.float16]]
    payload: dict[str, Any]
    digest: str
    bytes: int


def point_id(item_id: int, medium: Medium, start_seconds: float | None, *more: object) -> str:
    """Return the id of a point: a UUID (version 5) of item, medium and start.

    Args:
        item_id: The item.
        medium: Medium of the segment.
        start_seconds: Start of the segment; None for an image.
        more: Further parts, where several segments of a medium start at the same time.
    """
    start = "" if start_seconds is None else repr(float(start_seconds))
    return str(uuid.uuid5(NAMESPACE, " ".join(map(str, (item_id, medium, start, *more)))))


def iter_points(snapshot: Snapshot, columns: Sequence[PayloadColumn]) -> Iterator[Point]:
    """Yield the points of a generation in item order; items without segments have none."""
    rows = {space.name: _Rows(snapshot.iter_segments(space.name)) for space in snapshot.spaces}
    for batch in snapshot.iter_items():
        names = batch.schema.names
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            item = dict(zip(names, values, strict=True))
            segments = {name: space.of_item(item[ITEM_ID]) for name, space in rows.items()}
            if any(segments.values()):
                yield from _item_points(item[ITEM_ID], item_payload(item, columns), segments)


def iter_batches(points: Iterable[Point]) -> Iterator[list[Point]]:
    """Group points into requests of bounded size."""
    batch: list[Point] = []
    size = 0
    for point in points:
        if batch and (len(batch) == MAX_BATCH_POINTS or size + point.bytes > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(point)
        size += point.bytes
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of one space; the times of an image are None."""

    medium: Medium
    start: float | None
    end: float | None
    vector: NDArray[np.float16]


class _Rows:
    """Reads the rows of one space item by item.

    Args:
        blocks: Rows in item order.
    """

    def __init__(self, blocks: Iterator[SegmentBlock]) -> None:
        self._blocks = blocks
        self._block: SegmentBlock | None = next(blocks, None)

    def of_item(self, item_id: int) -> list[_Row]:
        """Return the rows of an item; ids must ascend from call to call."""
        rows: list[_Row] = []
        while self._block is not None:
            block = self._block
            first, last = np.searchsorted(block.item_ids, [item_id, item_id + 1])
            rows += [_row(block, number) for number in range(first, last)]
            if last < len(block.item_ids):
                break
            self._block = next(self._blocks, None)
        return rows


def _row(block: SegmentBlock, number: int) -> _Row:
    start, end = float(block.start_seconds[number]), float(block.end_seconds[number])
    return _Row(
        MEDIUM_CODES[block.media[number]],
        None if math.isnan(start) else start,
        None if math.isnan(end) else end,
        block.vectors[number],
    )


def _item_points(
    item_id: int, payload: dict[str, Any], segments: dict[str, list[_Row]]
) -> Iterator[Point]:
    """Merge the rows of all spaces to points."""
    spans: dict[tuple[Medium, float | None, float | None, int], dict[str, NDArray[np.float16]]] = {}
    for name, rows in segments.items():
        seen: dict[tuple[Medium, float | None, float | None], int] = {}
        for row in rows:
            span = (row.medium, row.start, row.end)
            repeats = seen[span] = seen.get(span, -1) + 1
            spans.setdefault((*span, repeats), {})[name] = row.vector
    starts: set[tuple[Medium, float | None]] = set()
    for (medium, start, end, repeats), vectors in spans.items():
        more = () if (medium, start) not in starts else (end, repeats)
        starts.add((medium, start))
        times = {START: start, END: end} if start is not None else {}
        content = payload | {MEDIUM: str(medium)} | times
        yield _point(point_id(item_id, medium, start, *more), vectors, content)


def _point(id_: str, vectors: dict[str, NDArray[np.float16]], payload: dict[str, Any]) -> Point:
    text = json.dumps(payload, sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name, vector in sorted(vectors.items()):
        digest.update(name.encode() + b"\0" + vector.tobytes())
    size = len(text) + 200 + BYTES_PER_NUMBER * sum(map(len, vectors.values()))
    hexadecimal = digest.hexdigest()
    return Point(id_, vectors, payload | {DIGEST: hexadecimal}, hexadecimal, size)
