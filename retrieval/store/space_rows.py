"""The pending rows of one space; vectors are checked and held as float16."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrieval.errors import DimensionMismatchError, InvalidVectorError
from retrieval.store.halves import round_to_half
from retrieval.store.schema import MEDIUM_CODES, frames_schema, segments_schema
from retrieval.types import Frames, Segments, Space

UNIT_TOLERANCE = 5e-3
"""Accepted deviation of a vector's length from 1; rounding to float16 causes up to 5e-4."""

MAX_ROUNDING = 1e-3
"""Upper bound of the change of a unit vector's length by rounding to float16.

A number changes by at most 2^-11 of itself, or by 2^-25 if it is below 2^-14.
"""

ITEM_BYTES = 1024
"""Estimated memory of an item, and of its rows in one space, without its vectors and texts."""

_BLOCK_ROWS = 256
"""Vectors that are rounded together, so that they stay in the processor's cache."""

_GROUP_PARTS = 256
_GROUP_ROWS = 4096
_MEDIA = pa.array([str(medium) for medium in MEDIUM_CODES])
_CODES = {medium: code for code, medium in enumerate(MEDIUM_CODES)}


@dataclass(frozen=True, slots=True)
class BatchRows:
    """Rows of several new items in one space: parallel arrays of length n.

    Attributes:
        items: (n,) int64, positions of the items in their batch, ascending.
        media: (n,) int8, positions in `MEDIUM_CODES`.
        start_seconds: (n,) float32, NaN for an image.
        end_seconds: (n,) float32, NaN for an image.
        vectors: (n, dim) float32 of unit length.
    """

    items: NDArray[np.int64]
    media: NDArray[np.int8]
    start_seconds: NDArray[np.float32]
    end_seconds: NDArray[np.float32]
    vectors: NDArray[np.float32]


@dataclass(slots=True)
class SpaceRows:
    """Rows of one item, or of a batch, in one space, as they are stored; parallel arrays."""

    media: NDArray[np.int8]
    start_seconds: NDArray[np.float32]
    end_seconds: NDArray[np.float32]
    vectors: NDArray[np.float16]
    frame_seconds: NDArray[np.float32]
    frame_vectors: NDArray[np.float16]

    @classmethod
    def from_segments(
        cls, label: str, space: Space, segments: Segments, frames: Frames | None
    ) -> SpaceRows:
        """Check and cast the rows of one item; `label` identifies it in error messages.

        Raises:
            DimensionMismatchError: Vectors have another length than the space's.
            InvalidVectorError: A vector is NaN, infinite or not of unit length.
            ValueError: The arrays differ in length, a segment does not start before its end, or a
                frame has no time.
        """
        vectors = to_float16(label, space, segments.vectors)
        if frames is None and _is_image(segments):
            media, start_seconds, end_seconds = _image_row(_CODES[segments.media[0]])
            return cls(media, start_seconds, end_seconds, vectors, *_no_frames(space.dim))
        start_seconds, end_seconds = single_precision(segments.start_seconds, segments.end_seconds)
        frame_seconds, frame_vectors = _no_frames(space.dim)
        if frames is not None:
            frame_seconds = np.array(frames.seconds, np.float32)
            frame_vectors = to_float16(label, space, frames.vectors)
        rows = cls(
            media=np.array([_CODES[medium] for medium in segments.media], np.int8),
            start_seconds=start_seconds,
            end_seconds=end_seconds,
            vectors=vectors,
            frame_seconds=frame_seconds,
            frame_vectors=frame_vectors,
        )
        rows._check(label)
        return rows

    @classmethod
    def from_batch(cls, space: Space, batch: BatchRows) -> SpaceRows:
        """Check and cast the rows of a batch.

        Raises:
            DimensionMismatchError: Vectors have another length than the space's.
            InvalidVectorError: A vector is NaN, infinite or not of unit length.
            ValueError: The arrays differ in length, or a segment does not start before its end.
        """
        label = "a batch of items"
        start_seconds, end_seconds = single_precision(batch.start_seconds, batch.end_seconds)
        vectors = to_float16(label, space, batch.vectors)
        rows = cls(batch.media, start_seconds, end_seconds, vectors, *_no_frames(space.dim))
        rows._check(label)
        return rows

    @property
    def bytes(self) -> int:
        """Memory of the vectors."""
        return self.vectors.nbytes + self.frame_vectors.nbytes

    def _check(self, label: str) -> None:
        lengths = [len(self.media), len(self.start_seconds), len(self.end_seconds)]
        if set(lengths) != {len(self.vectors)} or len(self.frame_seconds) != len(
            self.frame_vectors
        ):
            raise ValueError(f"{label}: media, times and vectors differ in length")
        spans = self.start_seconds < self.end_seconds
        untimed = np.isnan(self.start_seconds) & np.isnan(self.end_seconds)
        if not (spans | untimed).all() or not np.isfinite(self.frame_seconds).all():
            raise ValueError(f"{label}: a segment has start >= end, or a frame has no time")


def _is_image(segments: Segments) -> bool:
    """Whether the rows of an item are one vector without times."""
    starts, ends = segments.start_seconds, segments.end_seconds
    lengths = len(segments.media), len(starts), len(ends), len(segments.vectors)
    return lengths == (1, 1, 1, 1) and math.isnan(starts[0]) and math.isnan(ends[0])


@lru_cache(maxsize=len(MEDIUM_CODES))
def _image_row(code: int) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32]]:
    """Return medium and times of a row without times, which all items share."""
    times = np.full(1, np.nan, np.float32)
    return np.array([code], np.int8), times, times


