"""Translates SQL conditions to Qdrant's filters, which give the same items.

SQL has three truth values. A condition matches where it is true, so every comparison becomes a
filter for "is true", and NOT moves inwards until it stands before a comparison: `NOT year > 2020`
means that the item has a year, and that it is not above 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from retrieval.columns.types import EXACT_INTEGERS, ColumnType
from retrieval.engines.qdrant.payload import ITEM_ID, PayloadColumn
from retrieval.errors import FilterError
from retrieval.store.filters.parsing import Condition, parse_condition

if TYPE_CHECKING:
    from qdrant_client.models import Filter

Value = str | int | float | bool | datetime | None
"""A literal; None is NULL."""

NUMBERS = (ColumnType.INT64, ColumnType.DOUBLE)
TIMES = (ColumnType.TIMESTAMP, ColumnType.DATE)

MIRRORED = {"GT": "LT", "LT": "GT", "GTE": "LTE", "LTE": "GTE", "EQ": "EQ", "NEQ": "NEQ"}

SUPPORTED = (
    "comparisons of a column with a literal, IN, BETWEEN, IS NULL, LIKE 'start%' and "
    "LIKE '%part%', AND, OR and NOT"
)


def condition_filter(where: str, columns: Sequence[PayloadColumn]) -> Filter:
    """Translate a condition.

    Args:
        where: As for a search of the collection.
        columns: The columns of the pushed collection.

    Raises:
        FilterError: The condition is not valid, or a Qdrant cannot evaluate it.
    """
    import sqlglot

    condition = parse_condition(where, tuple((column.name, column.type) for column in columns))
    tree = sqlglot.parse_one(condition.sql, read="duckdb", into=sqlglot.exp.Condition)
    return _Translator({column.name: column for column in columns}, condition).translate(tree, True)


def all_of(*conditions: Any) -> Filter:
    """Return a filter that all conditions must match."""
    from qdrant_client.models import Filter

    return Filter(must=list(conditions))


def any_of(*conditions: Any) -> Filter:
    """Return a filter that one of the conditions must match; without conditions, none matches."""
    from qdrant_client.models import Filter

    return Filter(should=list(conditions)) if conditions else _nothing()


def none_of(*conditions: Any) -> Filter:
    """Return a filter that no condition may match."""
    from qdrant_client.models import Filter

    return Filter(must_not=list(conditions))


def matches(key: str, values: Iterable[Any]) -> Any:
    """Return a condition that a key has one of some values, all texts or all integers."""
    from qdrant_client.models import FieldCondition, MatchAny

    return FieldCondition(key=key, match=MatchAny(any=list(values)))


def _nothing() -> Filter:
    """Return a filter that no point matches: every point has an item."""
    return all_of(_is_missing(ITEM_ID))


def _is_missing(path: str) -> Any:
    from qdrant_client.models import IsEmptyCondition, PayloadField

    return IsEmptyCondition(is_empty=PayloadField(key=path))


class _Translator:
    """Translates the syntax tree of one condition.

    Args:
        columns: The columns by name.
        condition: The condition, with its long lists.
    """

    def __init__(self, columns: Mapping[str, PayloadColumn], condition: Condition) -> None:
        self._columns = columns
        self._condition = condition

    def translate(self, node: Any, wanted: bool) -> Filter:
        """Return a filter for the items where a node has the wanted truth value."""
        handlers: dict[str, Callable[[Any, bool], Filter]] = {
            "And": self._combination,
            "Or": self._combination,
            "Paren": lambda each, value: self.translate(each.this, value),
            "Not": lambda each, value: self.translate(each.this, not value),
            "Boolean": lambda each, value: none_of() if bool(each.this) is value else _nothing(),
            "Null": lambda each, value: _nothing(),
            "Column": lambda each, value: self._equal(self._column(each), [value], True),
            "Is": self._is,
            "In": self._in,
            "Between": self._between,
            "Like": self._like,
            "Escape": self._like,
        }
        name = type(node).__name__
        handler = self._comparison if name in MIRRORED else handlers.get(name)
        if handler is None:
            self._refuse(node)
        return handler(node, wanted)

    def _combination(self, node: Any, wanted: bool) -> Filter:
        parts = [self.translate(each, wanted) for each in (node.this, node.expression)]
        return all_of(*parts) if (type(node).__name__ == "And") is wanted else any_of(*parts)

    def _is(self, node: Any, wanted: bool) -> Filter:
        from sqlglot import exp

        column, value = self._column(node.this), node.expression
        if isinstance(value, exp.Null):
            missing = all_of(_is_missing(column.path))
            return missing if wanted else none_of(missing)
        if not isinstance(value, exp.Boolean) or column.type is not ColumnType.BOOL:
            self._refuse(node)
        equal = self._equal(column, [bool(value.this)], True)
        return equal if wanted else none_of(equal)

    def _comparison(self, node: Any, wanted: bool) -> Filter:
        from sqlglot import exp

        operator, left, right = type(node).__name__, _bare(node.this), _bare(node.expression)
        if not isinstance(left, exp.Column):
            operator, left, right = MIRRORED[operator], right, left
        column, value = self._column(left), self._value(right)
        if value is None:
            return _nothing()
        if operator in ("EQ", "NEQ"):
            return self._equal(column, [value], (operator == "EQ") is wanted)
        return self._present(column, self._range(column, {operator.lower(): value}, node), wanted)

    def _between(self, node: Any, wanted: bool) -> Filter:
        column = self._column(node.this)
        low, high = self._value(node.args["low"]), self._value(node.args["high"])
        # NULL as one limit: the condition is never true, but false beyond the other limit.
        parts = [
            _nothing()
            if value is None
            else self._present(column, self._range(column, {name: value}, node), wanted)
            for name, value in (("gte", low), ("lte", high))
        ]
        return all_of(*parts) if wanted else any_of(*parts)

    def _in(self, node: Any, wanted: bool) -> Filter:
        from sqlglot import exp

        column = self._column(node.this)
        query = node.args.get("query")
        values: list[Value]
        if query is not None:  # a long list, which the parser extracted
            number = int(query.find(exp.Table).name.removeprefix("list"))
            values = [_literal(each) for each in self._condition.lists[number].to_pylist()]
        else:
            values = [self._value(each) for each in node.expressions]
        if None in values and not wanted:
            return _nothing()  # x NOT IN (1, NULL) is never true
        return self._equal(column, [value for value in values if value is not None], wanted)

    def _like(self, node: Any, wanted: bool) -> Filter:
        from qdrant_client import models

        like, escape = node, None
        if type(node).__name__ == "Escape":
            like, escape = node.this, self._value(node.expression)
        if type(like).__name__ != "Like":
            self._refuse(node)
        if like.args.get("negate"):
            wanted = not wanted
        column, pattern = self._column(like.this), self._value(like.expression)
        if pattern is None:
            return _nothing()
        prefix, text, suffix = self._pattern(str(pattern), escape, node)
        if not prefix and not suffix:
            return self._equal(column, [text], wanted)
        if not text:  # every text matches
            match: Any = none_of(_is_missing(column.path))
        elif prefix and suffix:
            match = models.FieldCondition(
                key=column.path, match=models.MatchSubstring(substring=text)
            )
        elif suffix:
            match = models.FieldCondition(key=column.path, match=models.MatchPrefix(prefix=text))
        else:
            self._refuse(node)
        return self._present(column, match, wanted)

    def _pattern(self, pattern: str, escape: Value, node: Any) -> tuple[bool, str, bool]:
        """Split a pattern: whether it begins with %, its text, and whether it ends with %."""
        parts: list[str] = []
        characters = iter(pattern)
        for character in characters:
            if escape is not None and character == escape:
                parts.append(next(characters, ""))
            else:
                parts.append("\0any" if character == "%" else character)
                if character == "_":
                    self._refuse(node)
        starts, ends = parts[:1] == ["\0any"], len(parts) > 1 and parts[-1] == "\0any"
        inner = parts[starts : len(parts) - ends]
        if "\0any" in inner:
            self._refuse(node)
        return starts, "".join(inner), ends or parts == ["\0any"]

    # ------------------------------------------------------------ leaves

    def _equal(self, column: PayloadColumn, values: Sequence[Value], wanted: bool) -> Filter:
        """Return a filter for items whose value is one of some values, or another value."""
        self._check(column, values)
        match: Any
        if column.type in (ColumnType.STRING, ColumnType.INT64):
            stored = {value for value in map(_whole, values) if value is not None}
            match = matches(column.path, stored) if stored else _nothing()
        elif column.type is ColumnType.BOOL:
            match = any_of(*(_is_value(column.path, bool(value)) for value in set(values)))
        else:
            match = any_of(
                *(self._range(column, {"gte": value, "lte": value}) for value in set(values))
            )
        return self._present(column, match, wanted)

    def _present(self, column: PayloadColumn, match: Any, wanted: bool) -> Filter:
        """Negate a match if it is not wanted; missing values match neither."""
        return all_of(match) if wanted else none_of(match, _is_missing(column.path))

    def _range(self, column: PayloadColumn, limits: Mapping[str, Value], node: Any = None) -> Any:
        from qdrant_client.models import DatetimeRange, FieldCondition, Range

        self._check(column, list(limits.values()))
        if column.type in TIMES:
            return FieldCondition(key=column.path, range=DatetimeRange(**limits))  # type: ignore[arg-type]
        if column.type not in NUMBERS:
            self._refuse(node)
        if column.type is ColumnType.INT64:
            _check_exact(limits.values())
        return FieldCondition(key=column.path, range=Range(**limits))  # type: ignore[arg-type]

    def _check(self, column: PayloadColumn, values: Sequence[Value]) -> None:
        """Refuse values of another type than the column, which DuckDB would convert."""
        kinds: dict[ColumnType, tuple[type, ...]] = {
            ColumnType.STRING: (str,),
            ColumnType.BOOL: (bool,),
            **dict.fromkeys(NUMBERS, (int, float)),
            **dict.fromkeys(TIMES, (datetime,)),
        }
        for value in values:
            wrong = isinstance(value, bool) and column.type is not ColumnType.BOOL
            if wrong or not isinstance(value, kinds[column.type]):
                raise FilterError(
                    f"column {column.name!r} is {column.type}, and Qdrant compares it with values "
                    "of that type only"
                )

    def _column(self, node: Any) -> PayloadColumn:
        from sqlglot import exp

        node = _bare(node)
        if not isinstance(node, exp.Column):
            self._refuse(node)
        column = self._columns[node.name]
        if not column.is_addressable:
            raise FilterError(f"Qdrant cannot filter by {column.name!r}, which has a double quote")
        return column

    def _value(self, node: Any) -> Value:
        """Return the value of a literal."""
        from sqlglot import exp

        node = _bare(node)
        if isinstance(node, exp.Null):
            return None
        if isinstance(node, exp.Boolean):
            return bool(node.this)
        if isinstance(node, exp.Neg):
            value = self._value(node.this)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return -value
        elif isinstance(node, exp.Literal):
            return node.name if node.is_string else _number(node.name)
        elif isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal):
            moment = datetime.fromisoformat(node.this.name)
            return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        self._refuse(node)

    def _refuse(self, node: Any) -> NoReturn:
        text = node.sql(dialect="duckdb")
        shown = text if len(text) <= 60 else f"{text[:59]}…"
        raise FilterError(f"Qdrant cannot evaluate {shown}; it supports {SUPPORTED}")


def _check_exact(values: Iterable[Value]) -> None:
    for value in values:
        if isinstance(value, int | float) and abs(value) > EXACT_INTEGERS:
            raise FilterError(
                f"Qdrant compares numbers as doubles, which are not exact near {value}; "
                "compare with a smaller number"
            )


def _bare(node: Any) -> Any:
    """Remove parentheses."""
    while type(node).__name__ == "Paren":
        node = node.this
    return node


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _whole(value: Value) -> str | int | None:
    """Return a value that a text or an integer can equal; None for a fraction."""
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else None
    return value if isinstance(value, str) else None


def _is_value(path: str, value: bool) -> Any:
    from qdrant_client.models import FieldCondition, MatchValue

    return FieldCondition(key=path, match=MatchValue(value=value))


def _literal(value: str | int | float | bool | date) -> Value:
    """Convert a value of a long list: dates and times are in UTC."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value
