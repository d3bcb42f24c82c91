"""Parses SQL conditions over item columns into safe expressions for DuckDB.

DuckDB's settings cannot make raw SQL safe, so the user's text never reaches it. The text is
parsed, only columns, literals, plain operators and some functions are accepted, and DuckDB runs
SQL that is generated from the syntax tree.
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
from retrieval.store.filters.literal_lists import extract_long_lists, parse_list
from retrieval.store.filters.type_checks import check_types, convert_times

if TYPE_CHECKING:
    from sqlglot import exp

MAX_CHARS = 10_000
"""Characters of a condition without long lists after IN, which are not part of the tree."""

MAX_TOTAL_CHARS = 5_000_000
MAX_DEPTH = 50
MAX_DIGITS = 38
"""Digits of a number, as in DuckDB's longest integers and decimals."""

ALLOWED: Final = (
    "Column", "Identifier", "Literal", "Boolean", "Null", "Paren", "Neg", "Tuple",
    "And", "Or", "Not", "EQ", "NEQ", "GT", "GTE", "LT", "LTE", "Is", "In", "Between",
    "Like", "ILike", "Escape", "Add", "Sub", "Mul", "Div", "Mod", "Lower", "Upper", "Length",
    "RegexpLike", "ArrayContains",
)  # fmt: skip
"""Accepted classes of expressions; all others are refused."""

ColumnTypes = tuple[tuple[str, ColumnType], ...]
"""Names of the columns and their types, in order."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked condition.

    Attributes:
        sql: An expression over the columns, every name quoted.
        columns: The columns that `sql` reads.
        lists: Long lists after IN; `sql` refers to them as list0, list1 and so on.
    """

    sql: str
    columns: tuple[str, ...]
    lists: tuple[pa.Array, ...] = ()


@lru_cache(maxsize=64)
def parse_condition(where: str, types: ColumnTypes) -> Condition:
    """Parse and check a condition.

    Args:
        where: For example `year > 2020 AND caption LIKE '%sea%'`.
        types: The existing columns.

    Raises:
        FilterError: The condition is refused; the message names the reason and the position.
    """
    import sqlglot

    _check_characters(where)
    text, lists = extract_long_lists(where)
    _check_text(text)
    try:
        # Parse an expression, because `show = 1` would be a command as a statement. `Any`, because
        # sqlglot renames its classes between releases.
        tree: Any = sqlglot.parse_one(text, read="duckdb", into=sqlglot.exp.Condition)
        return _ConditionBuilder(types, lists).build(tree)
    except RecursionError as error:
        # Operators nest without parentheses, so `_check_text` does not count them.
        raise FilterError("the condition is nested too deep; combine fewer conditions") from error
    except sqlglot.errors.SqlglotError as error:
        raise FilterError(_syntax_message(error)) from error


# ---------------------------------------------------------------- text

_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")


def _check_characters(where: str) -> None:
    if not where.strip():
        raise FilterError("the condition is empty; expected one such as: year > 2020")
    if len(where) > MAX_TOTAL_CHARS:
        raise FilterError(
            f"the condition has {len(where):,} characters, expected at most {MAX_TOTAL_CHARS:,}"
        )
    try:
        where.encode()
    except UnicodeEncodeError as error:
        raise FilterError(
            f"the condition is not valid Unicode at character {error.start + 1}; encode it as UTF-8"
        ) from error
    if "\0" in where:
        raise FilterError("the condition contains a NUL character; leave it out")


def _check_text(where: str) -> None:
    if len(where) > MAX_CHARS:
        raise FilterError(
            f"the condition has {len(where):,} characters, expected at most {MAX_CHARS:,}; "
            "only a list of numbers or texts, as in item_id IN (1, 2), can be longer"
        )
    bare = _QUOTED.sub("''", where)
    depth = deepest = 0
    for character in bare:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise FilterError(f"the condition is nested {deepest} deep, expected at most {MAX_DEPTH}")
    for mark in ("--", "/*", ";"):
        if mark in bare:
            raise FilterError(
                f"{mark!r} is refused outside quotes; write one condition without comments"
            )


def _syntax_message(error: Exception) -> str:
    details = (getattr(error, "errors", None) or [{}])[0]
    line, column = details.get("line"), details.get("col")
    position = f" at character {column}" if column else ""
    if position and line and line > 1:
        position += f" of line {line}"
    return (
        f"the condition is not valid SQL{position}; expected one such as: year > 2020 AND "
        "caption LIKE '%sea%'"
    )


# ---------------------------------------------------------------- tree


