"""The columns of every Parquet file of a collection, and the types of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from retrieval.errors import ColumnError
from retrieval.types import Medium, Scalar

ITEMS: Final = pa.schema(
    [
        pa.field("item_id", pa.int64(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("modality", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("mtime", pa.float64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("duration_seconds", pa.float64()),
        pa.field("caption", pa.string()),
    ]
)
REMOVED: Final = pa.schema([pa.field("item_id", pa.int64(), nullable=False)])
FAILURES: Final = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("mtime", pa.float64(), nullable=False),
        # Items with this id or a later one were added after the failure.
        pa.field("next_item_id", pa.int64(), nullable=False),
    ]
)
MEDIUM_CODES: Final = tuple(Medium)
"""Media by code: 0 image, 1 audio, 2 video."""

RESERVED: Final = frozenset(ITEMS.names)

_TYPES: Final[dict[type, pa.DataType]] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
}


def segments_schema(dim: int) -> pa.Schema:
    """Rows of a segments file: one vector each, without times for an image."""
    return pa.schema(
        [
            pa.field("item_id", pa.int64(), nullable=False),
            pa.field("medium", pa.string(), nullable=False),
            pa.field("start_seconds", pa.float32()),
            pa.field("end_seconds", pa.float32()),
            embedding_field(dim),
        ]
    )


def frames_schema(dim: int) -> pa.Schema:
    """Rows of a frames file: one sampled video frame each."""
    return pa.schema(
        [
            pa.field("item_id", pa.int64(), nullable=False),
            pa.field("seconds", pa.float32(), nullable=False),
            embedding_field(dim),
        ]
    )


def embedding_field(dim: int) -> pa.Field:
    """A vector of float16, which DuckDB and polars read as a list of numbers."""
    values = pa.field("element", pa.float16(), nullable=False)
    return pa.field("embedding", pa.list_(values, dim), nullable=False)


def embedding_array(vectors: np.ndarray[Any, np.dtype[np.float16]]) -> pa.Array:
    """(rows, dim) float16 as an Arrow column, without a copy."""
    rows, dim = vectors.shape
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    return (
        pa.FixedSizeListArray.from_arrays(flat, type=embedding_field(dim).type)
        if rows
        else (pa.array([], embedding_field(dim).type))
    )


def vectors_of(column: pa.Array, dim: int) -> np.ndarray[Any, np.dtype[np.float16]]:
    """The inverse: an Arrow column as (rows, dim) float16."""
    flat: np.ndarray[Any, np.dtype[np.float16]] = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(-1, dim)


def column_types(
    columns: Mapping[str, Scalar], known: Mapping[str, pa.DataType], uri: str
) -> dict[str, pa.DataType]:
    """The types of an item's own columns, checked against the collection's.

    Raises:
        ColumnError: A reserved name, or another type than the column already has.
    """
    types: dict[str, pa.DataType] = {}
    for name, value in columns.items():
        if name in RESERVED:
            raise ColumnError(f"{uri}: the column name {name!r} is reserved; rename it in the list")
        if value is None:
            continue
        found = _TYPES[type(value)]
        expected = known.get(name, found)
        if found != expected:
            raise ColumnError(
                f"{uri}: column {name!r} is {found} here and {expected} in the collection; "
                "a column has one type"
            )
        types[name] = found
    return types
