"""Extracts long lists of literals after IN from conditions and parses them into arrays."""

from __future__ import annotations

import re
from decimal import Decimal

import pyarrow as pa

from retrieval.columns.arrow import ARROW_TYPES
from retrieval.columns.types import ColumnType
from retrieval.errors import FilterError
from retrieval.store.filters.type_checks import utc_time

LONG_LIST_CHARS = 1_000
"""Shorter lists stay in the text."""

_TEXT = r"'(?:[^']|'')*+'"
_NUMBER = r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?"
_LITERAL = rf"(?:{_TEXT}|{_NUMBER})"
# Quoted text matches first, so that an IN inside it is skipped.
_PARTS = re.compile(
    rf"{_TEXT}|\"(?:[^\"]|\"\")*+\""
    rf"|(?P<head>\bIN\s*+\(\s*+)(?P<list>{_LITERAL}(?:\s*+,\s*+{_LITERAL})*+)(?=\s*+\))",
    re.IGNORECASE | re.ASCII,
)
_LITERALS = re.compile(_LITERAL, re.ASCII)


def extract_long_lists(where: str) -> tuple[str, list[str]]:
    """Replace the long lists of a condition by `$list0`, `$list1` and so on; return both."""
    lists: list[str] = []

    def replace(match: re.Match[str]) -> str:
        if match["list"] is None or len(match["list"]) <= LONG_LIST_CHARS:
            return match[0]
        lists.append(match["list"])
        return f"{match['head']}$list{len(lists) - 1}"

    return _PARTS.sub(replace, where), lists


def parse_list(text: str, column: str, type_: ColumnType) -> pa.Array:
    """Parse a list into values of the type of the column they are compared with.

    Numbers that the column cannot hold, such as 1.5 among integers, are left out.

    Raises:
        FilterError: A text column is compared with numbers, or a value is not of the column's type.
    """
    literals = _LITERALS.findall(text)
    texts = [literal for literal in literals if literal.startswith("'")]
    if type_ is ColumnType.STRING:
        if len(texts) < len(literals):
            number = next(literal for literal in literals if not literal.startswith("'"))
            raise FilterError(
                f"column {column!r} is text, but the list holds the number {number[:40]}; "
                f"compare it with text in quotes, as '{number[:40]}'"
            )
        return pa.array([_unquoted(literal) for literal in texts], pa.string())
    values = [_unquoted(literal) for literal in literals]
    try:
        if type_ in (ColumnType.INT64, ColumnType.DOUBLE):
            return _numbers([Decimal(value) for value in values], type_)
        if type_ is ColumnType.TIMESTAMP:
            return pa.array([utc_time(value) for value in values], pa.timestamp("us"))
        return pa.array(values, pa.string()).cast(ARROW_TYPES[type_])
    except (ArithmeticError, ValueError) as error:  # Arrow raises ValueErrors
        raise FilterError(f"column {column!r} is {type_}, the list holds other values") from error


def _numbers(values: list[Decimal], type_: ColumnType) -> pa.Array:
    if type_ is ColumnType.DOUBLE:
        return pa.array([float(value) for value in values], pa.float64())
    in_range = (value for value in values if -(2**63) <= value < 2**63)
    return pa.array([int(value) for value in in_range if value == int(value)], pa.int64())


def _unquoted(literal: str) -> str:
    return literal[1:-1].replace("''", "'") if literal.startswith("'") else literal
