"""Converts rows of Parquet files to NumPy arrays and checks them."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Convert rows of `segments/SPACE` of dimension `dim`.

    Raises:
        CollectionDamagedError: A vector is not finite.
        CollectionFormatError: A medium is unknown to this release.
    """
    codes = pc.index_in(batch.column("medium"), value_set=_MEDIA)
    if codes.null_count:
        raise CollectionFormatError(
            "a segment has a medium that this release does not know; use a newer release"
        )
    return SegmentBlock(
        item_ids=id_array(batch),
        media=codes.to_numpy().astype(np.int8),
        start_seconds=_seconds(batch, "start_seconds"),
        end_seconds=_seconds(batch, "end_seconds"),
        vectors=vector_array(batch, dim),
    )


def id_array(batch: pa.RecordBatch) -> NDArray[np.int64]:
    """Return the column `item_id` as an array of shape (n,)."""
    ids: NDArray[np.int64] = batch.column("item_id").to_numpy()
    return ids


def _seconds(batch: pa.RecordBatch, name: str) -> NDArray[np.float32]:
    """Return a column of times, with NaN for null."""
    values: NDArray[np.float32] = batch.column(name).to_numpy(zero_copy_only=False)
    return values


def vector_array(batch: pa.RecordBatch, dim: int) -> NDArray[np.float16]:
    """Return the column `embedding` as an array of shape (n, dim).

    Raises:
        CollectionDamagedError: A vector is not finite, or a number of it is null.
    """
    numbers = batch.column("embedding").flatten()
    if numbers.null_count:
        raise CollectionDamagedError(
            "a stored vector has null values; verify the collection and restore the damaged file"
        )
    values: NDArray[np.float16] = numbers.to_numpy()
    # Infinities and NaN have all exponent bits set; `isfinite` takes three times as long.
    if len(values) and (values.view(np.uint16) & 0x7FFF).max() >= 0x7C00:
        raise CollectionDamagedError(
            "a stored vector is not finite; verify the collection and restore the damaged file"
        )
    return values.reshape(batch.num_rows, dim)


def concatenate(arrays: Sequence[NDArray[np.floating]]) -> NDArray[np.float32]:
    """Concatenate arrays as float32; no arrays give an array of length 0."""
    empty = np.empty((0, *arrays[0].shape[1:]) if arrays else 0, np.float32)
    return np.concatenate([empty, *arrays]).astype(np.float32, copy=False)


def isin_sorted(ids: NDArray[np.int64], sorted_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Test which ids are in a sorted array, without sorting as `np.isin` does.

    Args:
        ids: (n,), in any order.
        sorted_ids: (m,), ascending.

    Returns:
        (n,) bool.
    """
    if not len(sorted_ids):
        return np.zeros(len(ids), np.bool_)
    positions = np.searchsorted(sorted_ids, ids).clip(max=len(sorted_ids) - 1)
    mask: NDArray[np.bool_] = sorted_ids[positions] == ids
    return mask
