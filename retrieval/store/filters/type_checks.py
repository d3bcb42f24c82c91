"""Checks the types inside conditions and converts times to the notation of DuckDB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from retrieval.columns.types import ColumnType
from retrieval.errors import FilterError

if TYPE_CHECKING:
    from sqlglot import exp

_NUMBERS = (ColumnType.INT64, ColumnType.DOUBLE)
_TIMES = (ColumnType.TIMESTAMP, ColumnType.DATE)

_EXAMPLES = {
    ColumnType.STRING: "compare it with text in single quotes: {name} = '{value}'",
    ColumnType.TIMESTAMP: "compare it with a time in quotes: {name} > '2020-01-31 12:00:00'",
    ColumnType.DATE: "compare it with a day in quotes: {name} > '2020-01-31'",
}


def check_types(tree: exp.Expr, types: Mapping[str, ColumnType]) -> None:
    """Refuse comparisons that DuckDB would answer by implicit conversions.

    Raises:
        FilterError: Types do not match; the message names the column and its type.
    """
    from sqlglot import exp

    for node in tree.walk():
        if isinstance(node, (exp.Like, exp.ILike, exp.RegexpLike, exp.ArrayContains)):
            _check_pattern(node, types)
        elif isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg)):
            _check_arithmetic(node, types)
        elif isinstance(node, _comparisons()):
            first, *others = _sides(node)
            for other in others:
                _check_pair(first, other, types)


def _check_arithmetic(node: exp.Expr, types: Mapping[str, ColumnType]) -> None:
    for side in _sides(node):
        if _type(side, types) is ColumnType.STRING:
            raise FilterError(
                f"{_describe(side, types)}, which does not support arithmetic; use a number column"
            )


def _check_pair(first: exp.Expr, other: exp.Expr, types: Mapping[str, ColumnType]) -> None:
    from sqlglot import exp

    for left, right in ((first, other), (other, first)):
        left_type = _type(left, types)
        is_text = isinstance(right, exp.Literal) and right.is_string
        if left_type in _NUMBERS and is_text and _column(left) is not None:
            # DuckDB would round '2019.6' to the integer 2020.
            is_column = isinstance(left, exp.Column)
            name = _quoted(left) if is_column else left.sql(dialect="duckdb")
            fact = _describe(left, types) if is_column else f"{name} is a number"
            raise FilterError(f"{fact}; compare it with a number without quotes: {name} > 10")
        if (
            left_type not in _EXAMPLES
            or _type(right, types) not in _NUMBERS
            or _column(left) is None
        ):
            continue
        if _column(right) is not None:
            raise FilterError(
                f"{_describe(left, types)} and {_describe(right, types)}; they cannot be compared"
            )
        advice = _EXAMPLES[left_type].format(name=_quoted(left), value=right.sql(dialect="duckdb"))
        raise FilterError(f"{_describe(left, types)}; {advice}")


def _check_pattern(node: exp.Expr, types: Mapping[str, ColumnType]) -> None:
    if _type(node.this, types) not in (None, ColumnType.STRING):
        raise FilterError(f"{_describe(node.this, types)}; LIKE and patterns need a text column")


def convert_times(tree: exp.Expr, types: Mapping[str, ColumnType]) -> exp.Expr:
    """Replace texts that are compared with times by times in UTC.

    Releases of DuckDB differ in how they parse an offset, as in `12:00+02:00`.

    Raises:
        FilterError: A text is not a time.
    """
    from sqlglot import exp

    for node in list(tree.find_all(*_comparisons())):
        sides = list(_sides(node))
        column = next((side for side in sides if _type(side, types) in _TIMES), None)
        if column is None:
            continue
        for side in sides:
            literal = side.this if isinstance(side, exp.Cast) else side
            if isinstance(literal, exp.Literal) and literal.is_string:
                side.replace(_time_literal(literal.name, _describe(column, types)))
    return tree


def _time_literal(text: str, column: str) -> exp.Expr:
    from sqlglot import exp

    try:
        day = date.fromisoformat(text.strip())
        return exp.cast(exp.Literal.string(day.isoformat()), "DATE")
    except ValueError:
        pass
    try:
        moment = utc_time(text)
    except (ValueError, OverflowError) as error:
        raise FilterError(
            f"{column}; {text[:40]!r} is not a time, expected '2020-01-31' or '2020-01-31 12:00:00'"
        ) from error
    return exp.cast(exp.Literal.string(moment.isoformat(" ")), "TIMESTAMP")


def utc_time(text: str) -> datetime:
    """Parse a time and convert it to UTC without a zone, as conditions compare it.

    Raises:
        ValueError: The text is not a time.
        OverflowError: The time is beyond the calendar.
    """
    moment = datetime.fromisoformat(text.strip())
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


# ---------------------------------------------------------------- parts of an expression


def _comparisons() -> tuple[type[exp.Expr], ...]:
    from sqlglot import exp

    return (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Between)


def _sides(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the operands; the tested value of IN and BETWEEN comes first."""
    for part in (node.this, *node.expressions, *map(node.args.get, ("expression", "low", "high"))):
        if part is not None:
            yield part


def _type(node: exp.Expr, types: Mapping[str, ColumnType]) -> ColumnType | None:
    """Return the type of an expression; None if it is uncertain, as for a text literal."""
    from sqlglot import exp

    numbers = (exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.Length)
    type_ = None
    if isinstance(node, exp.Column):
        type_ = types.get(node.name)
    elif isinstance(node, exp.Paren):
        type_ = _type(node.this, types)
    elif isinstance(node, (exp.Lower, exp.Upper)):
        type_ = ColumnType.STRING
    elif isinstance(node, numbers) or (isinstance(node, exp.Literal) and not node.is_string):
        type_ = ColumnType.DOUBLE
    elif isinstance(node, (exp.Add, exp.Sub)):
        sides = {_type(side, types) for side in _sides(node)}
        type_ = ColumnType.DOUBLE if sides <= set(_NUMBERS) else None  # None for times
    return type_


def _column(node: exp.Expr) -> exp.Column | None:
    from sqlglot import exp

    return node if isinstance(node, exp.Column) else node.find(exp.Column)


def _quoted(node: exp.Expr) -> str:
    """Return a column's name, in double quotes if a condition needs them."""
    column = _column(node)
    name = column.name if column is not None else node.sql(dialect="duckdb")
    return name if name.isidentifier() and name.isascii() else '"' + name.replace('"', '""') + '"'


def _describe(node: exp.Expr, types: Mapping[str, ColumnType]) -> str:
    column = _column(node)
    if column is None:
        return f"{node.sql(dialect='duckdb')[:40]} is {_type(node, types)}"
    return f"column {column.name!r} is {types[column.name]}"
