"""`--where`: an SQL condition over the items' columns, parsed, checked and written anew.

Settings alone cannot make a raw SQL filter safe, so the text never reaches DuckDB: it is parsed,
only columns, literals, plain operators and two functions pass, and what DuckDB runs is written
anew from the tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

import pyarrow as pa

from retrieval.columns.types import ColumnType
from retrieval.errors import FilterError
from retrieval.store.condition_lists import long_list, without_long_lists
from retrieval.store.condition_types import check_types, with_times

if TYPE_CHECKING:
    from sqlglot import exp

MAX_CHARS = 10_000
"""Characters of a condition, long lists after IN aside: those are no part of the tree."""

MAX_ALL_CHARS = 5_000_000
MAX_DEPTH = 50
MAX_DIGITS = 38
"""Digits of a number; DuckDB's longest integers and decimals have as many."""

ALLOWED: Final = (
    "Column", "Identifier", "Literal", "Boolean", "Null", "Paren", "Neg", "Tuple",
    "And", "Or", "Not", "EQ", "NEQ", "GT", "GTE", "LT", "LTE", "Is", "In", "Between",
    "Like", "ILike", "Escape", "Add", "Sub", "Mul", "Div", "Mod", "Lower", "Upper", "Length",
    "RegexpLike", "ArrayContains",
)  # fmt: skip
"""Kinds of expression that pass; everything else is refused."""

ColumnTypes = tuple[tuple[str, ColumnType], ...]
"""Names of the columns and their types, in order."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that was checked.

    Attributes:
        sql: An expression over the columns, every name quoted.
        columns: The columns that it reads.
        lists: Long lists after IN, which `sql` names list0, list1 and so on.
    """

    sql: str
    columns: tuple[str, ...]
    lists: tuple[pa.Array, ...] = ()


@lru_cache(maxsize=64)
def checked_condition(where: str, types: ColumnTypes) -> Condition:
    """Parse a condition and write it anew.

    Args:
        where: For example `year > 2020 AND caption LIKE '%sea%'`.
        types: The columns that there are.

    Raises:
        FilterError: Says what is refused, and where.
    """
    import sqlglot

    _check_characters(where)
    text, lists = without_long_lists(where)
    _check_text(text)
    try:
        # As an expression: read as a statement, `show = 1` is a command.
        # Its classes have other names from release to release.
        tree: Any = sqlglot.parse_one(text, read="duckdb", into=sqlglot.exp.Condition)
        return _Writer(types, lists).condition(tree)
    except RecursionError as error:
        # Operators nest as well as parentheses, and need none.
        raise FilterError("--where is nested too deep; join fewer conditions") from error
    except sqlglot.errors.SqlglotError as error:
        raise FilterError(_unreadable(error)) from error


# ---------------------------------------------------------------- text

_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")


def _check_characters(where: str) -> None:
    if not where.strip():
        raise FilterError("--where is empty; give a condition such as: year > 2020")
    if len(where) > MAX_ALL_CHARS:
        raise FilterError(
            f"--where has {len(where):,} characters, at most {MAX_ALL_CHARS:,} are read"
        )
    try:
        where.encode()
    except UnicodeEncodeError as error:
        raise FilterError(
            f"--where is not valid Unicode at character {error.start + 1}; type it as UTF-8"
        ) from error
    if "\0" in where:
        raise FilterError("--where holds a NUL character, which no column does; leave it out")


def _check_text(where: str) -> None:
    if len(where) > MAX_CHARS:
        raise FilterError(
            f"--where has {len(where):,} characters, at most {MAX_CHARS:,} are read; "
            "only a list of numbers or texts, as in item_id IN (1, 2), may be longer"
        )
    bare = _QUOTED.sub("''", where)
    depth = deepest = 0
    for character in bare:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise FilterError(f"--where is nested {deepest} deep, at most {MAX_DEPTH} is read")
    for mark in ("--", "/*", ";"):
        if mark in bare:
            raise FilterError(
                f"--where takes one condition without comments; {mark!r} is refused outside quotes"
            )


def _unreadable(error: Exception) -> str:
    places = getattr(error, "errors", None) or [{}]
    line, column = places[0].get("line"), places[0].get("col")
    where = f" at character {column}" if column else ""
    where = f"{where} of line {line}" if where and line and line > 1 else where
    return (
        f"--where cannot be read as SQL{where}; it takes a condition such as: year > 2020 AND "
        "caption LIKE '%sea%'"
    )


# ---------------------------------------------------------------- tree


