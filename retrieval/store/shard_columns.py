"""Determines the user columns of a collection from its shards."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from retrieval.columns.arrow import ARROW_TYPES, column_type
from retrieval.columns.types import ColumnType, common_type, is_wide
from retrieval.errors import CollectionFormatError
from retrieval.store.schema import ITEMS, describe_columns
from retrieval.store.shards import read_schema


def column_types(paths: Iterable[Path]) -> dict[str, ColumnType]:
    """Return the types that hold the values of all shards of `items/`.

    Raises:
        CollectionFormatError: A shard lacks a fixed column, or has a user column of another Arrow
            type than those of `ARROW_TYPES`.
    """
    types: dict[str, ColumnType] = {}
    for path in paths:
        schema = read_schema(path)
        if list(schema)[: len(ITEMS)] != list(ITEMS):
            raise CollectionFormatError(
                f"{path} has the columns {describe_columns(schema)}, not those of items; "
                "restore it from a copy"
            )
        for field in list(schema)[len(ITEMS) :]:
            try:
                type_ = column_type(field.type)
            except KeyError:
                expected = ", ".join(str(each) for each in ARROW_TYPES.values())
                raise CollectionFormatError(
                    f"{path} has {field.type} in column {field.name!r}, expected one of "
                    f"{expected}; restore it from a copy"
                ) from None
            # The writer stores text where wide integers meet doubles, so there are none here.
            types[field.name] = common_type(types.get(field.name, type_), type_, wide=False)
    return types


def has_wide_integers(name: str, batches: Iterable[pa.RecordBatch]) -> bool:
    """Whether an integer column holds a value that a double may not represent exactly."""
    for batch in batches:
        if name in batch.schema.names and pa.types.is_int64(batch.column(name).type):
            limits = pc.min_max(batch.column(name)).as_py().values()
            if any(value is not None and is_wide(value) for value in limits):
                return True
    return False
