"""Rows that wait for their shard: checked as they come, turned into tables when it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.errors import DimensionMismatchError, InvalidVectorError
from retrieval.store.schema import (
    FAILURES,
    ITEMS,
    embedding_array,
    frames_schema,
    segments_schema,
)
from retrieval.types import EmbeddedItem, Failure, Frames, Medium, Scalar, Segments, Space

UNIT_TOLERANCE = 5e-3
"""How far from 1 a float16 vector's length may be."""


def float16_vectors(vectors: NDArray[np.float32], space: Space, uri: str) -> NDArray[np.float16]:
    """Cast vectors for storing.

    Raises:
        DimensionMismatchError: Another length than the space's.
        InvalidVectorError: NaN, infinite or not of unit length, as stored.
    """
    if vectors.ndim != 2 or vectors.shape[1] != space.dim:
        raise DimensionMismatchError(
            f"{uri}: vectors of shape {vectors.shape} for the {space.dim}-d space {space.name}"
        )
    stored = vectors.astype(np.float16)
    lengths = np.linalg.norm(stored.astype(np.float32), axis=1)
    if not (np.abs(lengths - 1) <= UNIT_TOLERANCE).all():
        raise InvalidVectorError(f"{uri}: the encoder of {space.name} gave NaN or no unit vector")
    return stored


@dataclass(slots=True)
class PendingSpace:
    """Rows of one space; `item_ids` of new items are offsets until their shard is written."""

    space: Space
    covered: list[int] = field(default_factory=list)
    item_ids: list[int] = field(default_factory=list)
    segments: list[Segments] = field(default_factory=list)
    vectors: list[NDArray[np.float16]] = field(default_factory=list)
    frame_item_ids: list[int] = field(default_factory=list)
    frames: list[Frames] = field(default_factory=list)
    frame_vectors: list[NDArray[np.float16]] = field(default_factory=list)

    def add(
        self,
        item_id: int,
        segments: Segments,
        vectors: NDArray[np.float16],
        frames: Frames | None,
        frame_vectors: NDArray[np.float16] | None,
    ) -> None:
        """Take one item's rows, perhaps none."""
        self.covered.append(item_id)
        if len(vectors):
            self.item_ids += [item_id] * len(vectors)
            self.segments.append(segments)
            self.vectors.append(vectors)
        if frames is not None and frame_vectors is not None:
            self.frame_item_ids += [item_id] * len(frame_vectors)
            self.frames.append(frames)
            self.frame_vectors.append(frame_vectors)

    def segments_table(self, first_new_id: int) -> pa.Table:
        """All rows as a table, new items numbered from `first_new_id`."""
        media = [medium.value for part in self.segments for medium in part.media]
        return pa.Table.from_arrays(
            [
                pa.array(real_ids(self.item_ids, first_new_id), pa.int64()),
                pa.array(media, pa.string()),
                _times([part.start_seconds for part in self.segments]),
                _times([part.end_seconds for part in self.segments]),
                _embeddings(self.vectors, self.space.dim),
            ],
            schema=segments_schema(self.space.dim),
        )

    def frames_table(self, first_new_id: int) -> pa.Table:
        """All sampled frames as a table."""
        return pa.Table.from_arrays(
            [
                pa.array(real_ids(self.frame_item_ids, first_new_id), pa.int64()),
                _times([part.seconds for part in self.frames]),
                _embeddings(self.frame_vectors, self.space.dim),
            ],
            schema=frames_schema(self.space.dim),
        )


def real_ids(ids: Sequence[int], first_new_id: int) -> list[int]:
    """Ids of existing items as they are; new ones, held as -1 - offset, numbered on."""
    return [item_id if item_id >= 0 else first_new_id + (-1 - item_id) for item_id in ids]


def items_table(
    items: Sequence[EmbeddedItem], first_new_id: int, types: Mapping[str, pa.DataType]
) -> pa.Table:
    """New items as a table; the user's columns follow the fixed ones."""
    used = {
        name for item in items for name, value in item.info.columns.items() if value is not None
    }
    own = {name: kind for name, kind in types.items() if name in used}
    schema = pa.schema([*ITEMS, *(pa.field(name, kind) for name, kind in own.items())])
    rows = [_row(item, first_new_id + offset) for offset, item in enumerate(items)]
    return pa.Table.from_pylist(rows, schema=schema)


def _row(item: EmbeddedItem, item_id: int) -> dict[str, Scalar | Medium]:
    info = item.info
    fixed = {
        name: getattr(info, name) for name in ITEMS.names if name not in ("item_id", "modality")
    }
    return {"item_id": item_id, "modality": info.modality.value, **fixed, **info.columns}


def failures_table(failures: Sequence[Failure], next_item_id: int) -> pa.Table:
    """Failures as a table."""
    rows = [{**asdict(failure), "next_item_id": next_item_id} for failure in failures]
    return pa.Table.from_pylist(rows, schema=FAILURES)


def _times(parts: list[NDArray[Any]]) -> pa.Array:
    """Seconds as float32; NaN, which stands for an image, becomes null."""
    joined = np.concatenate([np.empty(0, np.float32), *parts]).astype(np.float32)
    return pa.array(joined, pa.float32(), from_pandas=True)


def _embeddings(parts: list[NDArray[np.float16]], dim: int) -> pa.Array:
    return embedding_array(np.concatenate([np.empty((0, dim), np.float16), *parts]))
