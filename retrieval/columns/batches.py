"""Converts columns of foreign tables to metadata columns, with the results of `convert_value`."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from retrieval.columns.arrow import ARROW_TYPES, python_values
from retrieval.columns.types import ColumnType, convert_value, type_of

_FIRST_TIME = datetime(1, 1, 2, tzinfo=UTC)
_LAST_TIME = datetime(9999, 12, 30, tzinfo=UTC)


def metadata_column(column: pa.Array) -> pa.Array | None:
    """Convert a column to one of the types of `ARROW_TYPES`, or of nulls if it has no value.

    Returns:
        The column; None if a value changes in a way that needs a notice, or if the values are of
        several types, so that they must be converted one by one.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.null_count == len(column):
        return pa.nulls(len(column))
    try:
        return _converted(column)
    except (pa.ArrowException, ValueError, OverflowError):
        return None


def _converted(column: pa.Array) -> pa.Array | None:
    arrow_type = column.type
    if _is_text(arrow_type):
        column.validate(full=True)  # Parquet readers do not check UTF-8
        return column.cast(pa.string())
    if pa.types.is_integer(arrow_type):
        return column.cast(pa.int64())
    if arrow_type in (pa.float32(), pa.float64()):
        return _doubles(column)
    if pa.types.is_boolean(arrow_type):
        return column
    if pa.types.is_timestamp(arrow_type):
        times = column.cast(ARROW_TYPES[ColumnType.TIMESTAMP])
        limits = pc.min_max(times).as_py()
        return times if limits["min"] >= _FIRST_TIME and limits["max"] <= _LAST_TIME else None
    return _converted_one_by_one(column)


def _is_text(arrow_type: pa.DataType) -> bool:
    return bool(pa.types.is_string(arrow_type) or pa.types.is_large_string(arrow_type))


def _doubles(column: pa.Array) -> pa.Array | None:
    """Replace NaN by null; infinite numbers need a notice."""
    column = column.cast(pa.float64())
    values = column.to_numpy(zero_copy_only=False)
    return None if np.isinf(values).any() else pa.array(values, from_pandas=True)


def _converted_one_by_one(column: pa.Array) -> pa.Array | None:
    converted = [convert_value(value) for value in python_values(column)]
    types = {type_of(each.value) for each in converted if each.value is not None}
    if len(types) > 1 or any(each.problem is not None for each in converted):
        return None
    arrow_type = ARROW_TYPES[types.pop()] if types else pa.null()
    return pa.array([each.value for each in converted], arrow_type)


def numbers(column: pa.Array) -> NDArray[np.float64]:
    """Convert a column to numbers, NaN where `convert_value` gives no finite number."""
    arrow_type = column.type
    if _is_text(arrow_type) or pa.types.is_boolean(arrow_type) or pa.types.is_null(arrow_type):
        return np.full(len(column), np.nan)
    converted = metadata_column(column)
    if converted is not None:
        if not (pa.types.is_integer(converted.type) or pa.types.is_floating(converted.type)):
            return np.full(len(column), np.nan)
        values: NDArray[np.float64] = converted.to_numpy(zero_copy_only=False).astype(np.float64)
        return values
    results = (convert_value(value).value for value in python_values(column))
    return np.array(
        [
            float(value)
            if isinstance(value, (int, float)) and not isinstance(value, bool)
            else np.nan
            for value in results
        ]
    )


def naturals(values: NDArray[np.float64], arrow_type: pa.DataType, limit: float) -> pa.Array:
    """Convert numbers from 0 to below a limit to integers, all others to null."""
    with np.errstate(invalid="ignore"):
        valid = (values >= 0) & (values < limit)
    integers = np.where(valid, values, 0).astype(np.int64)
    return pa.array(integers, mask=~valid).cast(arrow_type)
