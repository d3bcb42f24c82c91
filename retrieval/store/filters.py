"""`--where`: an SQL condition over the items' columns, parsed, checked, and turned into item ids.

Settings alone cannot make a raw SQL filter safe, so the text never reaches DuckDB: it is parsed,
only columns, literals and plain operators pass, and what DuckDB runs is written anew from the tree.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import FilterError
from retrieval.store.reader import Snapshot

if TYPE_CHECKING:
    import duckdb
    from sqlglot import exp

MAX_CHARS = 10_000
MAX_DEPTH = 50
DEADLINE_SECONDS = 10.0

FIRST_BLOCK, GROWTH = 256, 8
"""Items that a condition is evaluated for at first, and how much faster than before it goes on."""

BLOCKS_AT_LEAST = 10
"""A block should take no more than so-manieth of the deadline."""

ALLOWED: Final = (
    "Column", "Identifier", "Literal", "Boolean", "Null", "Paren", "Neg", "Tuple",
    "And", "Or", "Not", "EQ", "NEQ", "GT", "GTE", "LT", "LTE", "Is", "In", "Between",
    "Like", "ILike", "Escape", "Add", "Sub", "Mul", "Div", "Mod", "Lower", "Upper", "Length",
)  # fmt: skip
"""Kinds of expression that pass; everything else is refused by name."""


def matching_ids(
    snapshot: Snapshot, where: str, *, deadline_seconds: float = DEADLINE_SECONDS
) -> NDArray[np.int64]:
    """Sorted ids of the living items that a condition holds for.

    Args:
        snapshot: The generation to ask.
        where: For example `year > 2020 AND caption LIKE '%sea%'`.
        deadline_seconds: A condition that takes longer is stopped.

    Raises:
        FilterError: The condition is refused, names an unknown column, mixes types, or is slow.
    """
    columns = tuple(snapshot.items_schema().names)
    condition = checked_condition(where, columns)
    files = [str(snapshot.root / file.path) for file in snapshot.manifest.listed("items")]
    ids = evaluate(condition, files, snapshot.manifest.next_item_id, deadline_seconds)
    return np.setdiff1d(ids, snapshot.removed_ids())


@lru_cache(maxsize=256)
def checked_condition(where: str, columns: tuple[str, ...]) -> str:
    """Parse a condition and write it anew, with every name quoted.

    Raises:
        FilterError: Names what is refused.
    """
    import sqlglot

    _check_text(where)
    try:
        return _rewritten(where, columns)
    except RecursionError as error:
        # Operators nest as well as parentheses, and need none.
        raise FilterError("--where is nested too deep; join fewer conditions") from error
    except sqlglot.errors.SqlglotError as error:
        raise FilterError(f"--where cannot be read as SQL: {_first_line(error)}") from error


def _rewritten(where: str, columns: tuple[str, ...]) -> str:
    import sqlglot
    from sqlglot import exp

    trees = sqlglot.parse(where, read="duckdb")
    if len(trees) != 1 or trees[0] is None:
        raise FilterError("--where takes one condition, such as: year > 2020")
    tree = trees[0]
    for node in tree.walk():
        kind = type(node).__name__
        if kind not in ALLOWED or node.comments:
            raise FilterError(
                f"--where takes columns, literals and plain operators; {kind} is refused"
            )
        if isinstance(node, exp.In) and (node.args.get("query") or node.args.get("unnest")):
            raise FilterError("--where takes IN with a list of literals only")
        if isinstance(node, exp.Column):
            _check_column(node, columns)
    return tree.transform(lambda n: exp.column(n.name, quoted=True) if _is_column(n) else n).sql(
        dialect="duckdb"
    )


def _is_column(node: exp.Expression) -> bool:
    return type(node).__name__ == "Column"


def _check_text(where: str) -> None:
    if not where.strip():
        raise FilterError("--where is empty; give a condition such as: year > 2020")
    if len(where) > MAX_CHARS:
        raise FilterError(f"--where has {len(where):,} characters, at most {MAX_CHARS:,} are read")
    try:
        where.encode()
    except UnicodeEncodeError as error:
        raise FilterError(
            f"--where is not valid Unicode at character {error.start + 1}; type it as UTF-8"
        ) from error
    depth = deepest = 0
    for character in where:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise FilterError(f"--where is nested {deepest} deep, at most {MAX_DEPTH} is read")
    for mark in ("--", "/*", ";", "\0"):
        if mark in where:
            raise FilterError(f"--where takes one condition without comments; {mark!r} is refused")


def _check_column(node: exp.Column, columns: tuple[str, ...]) -> None:
    if node.table or node.name not in columns:
        raise FilterError(f"no column {node.sql()!r}; there are: {', '.join(columns)}")


def evaluate(
    condition: str, files: Sequence[str], next_item_id: int, deadline_seconds: float
) -> NDArray[np.int64]:
    """Ids of all items that a condition holds for, sorted.

    It goes from block to block, small ones first: DuckDB looks for an interruption only after some
    100,000 rows, which a costly condition would take minutes for.

    Args:
        condition: Made by `checked_condition`.
        files: Parquet files of items.
        next_item_id: Above all their ids.
        deadline_seconds: As for `matching_ids`.

    Raises:
        FilterError: DuckDB refuses the condition, or it takes longer than the deadline.
    """
    import duckdb

    found = [np.empty(0, np.int64)]
    end = next_item_id if files else 0
    until = time.monotonic() + deadline_seconds
    first, size = 0, FIRST_BLOCK
    with duckdb.connect() as connection, _deadline(connection, deadline_seconds):
        connection.execute("SET parquet_metadata_cache = true")  # blocks share the footers
        while first < end:
            began = time.monotonic()
            try:
                found.append(_run(connection, condition, files, range(first, first + size)))
            except duckdb.InterruptException as error:
                raise _slow(deadline_seconds) from error
            except duckdb.Error as error:
                raise FilterError(f"--where: {_first_line(error)}") from error
            now = time.monotonic()
            first += size
            if first < end and now >= until:
                raise _slow(deadline_seconds)
            affordable = size * deadline_seconds / BLOCKS_AT_LEAST / max(now - began, 1e-6)
            size = max(1, min(size * GROWTH, int(affordable)))
    return np.sort(np.concatenate(found))


def _run(
    connection: duckdb.DuckDBPyConnection, condition: str, files: Sequence[str], ids: range
) -> NDArray[np.int64]:
    """Ids of one block that the condition holds for."""
    items = connection.read_parquet(list(files), union_by_name=True)
    block = items.filter(f"item_id >= {ids.start} AND item_id < {ids.stop}")
    matching = block.filter(condition).project("item_id").fetchnumpy()["item_id"]
    return np.asarray(matching, np.int64)


def _slow(deadline_seconds: float) -> FilterError:
    return FilterError(
        f"--where took longer than {deadline_seconds:g} s and was stopped; simplify it"
    )


@contextmanager
def _deadline(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, connection.interrupt)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