@lru_cache(maxsize=16)
def _no_frames(dim: int) -> tuple[NDArray[np.float32], NDArray[np.float16]]:
    """Return times and vectors of an item without frames, which all items share."""
    return np.empty(0, np.float32), np.empty((0, dim), np.float16)


# ---------------------------------------------------------------- rows of the files


@dataclass(slots=True)
class PendingRows:
    """Rows of one space in the order of their items: of single items, or of batches.

    Attributes:
        parts: For one item its id, for a batch the id of each row; and the rows.
    """

    parts: list[tuple[int | NDArray[np.int64], SpaceRows]] = field(default_factory=list)

    def segment_batches(self, space: Space) -> Iterator[pa.RecordBatch]:
        """Build the rows of `segments/SPACE`."""
        schema = segments_schema(space.dim)
        for group in self._groups():
            rows = [each for _, each in group]
            columns = [
                _repeated([(ids, len(each.vectors)) for ids, each in group]),
                _MEDIA.take(pa.array(np.concatenate([each.media for each in rows]))),
                _times([each.start_seconds for each in rows]),
                _times([each.end_seconds for each in rows]),
                _embeddings([each.vectors for each in rows]),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def frame_batches(self, space: Space) -> Iterator[pa.RecordBatch]:
        """Build the rows of `frames/SPACE`."""
        schema = frames_schema(space.dim)
        for group in self._groups():
            rows = [each for _, each in group]
            columns = [
                _repeated([(ids, len(each.frame_vectors)) for ids, each in group]),
                _times([each.frame_seconds for each in rows]),
                _embeddings([each.frame_vectors for each in rows]),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def has_frames(self) -> bool:
        """Whether any item has frames."""
        return any(len(rows.frame_vectors) for _, rows in self.parts)

    def _groups(self) -> Iterator[list[tuple[int | NDArray[np.int64], SpaceRows]]]:
        """Yield the parts of many items together, because small batches are slow."""
        group: list[tuple[int | NDArray[np.int64], SpaceRows]] = []
        rows = 0
        for part in self.parts:
            group.append(part)
            rows += len(part[1].vectors)
            if len(group) == _GROUP_PARTS or rows >= _GROUP_ROWS:
                yield group
                group, rows = [], 0
        if group:
            yield group


def single_precision(
    starts: NDArray[np.floating], ends: NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Round spans to float32 so that none becomes empty.

    Beyond 2^24 seconds neighbouring float32 numbers are two seconds apart. A span that rounding
    would empty ends at the next number.
    """
    first, last = np.array(starts, np.float32), np.array(ends, np.float32)
    emptied = (np.asarray(starts) < np.asarray(ends)) & (first >= last)
    return first, np.where(emptied, np.nextafter(first, np.float32(np.inf)), last)


def to_float16(label: str, space: Space, vectors: NDArray[np.floating]) -> NDArray[np.float16]:
    """Round unit vectors of shape (n, dim) to float16.

    Raises:
        DimensionMismatchError: Vectors have another length than the space's.
        InvalidVectorError: A vector, as given or as rounded, is not of unit length.
    """
    if vectors.ndim != 2 or vectors.shape[1] != space.dim:
        raise DimensionMismatchError(
            f"{label}: vectors of shape {vectors.shape}, expected (n, {space.dim}) in {space.name}"
        )
    if len(vectors) == 1 and vectors.dtype == np.float32:
        row = vectors[0]
        if abs(math.sqrt(np.dot(row, row)) - 1) <= UNIT_TOLERANCE - MAX_ROUNDING:
            return vectors.astype(np.float16)
    stored = np.empty(vectors.shape, np.float16)
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, len(vectors), _BLOCK_ROWS):
            block = vectors[first : first + _BLOCK_ROWS]
            rounded = stored[first : first + _BLOCK_ROWS]
            if (np.abs(_lengths(block) - 1) <= UNIT_TOLERANCE - MAX_ROUNDING).all():
                if block.dtype == np.float32 and block.flags.c_contiguous:
                    round_to_half(block, rounded)
                else:
                    rounded[:] = block
                continue
            rounded[:] = block
            for each in (block, rounded):
                lengths = _lengths(each)
                is_unit = np.abs(lengths - 1) <= UNIT_TOLERANCE
                if not is_unit.all():
                    row_number = int(is_unit.argmin())
                    raise InvalidVectorError(
                        f"{label}: vector {first + row_number} in {space.name} has length "
                        f"{lengths[row_number]}, expected 1; check the file, or the encoder if it "
                        "happens often"
                    )
    return stored


def _lengths(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    numbers = vectors.astype(np.float32, copy=False)
    lengths: NDArray[np.float32] = np.sqrt(np.einsum("ij,ij->i", numbers, numbers))
    return lengths


def _repeated(parts: list[tuple[int | NDArray[np.int64], int]]) -> pa.Array:
    """Return the id of each row; a batch without rows of this kind has a count of 0."""
    return pa.array(
        np.concatenate(
            [
                np.full(count, ids, np.int64) if isinstance(ids, int) else ids[:count]
                for ids, count in parts
            ]
        )
    )


def _times(parts: list[NDArray[np.float32]]) -> pa.Array:
    """Convert times; NaN becomes null, because SQL orders NaN above every number."""
    return pa.array(np.concatenate(parts), from_pandas=True)


def _embeddings(parts: list[NDArray[np.float16]]) -> pa.Array:
    vectors = np.concatenate(parts) if len(parts) > 1 else parts[0]
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
