"""Types of the users' columns: which there are, which a value has, and what two of them join to.

Lists, tars and imported tables all go through this module, so that a column has the same type
wherever its values come from. The types form a lattice with text at its top:

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
"""Every integer of a smaller magnitude is a double of its own."""

_MAX_DIGITS = 40
"""Decimals of a larger magnitude are kept as they are written: their digits could fill memory."""


class ColumnType(StrEnum):
    """The type of a user's column; the values are the names that messages use."""

    STRING = "text"
    INT64 = "int64"
    DOUBLE = "double"
    BOOL = "bool"
    TIMESTAMP = "timestamp"
    DATE = "date"


class Adapted(NamedTuple):
    """A value as a column can hold it, and what had to change; `problem` is None for nothing."""

    value: Scalar
    problem: str | None = None


class Unreadable(NamedTuple):
    """Stands for a value that Python cannot hold; `what` says what it is."""

    what: str


# ---------------------------------------------------------------- types


def type_of(value: Scalar) -> ColumnType:
    """The type of a value that `adapted` gave; None has none."""
    for python_type, kind in _TYPES:
        if isinstance(value, python_type):
            return kind
    raise TypeError(f"{type(value).__name__} is no value of a column")


# Subclasses first: True is an int, and a datetime is a date.
_TYPES: tuple[tuple[type, ColumnType], ...] = (
    (str, ColumnType.STRING),
    (bool, ColumnType.BOOL),
    (int, ColumnType.INT64),
    (float, ColumnType.DOUBLE),
    (datetime, ColumnType.TIMESTAMP),
    (date, ColumnType.DATE),
)


def joined(one: ColumnType, other: ColumnType, *, wide: bool) -> ColumnType:
    """The type that holds the values of both without losing a digit.

    Args:
        one: A type.
        other: Another, or the same.
        wide: Whether some integer of the column has a magnitude of 2^53 or more.
    """
    if one is other:
        return one
    both = {one, other}
    if both == {ColumnType.INT64, ColumnType.DOUBLE} and not wide:
        return ColumnType.DOUBLE
    if both == {ColumnType.DATE, ColumnType.TIMESTAMP}:
        return ColumnType.TIMESTAMP
    return ColumnType.STRING


def is_wide(value: Scalar) -> bool:
    """Whether a value is an integer that a double may not hold exactly."""
    return isinstance(value, int) and abs(value) >= EXACT_INTEGERS


# ---------------------------------------------------------------- values


def json_value(value: object) -> str:
    """A timestamp or a date as JSON has it, for `json.dumps(default=...)`.

    Raises:
        TypeError: Another value that JSON does not have.
    """
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no value of JSON")


def clean_text(text: str) -> str:
    """Replace what no UTF-8 file can hold (lone surrogates), so that every store takes it."""
    return text.encode("utf-8", "replace").decode("utf-8")


def to_scalar(value: object) -> Scalar:
    """Fit a value into a column; see `adapted`."""
    return adapted(value).value


def portable(value: object) -> Scalar:
    """A value as another process is sent it: lists and objects as text, all else as it is.

    What a column cannot hold is left to `adapted`, which says what is wrong with it.
    """
    return _nested(value).value if isinstance(value, (list, Mapping)) else cast(Scalar, value)


def adapted(value: object) -> Adapted:
    """Fit a value into a column and say what had to change.

    Text, bool, numbers, timestamps and dates stay, timestamps in UTC; a time without a zone is
    UTC. NaN is null. Integers beyond 64 bits are text, lists and objects are JSON text. Infinity
    and bytes become null.
    """
    if value is None:
        return Adapted(None)
    for python_type, adapt in _ADAPTERS:
        if isinstance(value, python_type):
            return adapt(value)
    return _text(str(value))


def _text(value: str) -> Adapted:
    text = clean_text(value)
    return Adapted(text, None if text == value else "not Unicode; written with `?`")


def _integer(value: int) -> Adapted:
    if -(2**63) <= value < 2**63:
        return Adapted(int(value))
    if abs(value) >= 10**4000:  # Python refuses to print it
        return Adapted(None, "an integer of more than 4,000 digits; stored as null")
    return Adapted(str(value), "an integer beyond 64 bits; stored as text")


def _double(value: float) -> Adapted:
    if math.isinf(value):
        return Adapted(None, "infinite; stored as null")
    return Adapted(None if math.isnan(value) else float(value))


def _decimal(value: Decimal) -> Adapted:
    if not value.is_finite():
        return _double(float(value))
    if value.adjusted() > _MAX_DIGITS:
        return Adapted(str(value), "a decimal beyond 40 digits; stored as text")
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= 0:
        return _integer(int(value))
    nearest = float(value)
    if Decimal(repr(nearest)) == value:
        return Adapted(nearest)
    if abs(value) >= EXACT_INTEGERS:
        return Adapted(str(value), "a decimal with more digits than a double; stored as text")
    return Adapted(nearest, "a decimal with more digits than a double; stored as the nearest one")


def _timestamp(value: datetime) -> Adapted:
    if value.tzinfo is None:
        return Adapted(value.replace(tzinfo=UTC))
    try:
        return Adapted(value.astimezone(UTC))
    except (OverflowError, ValueError):  # the first and last day of the calendar
        return Adapted(value.isoformat(), "a timestamp beyond the years 1 to 9999; stored as text")


def _nested(value: object) -> Adapted:
    try:
        text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)
    except (RecursionError, ValueError):
        return Adapted(None, "nested too deep; stored as null")
    return Adapted(clean_text(text))


def _plain(value: object) -> object:
    """A nested value of JSON's own types, for filters read it as JSON: NaN is null."""
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


# Subclasses first, as in `_TYPES`; an `Unreadable` is a tuple.
_ADAPTERS: tuple[tuple[type, Callable[[Any], Adapted]], ...] = (
    (str, _text),
    (bool, Adapted),
    (int, _integer),
    (float, _double),
    (datetime, _timestamp),
    (date, Adapted),
    (Decimal, _decimal),
    (bytes, lambda value: Adapted(None, "binary; left out")),
    (Unreadable, lambda value: Adapted(None, f"{value.what}; stored as null")),
    (list, _nested),
    (Mapping, _nested),
)
