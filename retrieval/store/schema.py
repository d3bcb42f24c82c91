"""Columns of the Parquet files of a collection."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from retrieval.columns.arrow import column_type, to_array
from retrieval.types import MediaInfo, Medium

ROW_GROUP_ROWS = 4096
"""Rows of one row group, the unit that readers load."""

MEDIUM_CODES: tuple[Medium, ...] = (Medium.IMAGE, Medium.AUDIO, Medium.VIDEO)
"""The int8 code of a medium is its position in this tuple."""

ITEMS = pa.schema(
    [
        ("item_id", pa.int64()),
        ("uri", pa.string()),
        ("modality", pa.string()),
        ("bytes", pa.int64()),
        ("mtime", pa.float64()),
        ("sha256", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("duration_seconds", pa.float64()),
        ("caption", pa.string()),
    ]
)
ITEM_IDS = pa.schema([("item_id", pa.int64())])
"""Columns of `removed` and `updated`."""

TEXTS = pa.schema(
    [
        ("item_id", pa.int64()),
        ("source", pa.string()),
        ("start_seconds", pa.float64()),
        ("end_seconds", pa.float64()),
        ("language", pa.string()),
        ("text", pa.string()),
    ]
)
SIDECARS = pa.schema(
    [
        ("item_id", pa.int64()),
        ("name", pa.string()),
        ("bytes", pa.int64()),
        ("mtime", pa.float64()),
    ]
)
TEXT_SCHEMAS = {"texts": TEXTS, "sidecars": SIDECARS}
"""Columns of the folders whose rows are replaced item by item; an item has any number of rows."""

FAILURES = pa.schema(
    [
        ("uri", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("bytes", pa.int64()),
        ("mtime", pa.float64()),
        # An item of the same uri with this id or a higher one resolves the failure.
        ("next_item_id", pa.int64()),
    ]
)


def segments_schema(dim: int) -> pa.Schema:
    """Return the columns of `segments/SPACE`; an embedding is `dim` float16."""
    return pa.schema(
        [
            ("item_id", pa.int64()),
            ("medium", pa.string()),
            ("start_seconds", pa.float32()),
            ("end_seconds", pa.float32()),
            ("embedding", pa.list_(pa.float16(), dim)),
        ]
    )


def frames_schema(dim: int) -> pa.Schema:
    """Return the columns of `frames/SPACE`; an embedding is `dim` float16."""
    return pa.schema(
        [
            ("item_id", pa.int64()),
            ("seconds", pa.float32()),
            ("embedding", pa.list_(pa.float16(), dim)),
        ]
    )


SPACE_SCHEMAS = {"segments": segments_schema, "frames": frames_schema}
"""Functions from a dimension to the columns of the two folders with a folder per space."""

SCHEMAS = {
    "items": ITEMS,
    **TEXT_SCHEMAS,
    "removed": ITEM_IDS,
    "updated": ITEM_IDS,
    "failures": FAILURES,
}
"""Columns of the files in the other folders. Files of items have user columns after these."""

NOT_NULL = frozenset(
    {
        "item_id", "uri", "modality", "medium", "embedding", "seconds",
        "stage", "reason", "next_item_id", "source", "text", "name",
    }
)  # fmt: skip
"""Columns in which every row has a value."""


def items_batch(
    first_item_id: int, infos: Sequence[MediaInfo], schema: pa.Schema
) -> pa.RecordBatch:
    """Build rows of `items/` with consecutive ids from `first_item_id`.

    The items must come from `UserColumns.register`.
    """
    ids = pa.array(range(first_item_id, first_item_id + len(infos)), pa.int64())
    fixed = [
        pa.array([getattr(info, field.name) for info in infos], field.type)
        for field in list(ITEMS)[1:]
    ]
    user = [
        to_array([info.columns.get(field.name) for info in infos], column_type(field.type))
        for field in list(schema)[len(ITEMS) :]
    ]
    return pa.RecordBatch.from_arrays([ids, *fixed, *user], schema=schema)


def describe_columns(schema: pa.Schema) -> str:
    """Format the columns of a file and their types for messages."""
    return ", ".join(f"{field.name} {field.type}" for field in schema)
