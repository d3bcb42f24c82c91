"""Summarises the columns of a collection's items, from which the page builds filters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from retrieval.columns.arrow import column_type
from retrieval.columns.types import ColumnType
from retrieval.serving.folders import folder_tree
from retrieval.serving.generations import Generation
from retrieval.store.blocks import isin_sorted

MAX_VALUES = 30
MAX_VALUE_LENGTH = 200

HIDDEN = frozenset({"item_id", "uri", "sha256"})
"""Columns that are no use as filters; folders stand for the uri."""

RANGES = frozenset({ColumnType.INT64, ColumnType.DOUBLE, ColumnType.TIMESTAMP, ColumnType.DATE})


def summarise_columns(generation: Generation) -> dict[str, object]:
    """Return name, type, range or most frequent values of each column, and the folders."""
    schema = generation.snapshot.items_schema()
    columns = [
        _summary(name, _type(schema.field(name).type), _column(generation, name))
        for name in schema.names
        if name not in HIDDEN
    ]
    folders = folder_tree(_column(generation, "uri"))
    return {"columns": [column for column in columns if column["count"]], "folders": folders}


def _type(arrow_type: pa.DataType) -> ColumnType:
    return ColumnType.INT64 if arrow_type == pa.int32() else column_type(arrow_type)


def _column(generation: Generation, name: str) -> pa.ChunkedArray:
    """Read a column of the living items."""
    arrow_type = generation.snapshot.items_schema().field(name).type
    return pa.chunked_array(list(_chunks(generation, name)), arrow_type)


def _chunks(generation: Generation, name: str) -> Iterator[pa.Array]:
    removed = generation.snapshot.removed_ids()
    for batch in generation.snapshot.iter_columns(list(dict.fromkeys(["item_id", name]))):
        if len(removed):
            living = ~isin_sorted(batch.column("item_id").to_numpy(), removed)
            batch = batch.filter(pa.array(living))
        yield batch.column(name)


def _summary(name: str, kind: ColumnType, column: pa.ChunkedArray) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "name": name, "type": kind.value, "count": len(column) - column.null_count,
    }  # fmt: skip
    if kind in RANGES:
        extremes = pc.min_max(column)
        return summary | {"min": extremes["min"].as_py(), "max": extremes["max"].as_py()}
    counts = pc.value_counts(pc.drop_null(column))
    order = pc.sort_indices(
        pa.table({"count": counts.field("counts"), "value": counts.field("values")}),
        [("count", "descending"), ("value", "ascending")],
    )[:MAX_VALUES]
    values = [
        {"value": row["values"], "count": row["counts"]}
        for row in counts.take(order).to_pylist()
        if not isinstance(row["values"], str) or len(row["values"]) <= MAX_VALUE_LENGTH
    ]
    return summary | {"distinct": len(counts), "values": values}
