"""Types of metadata columns: conversion of values and common types of mixed columns.

Lists, tars and imported tables all use these rules, so a column's type does not depend on the
source of its values. Two types have the first type that both lead to as their common type:

    date      → timestamp → text
    int64     → double    → text     (double only while every integer is below 2^53)
    bool                  → text
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, cast

from retrieval.types import Scalar

EXACT_INTEGERS = 2**53
"""A double represents every integer of a smaller magnitude exactly."""

_MAX_DIGITS = 40
"""Decimals with more integer digits stay text: written out, they could fill memory."""


class ColumnType(StrEnum):
    """Type of a metadata column; messages use the values as names."""

    STRING = "text"
    INT64 = "int64"
    DOUBLE = "double"
    BOOL = "bool"
    TIMESTAMP = "timestamp"
    DATE = "date"


class Converted(NamedTuple):
    """A value that a column can hold; `problem` says what the conversion changed, if anything."""

    value: Scalar
    problem: str | None = None


class Unreadable(NamedTuple):
    """Replaces a value without a Python equivalent, such as "a timestamp[ns] out of range"."""

    description: str


# ---------------------------------------------------------------- types


def type_of(value: Scalar) -> ColumnType:
    """Return the column type of a converted value.

    Raises:
        TypeError: The value is None or of a type that no column holds.
    """
    for python_type, type_ in _TYPES:
        if isinstance(value, python_type):
            return type_
    raise TypeError(f"no column holds a {type(value).__name__}")


# Subclasses first: bool is a subclass of int, and datetime of date.
_TYPES: tuple[tuple[type, ColumnType], ...] = (
    (str, ColumnType.STRING),
    (bool, ColumnType.BOOL),
    (int, ColumnType.INT64),
    (float, ColumnType.DOUBLE),
    (datetime, ColumnType.TIMESTAMP),
    (date, ColumnType.DATE),
)


def common_type(first: ColumnType, second: ColumnType, *, wide: bool) -> ColumnType:
    """Return the type that holds the values of both without losing a digit.

    Args:
        first: A type.
        second: A type, perhaps the same.
        wide: Whether an integer of the column has a magnitude of 2^53 or more.
    """
    if first is second:
        return first
    both = {first, second}
    if both == {ColumnType.INT64, ColumnType.DOUBLE} and not wide:
        return ColumnType.DOUBLE
    if both == {ColumnType.DATE, ColumnType.TIMESTAMP}:
        return ColumnType.TIMESTAMP
    return ColumnType.STRING


def is_wide(value: Scalar) -> bool:
    """Whether a value is an integer that a double may not represent exactly."""
    return isinstance(value, int) and abs(value) >= EXACT_INTEGERS


# ---------------------------------------------------------------- values


def json_value(value: object) -> str:
    """Format a timestamp or date, for `json.dumps(default=...)`.

    Raises:
        TypeError: Another value without a JSON equivalent.
    """
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"JSON has no {type(value).__name__}")


def clean_text(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot encode, by `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def nested_to_text(value: object) -> Scalar:
    """Serialize a list or mapping as JSON text; return any other value unchanged."""
    return _nested(value).value if isinstance(value, (list, Mapping)) else cast(Scalar, value)


def convert_value(value: object) -> Converted:
    """Convert a value to one that a column can hold.

    Text, bool, numbers, timestamps and dates stay; timestamps are converted to UTC, which is also
    assumed where the zone is missing. NaN, infinity and bytes become null. Integers beyond 64 bits
    become text, lists and mappings JSON text.
    """
    if value is None:
        return Converted(None)
    for python_type, convert in _CONVERTERS:
        if isinstance(value, python_type):
            return convert(value)
    return _text(str(value))


def _text(value: str) -> Converted:
    text = clean_text(value)
    return Converted(text, None if text == value else "not Unicode; written with `?`")


def _integer(value: int) -> Converted:
    if -(2**63) <= value < 2**63:
        return Converted(int(value))
    if abs(value) >= 10**4000:  # beyond Python's limit of digits
        return Converted(None, "an integer of more than 4,000 digits; stored as null")
    return Converted(str(value), "an integer beyond 64 bits; stored as text")


def _double(value: float) -> Converted:
    if math.isinf(value):
        return Converted(None, "infinite; stored as null")
    return Converted(None if math.isnan(value) else float(value))


def _decimal(value: Decimal) -> Converted:
    if not value.is_finite():
        return _double(float(value))
    if value.adjusted() > _MAX_DIGITS:
        return Converted(str(value), "a decimal beyond 40 digits; stored as text")
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= 0:
        return _integer(int(value))
    nearest = float(value)
    if Decimal(repr(nearest)) == value:
        return Converted(nearest)
    if abs(value) >= EXACT_INTEGERS:
        return Converted(str(value), "a decimal with more digits than a double; stored as text")
    return Converted(nearest, "a decimal with more digits than a double; stored as the nearest one")


def _timestamp(value: datetime) -> Converted:
    if value.tzinfo is None:
        return Converted(value.replace(tzinfo=UTC))
    try:
        return Converted(value.astimezone(UTC))
    except (OverflowError, ValueError):  # in the first or last day of the calendar
        problem = "a timestamp beyond the years 1 to 9999; stored as text"
        return Converted(value.isoformat(), problem)


def _nested(value: object) -> Converted:
    try:
        text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)
    except (RecursionError, ValueError):
        return Converted(None, "nested too deep; stored as null")
    return Converted(clean_text(text))


def _plain(value: object) -> object:
    """Convert a nested value to JSON types, so that filters can parse the text; NaN is null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, bytes):
        return None
    return float(value) if isinstance(value, Decimal) else str(value)


# Subclasses first, as in `_TYPES`.
_CONVERTERS: tuple[tuple[type, Callable[[Any], Converted]], ...] = (
    (str, _text),
    (bool, Converted),
    (int, _integer),
    (float, _double),
    (datetime, _timestamp),
    (date, Converted),
    (Decimal, _decimal),
    (bytes, lambda value: Converted(None, "binary; left out")),
    (Unreadable, lambda value: Converted(None, f"{value.description}; stored as null")),
    (list, _nested),
    (Mapping, _nested),
)