class _ConditionBuilder:
    """Checks the syntax tree of one condition and generates its SQL."""

    def __init__(self, types: ColumnTypes, lists: list[str]) -> None:
        self._types = dict(types)
        self._names = {name.casefold(): name for name in self._types}
        self._lists = lists
        self._arrays: dict[str, pa.Array] = {}

    def build(self, tree: exp.Expression) -> Condition:
        nodes: list[Any] = list(tree.walk())
        for node in nodes:
            self._check(node)
        tree = tree.transform(self._with_stored_name)
        check_types(tree, self._types)
        tree = convert_times(tree, self._types).transform(self._rewrite)
        columns = dict.fromkeys(node.name for node in _columns(tree))
        return Condition(tree.sql(dialect="duckdb"), tuple(columns), tuple(self._arrays.values()))

    # ------------------------------------------------------------ checks

    def _check(self, node: exp.Expression) -> None:
        from sqlglot import exp

        name = type(node).__name__
        if name == "Placeholder" and self._is_long_list(node):
            return
        if name not in ALLOWED and not _is_time_literal(node):
            raise FilterError(
                f"{_describe(node)} is refused; use columns, literals and plain operators"
            )
        if node.comments:
            raise FilterError("a condition takes no comments; leave them out")
        if isinstance(node, exp.In) and not node.expressions:
            raise FilterError("a condition takes IN with a list of literals only")
        if isinstance(node, exp.Column):
            self._stored_name(node)
        if isinstance(node, exp.Literal):
            _check_literal(node)
        if isinstance(node, (exp.Div, exp.Mod)) and _is_zero(node.expression):
            raise FilterError("the condition divides by zero; divide by another number")
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

    def _stored_name(self, node: exp.Column) -> str:
        name = self._names.get(node.name.casefold())
        if name is not None and not node.table:
            return name
        shown = node.sql(dialect="duckdb")
        hint = ""
        if not node.table and node.this.quoted:
            hint = f"; double quotes name a column, text takes single quotes: '{node.name}'"
        raise FilterError(f"no column {shown!r}; the columns are: {', '.join(self._types)}{hint}")

    # ------------------------------------------------------------ rewriting

    def _with_stored_name(self, node: exp.Expression) -> exp.Expression:
        from sqlglot import exp

        if isinstance(node, exp.Column):
            return exp.column(self._stored_name(node), quoted=True)
        return node

    def _rewrite(self, node: exp.Expression) -> exp.Expression:
        from sqlglot import exp

        if isinstance(node, exp.In) and isinstance(node.expressions[0], exp.Placeholder):
            return self._semi_join(node)
        if isinstance(node, exp.ArrayContains):
            return _in_json_list(node)
        return node

    def _semi_join(self, node: exp.In) -> exp.Expression:
        """Build `column IN (SELECT value FROM listN)`, because DuckDB plans literals one by one."""
        from sqlglot import exp

        column, placeholder = node.this, node.expressions[0].name
        if not isinstance(column, exp.Column):
            raise FilterError("conditions take long lists only after a column: item_id IN (1, 2)")
        text = self._lists[int(placeholder.removeprefix("list"))]
        values = parse_list(text, column.name, self._types[column.name])
        name = f"list{len(self._arrays)}"
        self._arrays[name] = values
        return exp.In(this=column.copy(), query=exp.select("value").from_(name).subquery())


def _columns(tree: exp.Expression) -> Iterator[exp.Column]:
    from sqlglot import exp

    # The column `value` of a long list is not quoted.
    yield from (node for node in tree.find_all(exp.Column) if node.this.quoted)


def _describe(node: exp.Expression) -> str:
    """Name an expression in SQL terms."""
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
            f"the condition has a number of {digits:,} digits, expected at most {MAX_DIGITS}; "
            "no column holds longer ones"
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
            "a condition takes regexp_matches(column, 'pattern') with a pattern in quotes"
        )


def _check_list_contains(node: exp.ArrayContains) -> None:
    from sqlglot import exp

    if not (isinstance(node.this, exp.Column) and isinstance(node.expression, exp.Literal)):
        raise FilterError("a condition takes list_contains(column, 'value') with a single value")


def _in_json_list(node: exp.ArrayContains) -> exp.Expression:
    """Rewrite `list_contains` for lists stored as JSON text; other text contains nothing."""
    import sqlglot

    column = node.this.sql(dialect="duckdb")
    value = sqlglot.exp.Literal.string(node.expression.name).sql(dialect="duckdb")
    parsed: Any = sqlglot.parse_one(
        f"CASE WHEN {column} IS NULL THEN NULL WHEN json_valid({column}) THEN "
        f"list_contains(json_extract_string({column}, '$[*]'), {value}) ELSE FALSE END",
        read="duckdb",
    )
    return cast("exp.Expression", parsed)
