"""The user columns of the shards of a collection, taken together."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from retrieval.columns.arrow import ARROW_TYPES, column_type
from retrieval.columns.types import EXACT_INTEGERS, ColumnType, joined
from retrieval.errors import CollectionFormatError
from retrieval.store.schema import ITEMS
from retrieval.store.shards import read_schema


def column_types(paths: Iterable[Path]) -> dict[str, ColumnType]:
    """The types that hold the values of all shards of `items/`.

    Raises:
        CollectionFormatError: A shard lacks a column of the collection's own, or has one of a type
            that no column has.
    """
    types: dict[str, ColumnType] = {}
    for path in paths:
        schema = read_schema(path)
        own = list(schema)[: len(ITEMS)]
        if own != list(ITEMS):
            raise CollectionFormatError(
                f"{path} has the columns {named(schema)}, not those of items"
            )
        for field in list(schema)[len(ITEMS) :]:
            try:
                kind = column_type(field.type)
            except KeyError:
                expected = ", ".join(str(each) for each in ARROW_TYPES.values())
                raise CollectionFormatError(
                    f"{path} has {field.type} in column {field.name!r}, expected one of {expected}"
                ) from None
            # A writer that met a wide integer beside a double wrote text: no shard tells otherwise.
            types[field.name] = joined(types.get(field.name, kind), kind, wide=False)
    return types


def has_wide_integers(name: str, batches: Iterable[pa.RecordBatch]) -> bool:
    """Whether an integer column holds a value that a double may not hold exactly."""
    for batch in batches:
        if name in batch.schema.names and pa.types.is_int64(batch.column(name).type):
            ends = pc.min_max(batch.column(name)).as_py()
            if any(end is not None and abs(end) >= EXACT_INTEGERS for end in ends.values()):
                return True
    return False


def named(schema: pa.Schema) -> str:
    """The columns of a file and their types, for messages."""
    return ", ".join(f"{field.name} {field.type}" for field in schema)
