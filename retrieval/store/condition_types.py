"""Types inside a condition: what may be compared with what, and times in DuckDB's spelling."""

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
    """Refuse what DuckDB would convert on the way, and so answer something else.

    Raises:
        FilterError: Names the column and its type.
    """
    from sqlglot import exp

    for node in tree.walk():
        if isinstance(node, (exp.Like, exp.ILike, exp.RegexpLike, exp.ArrayContains)):
            _check_text(node, types)
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
                f"{_shown(side, types)}, which takes no arithmetic; use a number column"
            )


def _check_pair(first: exp.Expr, other: exp.Expr, types: Mapping[str, ColumnType]) -> None:
    for one, two in ((first, other), (other, first)):
        kind, against = _type(one, types), _type(two, types)
        if kind in _EXAMPLES and against in _NUMBERS and _column(one) is not None:
            column = _column(two)
            if column is not None:
                raise FilterError(
                    f"{_shown(one, types)} and {_shown(two, types)}; they cannot be compared"
                )
            advice = _EXAMPLES[kind].format(name=_quoted(one), value=two.sql(dialect="duckdb"))
            raise FilterError(f"{_shown(one, types)}; {advice}")


def _check_text(node: exp.Expr, types: Mapping[str, ColumnType]) -> None:
    kind = _type(node.this, types)
    if kind not in (None, ColumnType.STRING):
        raise FilterError(f"{_shown(node.this, types)}; LIKE and patterns take text columns")


def with_times(tree: exp.Expr, types: Mapping[str, ColumnType]) -> exp.Expr:
    """Write the texts that are compared with times as times in UTC.

    DuckDB's own reading of an offset, as in `12:00+02:00`, differs between its releases.

    Raises:
        FilterError: A text is no time.
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
                side.replace(_time(literal.name, _shown(column, types)))
    return tree


def _time(text: str, shown: str) -> exp.Expr:
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
            f"{shown}; {text[:40]!r} is no time, write it as '2020-01-31' or '2020-01-31 12:00:00'"
        ) from error
    return exp.cast(exp.Literal.string(moment.isoformat(" ")), "TIMESTAMP")


def utc_time(text: str) -> datetime:
    """A time as conditions compare it: in UTC, without its zone.

    Raises:
        ValueError: The text is no time, or one beyond the calendar (OverflowError).
    """
    moment = datetime.fromisoformat(text.strip())
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


# ---------------------------------------------------------------- parts of an expression


def _comparisons() -> tuple[type[exp.Expr], ...]:
    from sqlglot import exp

    return (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Between)


def _sides(node: exp.Expr) -> Iterator[exp.Expr]:
    """What an operator joins; of IN and BETWEEN the tested value comes first."""
    for part in (node.this, *node.expressions, *map(node.args.get, ("expression", "low", "high"))):
        if part is not None:
            yield part


def _type(node: exp.Expr, types: Mapping[str, ColumnType]) -> ColumnType | None:
    """The type of an expression where it is certain; a text literal takes any."""
    from sqlglot import exp

    numbers = (exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.Length)
    kind = None
    if isinstance(node, exp.Column):
        kind = types.get(node.name)
    elif isinstance(node, exp.Paren):
        kind = _type(node.this, types)
    elif isinstance(node, (exp.Lower, exp.Upper)):
        kind = ColumnType.STRING
    elif isinstance(node, numbers) or (isinstance(node, exp.Literal) and not node.is_string):
        kind = ColumnType.DOUBLE
    elif isinstance(node, (exp.Add, exp.Sub)):
        sides = {_type(side, types) for side in _sides(node)}
        kind = ColumnType.DOUBLE if sides <= set(_NUMBERS) else None  # as of times
    return kind


def _column(node: exp.Expr) -> exp.Column | None:
    from sqlglot import exp

    return node if isinstance(node, exp.Column) else node.find(exp.Column)


def _quoted(node: exp.Expr) -> str:
    """A column's name as a condition takes it: in quotes only where it needs them."""
    column = _column(node)
    name = column.name if column is not None else node.sql(dialect="duckdb")
    return name if name.isidentifier() and name.isascii() else '"' + name.replace('"', '""') + '"'


def _shown(node: exp.Expr, types: Mapping[str, ColumnType]) -> str:
    column = _column(node)
    if column is None:
        return f"{node.sql(dialect='duckdb')[:40]} is {_type(node, types)}"
    return f"column {column.name!r} is {types[column.name]}"
