"""The types of users' columns in Arrow: how they are stored, read out of other tables, and cast."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time

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


_COLUMN_TYPES = {arrow: kind for kind, arrow in ARROW_TYPES.items()}


def column_type(kind: pa.DataType) -> ColumnType:
    """The type that is stored so.

    Raises:
        KeyError: No user's column is.
    """
    return _COLUMN_TYPES[kind]


def to_array(values: Sequence[Scalar], kind: ColumnType) -> pa.Array:
    """Values of any types that join to `kind`, as they are stored."""
    return pa.array([_converted(value, kind) for value in values], ARROW_TYPES[kind])


def cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """The column of an older shard under the type that the collection has now.

    Raises:
        pa.ArrowInvalid: A value does not fit, which no writer of ours leaves behind.
    """
    return array if array.type == kind else array.cast(kind)


def stored_value(value: Scalar, kind: ColumnType) -> Scalar:
    """A value as a reader gets it back from a column of some type."""
    result: Scalar = to_array([value], kind)[0].as_py()
    return result


def _converted(value: Scalar, kind: ColumnType) -> Scalar:
    if value is None or type_of(value) is kind:
        return value
    if kind is ColumnType.STRING:
        # Arrow writes the text, as it does where a whole shard is cast: both agree.
        text: str = pa.scalar(value, ARROW_TYPES[type_of(value)]).cast(pa.string()).as_py()
        return text
    if kind is ColumnType.DOUBLE and isinstance(value, int):
        return float(value)
    if kind is ColumnType.TIMESTAMP and isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise TypeError(f"{value!r} does not join to {kind}")


# ---------------------------------------------------------------- other tables


_BEYOND_PYTHON = (ValueError, OverflowError, pa.ArrowException)


def is_binary(kind: pa.DataType) -> bool:
    """Whether a column holds bytes."""
    tests = (
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_fixed_size_binary,
        pa.types.is_binary_view,
    )
    return any(test(kind) for test in tests)


def python_values(column: pa.Array) -> list[object]:
    """The values of any column; what Python cannot hold comes as text.

    Timestamps come in UTC. Those with more digits than microseconds, or beyond the years of
    Python's calendar, come as text.
    """
    if pa.types.is_timestamp(column.type):
        return _timestamps(column)
    try:
        values: list[object] = column.to_pylist()
    except _BEYOND_PYTHON:
        return [_any_value(scalar) for scalar in column]
    return values


def _timestamps(column: pa.Array) -> list[object]:
    try:
        values: list[object] = column.cast(ARROW_TYPES[ColumnType.TIMESTAMP]).to_pylist()
    except _BEYOND_PYTHON:
        return [_any_value(scalar) for scalar in column]
    return values


def _any_value(scalar: pa.Scalar) -> object:
    """One value of a column that Python cannot hold as a whole."""
    if isinstance(scalar, (pa.ListScalar, pa.LargeListScalar, pa.FixedSizeListScalar)):
        return [_any_value(item) for item in scalar.values] if scalar.is_valid else None
    if isinstance(scalar, pa.StructScalar):
        return {name: _any_value(scalar[name]) for name in scalar} if scalar.is_valid else None
    if pa.types.is_timestamp(scalar.type):
        with suppress(*_BEYOND_PYTHON):
            return scalar.cast(ARROW_TYPES[ColumnType.TIMESTAMP]).as_py()
    else:
        with suppress(*_BEYOND_PYTHON):
            return scalar.as_py()
    return _as_text(scalar)


def _as_text(scalar: pa.Scalar) -> object:
    try:
        text: str = scalar.cast(pa.string()).as_py()
    except _BEYOND_PYTHON:
        return Unreadable(f"a {scalar.type} that cannot be read")
    return Unreadable(f"a {scalar.type} out of range") if text.startswith("<") else text
