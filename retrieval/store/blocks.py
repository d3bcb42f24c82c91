"""Rows of Parquet files as NumPy arrays, checked on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retrieval.errors import CollectionDamagedError, CollectionFormatError
from retrieval.store.schema import MEDIUM_CODES

_MEDIA = pa.array([str(medium) for medium in MEDIUM_CODES])


@dataclass(frozen=True, slots=True)
class SegmentBlock:
    """Rows of segments in item order: parallel arrays of length n.

    Attributes:
        item_ids: (n,) int64, ascending.
        media: (n,) int8, positions in `MEDIUM_CODES`.
        start_seconds: (n,) float32, NaN for an image.
        end_seconds: (n,) float32, NaN for an image.
        vectors: (n, dim) float16 of unit length.
    """

    item_ids: NDArray[np.int64]
    media: NDArray[np.int8]
    start_seconds: NDArray[np.float32]
    end_seconds: NDArray[np.float32]
    vectors: NDArray[np.float16]


def segment_block(batch: pa.RecordBatch, dim: int) -> SegmentBlock:
    """Rows of `segments/SPACE` as arrays; dim is the space's.

    Raises:
        CollectionDamagedError: A vector is not finite.
        CollectionFormatError: A medium that this release does not know.
    """
    codes = pc.index_in(batch.column("medium"), value_set=_MEDIA)
    if codes.null_count:
        raise CollectionFormatError("a segment is of a medium that this release does not know")
    return SegmentBlock(
        item_ids=ids_of(batch),
        media=codes.to_numpy().astype(np.int8),
        start_seconds=_seconds(batch, "start_seconds"),
        end_seconds=_seconds(batch, "end_seconds"),
        vectors=vectors_of(batch, dim),
    )


def ids_of(batch: pa.RecordBatch) -> NDArray[np.int64]:
    """The column of ids, (n,), of rows of any kind."""
    ids: NDArray[np.int64] = batch.column("item_id").to_numpy()
    return ids


def _seconds(batch: pa.RecordBatch, name: str) -> NDArray[np.float32]:
    """Times with NaN for null."""
    values: NDArray[np.float32] = batch.column(name).to_numpy(zero_copy_only=False)
    return values


def vectors_of(batch: pa.RecordBatch, dim: int) -> NDArray[np.float16]:
    """The column of embeddings as (n, dim).

    Raises:
        CollectionDamagedError: A vector is not finite, or lacks a number.
    """
    numbers = batch.column("embedding").flatten()
    if numbers.null_count:
        raise CollectionDamagedError(
            "a stored vector lacks a number; run verify, and restore the file that it names"
        )
    values: NDArray[np.float16] = numbers.to_numpy()
    # All bits of the exponent are set in infinities and NaN; `isfinite` takes three times as long.
    if len(values) and (values.view(np.uint16) & 0x7FFF).max() >= 0x7C00:
        raise CollectionDamagedError(
            "a stored vector is not finite; run verify, and restore the file that it names"
        )
    return values.reshape(batch.num_rows, dim)


def joined(parts: list[NDArray[np.float32]] | list[NDArray[np.float16]]) -> NDArray[np.float32]:
    """Arrays one after the other as float32; of length 0 where there are none."""
    empty = np.empty((0, *parts[0].shape[1:]) if parts else 0, np.float32)
    return np.concatenate([empty, *parts]).astype(np.float32, copy=False)


def contained(ids: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which ids are among others.

    Args:
        ids: (n,), in any order.
        among: (m,), ascending.

    Returns:
        (n,) bool.
    """
    if not len(among):
        return np.zeros(len(ids), np.bool_)
    positions = np.searchsorted(among, ids).clip(max=len(among) - 1)
    found: NDArray[np.bool_] = among[positions] == ids
    return found
