"""Converts metadata columns to and from Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time
from types import NoneType

import pyarrow as pa

from retrieval.columns.types import ColumnType, Unreadable, type_of
from retrieval.types import Scalar

ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    ColumnType.STRING: pa.string(),
    ColumnType.INT64: pa.int64(),
    ColumnType.DOUBLE: pa.float64(),
    ColumnType.BOOL: pa.bool_(),
    ColumnType.TIMESTAMP: pa.timestamp("us", "UTC"),
    ColumnType.DATE: pa.date32(),
}
_PYTHON_TYPES: dict[ColumnType, type] = {
    ColumnType.STRING: str,
    ColumnType.INT64: int,
    ColumnType.DOUBLE: float,
    ColumnType.BOOL: bool,
}
"""Python types of values that need no conversion."""

_COLUMN_TYPES = {arrow_type: type_ for type_, arrow_type in ARROW_TYPES.items()}


def column_type(arrow_type: pa.DataType) -> ColumnType:
    """Look up the column type that is stored as an Arrow type.

    Raises:
        KeyError: No metadata column has this Arrow type.
    """
    return _COLUMN_TYPES[arrow_type]


def to_array(values: Sequence[Scalar], type_: ColumnType) -> pa.Array:
    """Convert values, whose types have `type_` as their common type, to an Arrow array."""
    if not {type(value) for value in values} <= {_PYTHON_TYPES.get(type_), NoneType}:
        values = [_converted(value, type_) for value in values]
    return pa.array(values, ARROW_TYPES[type_])


def cast(array: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    """Cast a column of an older shard to the current type of the collection's column.

    Raises:
        pa.ArrowInvalid: A value does not fit, so the file is damaged.
    """
    return array if array.type == arrow_type else array.cast(arrow_type)


def _converted(value: Scalar, type_: ColumnType) -> Scalar:
    if value is None or type_of(value) is type_:
        return value
    if type_ is ColumnType.STRING:
        # Arrow formats the text, so that casting a whole shard gives the same result.
        text: str = pa.scalar(value, ARROW_TYPES[type_of(value)]).cast(pa.string()).as_py()
        return text
    if type_ is ColumnType.DOUBLE and isinstance(value, int):
        return float(value)
    if type_ is ColumnType.TIMESTAMP and isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise TypeError(f"{value!r} cannot be converted to {type_}")


# ---------------------------------------------------------------- foreign tables


_CONVERSION_ERRORS = (ValueError, OverflowError, pa.ArrowException)


def is_binary(arrow_type: pa.DataType) -> bool:
    """Whether a column holds bytes."""
    tests = (
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_fixed_size_binary,
        pa.types.is_binary_view,
    )
    return any(test(arrow_type) for test in tests)


def python_values(column: pa.Array) -> list[object]:
    """Convert any column to Python values.

    Timestamps are converted to UTC. Values without a Python equivalent, such as timestamps with
    nanoseconds or beyond the years 1 to 9999, become text, or `Unreadable` where there is no text.
    """
    try:
        values: list[object] = _in_utc(column).to_pylist()
    except _CONVERSION_ERRORS:
        return [_python_value(scalar) for scalar in column]
    return values


def _in_utc(value: pa.Array | pa.Scalar) -> pa.Array | pa.Scalar:
    if pa.types.is_timestamp(value.type):
        return value.cast(ARROW_TYPES[ColumnType.TIMESTAMP])
    return value


def _python_value(scalar: pa.Scalar) -> object:
    """Convert one value of a column that `to_pylist` rejects."""
    if isinstance(scalar, (pa.ListScalar, pa.LargeListScalar, pa.FixedSizeListScalar)):
        return [_python_value(item) for item in scalar.values] if scalar.is_valid else None
    if isinstance(scalar, pa.StructScalar):
        return {name: _python_value(scalar[name]) for name in scalar} if scalar.is_valid else None
    with suppress(*_CONVERSION_ERRORS):
        value: object = _in_utc(scalar).as_py()
        return value
    try:
        text: str = scalar.cast(pa.string()).as_py()
    except _CONVERSION_ERRORS:
        return Unreadable(f"a {scalar.type} that cannot be read")
    return Unreadable(f"a {scalar.type} out of range") if text.startswith("<") else text