class _Writer:
    """Checks the tree of one condition and writes it as SQL."""

    def __init__(self, types: ColumnTypes, lists: list[str]) -> None:
        self._types = dict(types)
        self._names = {name.casefold(): name for name in self._types}
        self._lists = lists
        self._arrays: dict[str, pa.Array] = {}

    def condition(self, tree: exp.Expression) -> Condition:
        nodes: list[Any] = list(tree.walk())
        for node in nodes:
            self._check(node)
        tree = tree.transform(self._with_real_name)
        check_types(tree, self._types)
        tree = with_times(tree, self._types).transform(self._rewritten)
        columns = dict.fromkeys(node.name for node in _columns(tree))
        return Condition(tree.sql(dialect="duckdb"), tuple(columns), tuple(self._arrays.values()))

    # ------------------------------------------------------------ what passes

    def _check(self, node: exp.Expression) -> None:
        from sqlglot import exp

        kind = type(node).__name__
        if kind == "Placeholder" and self._is_long_list(node):
            return
        if kind not in ALLOWED and not _is_time_literal(node):
            raise FilterError(
                f"--where takes columns, literals and plain operators; {_named(node)} is refused"
            )
        if node.comments:
            raise FilterError("--where takes no comments; leave them out")
        if isinstance(node, exp.In) and not node.expressions:
            raise FilterError("--where takes IN with a list of literals only")
        if isinstance(node, exp.Column):
            self._real_name(node)
        if isinstance(node, exp.Literal):
            _check_literal(node)
        if isinstance(node, (exp.Div, exp.Mod)) and _is_zero(node.expression):
            raise FilterError("--where divides by zero; divide by another number")
        if isinstance(node, exp.RegexpLike):
            _check_pattern(node)
        if isinstance(node, exp.ArrayContains):
            _check_list_contains(node)

    def _is_long_list(self, node: exp.Expression) -> bool:
        from sqlglot import exp

        return (
            isinstance(node.parent, exp.In)
            and node.arg_key == "expressions"
            and node.name in {f"list{number}" for number in range(len(self._lists))}
        )

    def _real_name(self, node: exp.Column) -> str:
        name = self._names.get(node.name.casefold())
        if name is not None and not node.table:
            return name
        shown = node.sql(dialect="duckdb")
        hint = ""
        if not node.table and node.this.quoted:
            hint = f"; double quotes name a column, a text stands in single ones: '{node.name}'"
        raise FilterError(f"no column {shown!r}; there are: {', '.join(self._types)}{hint}")

    # ------------------------------------------------------------ writing

    def _with_real_name(self, node: exp.Expression) -> exp.Expression:
        from sqlglot import exp

        if isinstance(node, exp.Column):
            return exp.column(self._real_name(node), quoted=True)
        return node

    def _rewritten(self, node: exp.Expression) -> exp.Expression:
        from sqlglot import exp

        if isinstance(node, exp.In) and isinstance(node.expressions[0], exp.Placeholder):
            return self._semi_join(node)
        if isinstance(node, exp.ArrayContains):
            return _in_json_list(node)
        return node

    def _semi_join(self, node: exp.In) -> exp.Expression:
        """`column IN (SELECT value FROM listN)`: DuckDB plans literals one by one."""
        from sqlglot import exp

        column, placeholder = node.this, node.expressions[0].name
        if not isinstance(column, exp.Column):
            raise FilterError("--where takes a long list only after a column: item_id IN (1, 2)")
        kind = self._types[column.name]
        values = long_list(self._lists[int(placeholder.removeprefix("list"))], column.name, kind)
        name = f"list{len(self._arrays)}"
        self._arrays[name] = values
        return exp.In(this=column.copy(), query=exp.select("value").from_(name).subquery())


def _columns(tree: exp.Expression) -> Iterator[exp.Column]:
    from sqlglot import exp

    # `value` is the column of a long list.
    yield from (node for node in tree.find_all(exp.Column) if node.this.quoted)


def _named(node: exp.Expression) -> str:
    """What a user would call a kind of expression."""
    from sqlglot import exp

    if isinstance(node, (exp.Query, exp.Exists)):
        return "a subquery"
    if isinstance(node, exp.Anonymous):
        return f"the function {node.name}"
    if isinstance(node, exp.Case):
        return "CASE"
    if isinstance(node, (exp.Placeholder, exp.Parameter)):
        return "a placeholder"
    if isinstance(node, exp.Func):
        return f"the function {node.sql_name().lower()}"
    text = node.sql(dialect="duckdb", comments=False)
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


def _is_time_literal(node: exp.Expression) -> bool:
    """Whether a node is, or is part of, `DATE '2020-01-31'` or `TIMESTAMP '2020-01-31 12:00'`."""
    from sqlglot import exp

    if isinstance(node, exp.DataType):
        return isinstance(node.parent, exp.Cast) and _is_time_literal(node.parent)
    return (
        isinstance(node, exp.Cast)
        and isinstance(node.this, exp.Literal)
        and node.this.is_string
        and node.to.sql(dialect="duckdb") in ("DATE", "TIMESTAMP", "TIMESTAMPTZ")
    )


def _check_literal(node: exp.Literal) -> None:
    digits = sum(character.isdigit() for character in node.name)
    if not node.is_string and digits > MAX_DIGITS:
        raise FilterError(
            f"--where has a number of {digits:,} digits, at most {MAX_DIGITS} are read; "
            "a longer one equals no column"
        )


def _is_zero(node: exp.Expression) -> bool:
    from sqlglot import exp

    while isinstance(node, (exp.Paren, exp.Neg)):
        node = node.this
    return isinstance(node, exp.Literal) and not node.is_string and float(node.name) == 0


def _check_pattern(node: exp.RegexpLike) -> None:
    from sqlglot import exp

    if not all(
        part is None or (isinstance(part, exp.Literal) and part.is_string)
        for part in (node.expression, node.args.get("flag"))
    ):
        raise FilterError(
            "--where takes regexp_matches(column, 'pattern') with a pattern in quotes"
        )


def _check_list_contains(node: exp.ArrayContains) -> None:
    from sqlglot import exp

    if not (isinstance(node.this, exp.Column) and isinstance(node.expression, exp.Literal)):
        raise FilterError("--where takes list_contains(column, 'value') with a single value")


def _in_json_list(node: exp.ArrayContains) -> exp.Expression:
    """Lists are stored as JSON text; what is no list contains nothing."""
    import sqlglot

    column = node.this.sql(dialect="duckdb")
    value = sqlglot.exp.Literal.string(node.expression.name).sql(dialect="duckdb")
    parsed: Any = sqlglot.parse_one(
        f"CASE WHEN {column} IS NULL THEN NULL WHEN json_valid({column}) THEN "
        f"list_contains(json_extract_string({column}, '$[*]'), {value}) ELSE FALSE END",
        read="duckdb",
    )
    return cast("exp.Expression", parsed)
