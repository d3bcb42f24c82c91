"""Long lists of literals after IN: taken out of a condition's text, and given back as arrays."""

from __future__ import annotations

import re
from decimal import Decimal

import pyarrow as pa

from retrieval.columns.arrow import ARROW_TYPES
from retrieval.columns.types import ColumnType
from retrieval.errors import FilterError
from retrieval.store.condition_types import utc_time

LONG_LIST_CHARS = 1_000
"""Shorter lists stay in the text."""

_TEXT = r"'(?:[^']|'')*+'"
_NUMBER = r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?"
_LITERAL = rf"(?:{_TEXT}|{_NUMBER})"
# Quoted parts come first, so that no IN inside a text is taken for one.
_PARTS = re.compile(
    rf"{_TEXT}|\"(?:[^\"]|\"\")*+\""
    rf"|(?P<head>\bIN\s*+\(\s*+)(?P<list>{_LITERAL}(?:\s*+,\s*+{_LITERAL})*+)(?=\s*+\))",
    re.IGNORECASE | re.ASCII,
)
_LITERALS = re.compile(_LITERAL, re.ASCII)


def without_long_lists(where: str) -> tuple[str, list[str]]:
    """A condition with `$list0`, `$list1` … in the places of its long lists, and these lists."""
    lists: list[str] = []

    def shorten(found: re.Match[str]) -> str:
        if found["list"] is None or len(found["list"]) <= LONG_LIST_CHARS:
            return found[0]
        lists.append(found["list"])
        return f"{found['head']}$list{len(lists) - 1}"

    return _PARTS.sub(shorten, where), lists


def long_list(text: str, column: str, kind: ColumnType) -> pa.Array:
    """The values of a list, as the column that they are compared with.

    A number that no value of the column equals, as 1.5 among integers, is left out.

    Raises:
        FilterError: Numbers for a text column, or values that the column's type cannot read.
    """
    literals = _LITERALS.findall(text)
    texts = [literal for literal in literals if literal.startswith("'")]
    if kind is ColumnType.STRING:
        if len(texts) < len(literals):
            number = next(literal for literal in literals if not literal.startswith("'"))
            raise FilterError(
                f"column {column!r} is text, the list holds the number {number[:40]}; "
                f"compare it with texts in quotes, as '{number[:40]}'"
            )
        return pa.array([_unquoted(literal) for literal in texts], pa.string())
    values = [_unquoted(literal) for literal in literals]
    try:
        if kind in (ColumnType.INT64, ColumnType.DOUBLE):
            return _numbers([Decimal(value) for value in values], kind)
        if kind is ColumnType.TIMESTAMP:
            return pa.array([utc_time(value) for value in values], pa.timestamp("us"))
        return pa.array(values, pa.string()).cast(ARROW_TYPES[kind])
    except (ArithmeticError, ValueError) as error:  # Arrow's refusals are ValueErrors too
        raise FilterError(f"column {column!r} is {kind}; the list holds other values") from error


def _numbers(values: list[Decimal], kind: ColumnType) -> pa.Array:
    if kind is ColumnType.DOUBLE:
        return pa.array([float(value) for value in values], pa.float64())
    fitting = (value for value in values if -(2**63) <= value < 2**63)
    return pa.array([int(value) for value in fitting if value == int(value)], pa.int64())


def _unquoted(literal: str) -> str:
    return literal[1:-1].replace("''", "'") if literal.startswith("'") else literal
