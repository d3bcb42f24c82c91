"""Hostile and random filters, compared with DuckDB's own answer over the same items."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from faults.cases import Case
from retrieval.errors import FilterError
from retrieval.store.filters.evaluation import DEADLINE_SECONDS, matching_ids
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, MediaInfo, Medium, Segments, Space

ROWS = 300
SPACE = Space("toy-00000000", "toy", 2, (Medium.IMAGE,), "0" * 64)

REFUSED = (
    "year > 1 UNION SELECT 1", "item_id IN (SELECT 1)", "EXISTS (SELECT 1)", "(SELECT 1) = 1",
    "item_id = (SELECT max(item_id) FROM items)", "read_text('{canary}') = 'x'",
    "item_id IN (SELECT length(content) FROM read_text('{canary}'))",
    "item_id IN (FROM read_csv('{canary}'))", "COPY items TO '{canary}'",
    "1 = 1; COPY (SELECT 1) TO '{canary}'", "EXPORT DATABASE '{canary}'", "ATTACH '{canary}'",
    "INSTALL httpfs", "LOAD httpfs", "SET threads = 1", "PRAGMA version", "CALL pragma_version()",
    "DROP TABLE items", "year > 1; DROP TABLE items", "year > 1 -- more", "year > 1 /* more */",
    "year > ?", "year > $1", "other.year > 1", "getenv('HOME') = 'x'", "range(5) IS NULL",
    "current_setting('threads') = '1'", "nextval('x') > 0", "sleep_ms(1000) IS NULL",
    "year > 1 ORDER BY year", "year > 1 LIMIT 1", "year > 1 GROUP BY year", "count(*) > 1",
    "sum(year) OVER () > 1", "*", "", "   ", ";", "'", '"', "(", ")", "year >", "> 1",
    "nothing = 1", "x -> x + 1", "list_transform([1], x -> x) IS NULL",
    "repeat(caption, 100000000) = ''",
    "caption = '\0'", "caption = '\ud800'", "COLUMNS(*) > 1", "year > 1 QUALIFY true",
    "{deep}", "{wide}", "{not}", "{minus}", "{sum}", "{list}", "{between}", "{case}",
)  # fmt: skip
"""Conditions that must be refused: they reach beyond the items, are no condition, or too deep."""

LONG = {
    "{deep}": "(" * 10_000 + "year > 1" + ")" * 10_000,
    "{wide}": "year > 1" + " OR year > 1" * 100_000,
    "{not}": "NOT " * 2_400 + "year > 1",
    "{minus}": "year > " + "- " * 4_900 + "1",
    "{sum}": "year > " + "1+" * 4_900 + "1",
    "{list}": "[" * 4_000 + "1" + "]" * 4_000,
    "{between}": "year BETWEEN 1 AND " * 500 + "1 AND 2",
    "{case}": "CASE WHEN true THEN " * 300 + "1" + " END" * 300 + " = 1",
}


def make_items(root: Path) -> Hostile:
    """A collection of columns of several types, with nulls and two removed items."""
    nan = np.full(1, np.nan, np.float32)
    with CollectionWriter.open(root, create=True) as writer:
        writer.add_space(SPACE)
        for number in range(ROWS):
            columns = {
                "year": 1900 + number % 120,
                "price": number / 4 if number % 7 else None,
                "odd name": f"it's {number}%_",
                "flag": number % 3 == 0,
            }
            info = MediaInfo(
                f"/{number}.png", Medium.IMAGE, 1, 1.0, "ab",
                caption=f"a \\ picture {number}" if number % 5 else None, columns=columns,
            )  # fmt: skip
            vectors = np.array([[1.0, 0.0]], np.float32)
            rows = {SPACE.name: Segments([Medium.IMAGE], nan, nan, vectors)}
            writer.add(EmbeddedItem(info, rows))
        writer.publish()
        writer.remove([3, 4])
    canary = root.with_name("canary.txt")
    canary.write_text("a canary")
    return Hostile(root, canary)


@dataclass(frozen=True, slots=True)
class Hostile:
    """Runs the cases: first every condition that must be refused, then random ones."""

    root: Path
    canary: Path

    def __call__(self, case: Case) -> str:
        """Filter, and compare what is found with what DuckDB finds by itself."""
        snapshot = Snapshot.open(self.root)
        must_fail = case.number % 200 < len(REFUSED)
        where = self._refused(case) if must_fail else _random_condition(case.chance())
        began = time.monotonic()
        found = _found(snapshot, where)
        took = time.monotonic() - began
        assert took < 10 * DEADLINE_SECONDS, f"{where[:80]!r} took {took:.0f} s"
        assert self.canary.read_text() == "a canary"
        assert len(list(self.root.parent.iterdir())) == 2, "something was written"
        if must_fail:
            assert found is None, f"accepted: {where[:200]!r}"
            return "refused as it must be"
        if found is None:
            return "random and refused"
        wanted = _plain_answer(snapshot, where)
        assert found == wanted, f"{where!r} finds {len(found)} items, DuckDB {len(wanted)}"
        return f"random and equal to DuckDB's own answer ({'some' if found else 'no'} items)"

    def _refused(self, case: Case) -> str:
        condition = REFUSED[case.number % 200]
        return LONG.get(condition, condition.replace("{canary}", str(self.canary)))


def _found(snapshot: Snapshot, where: str) -> list[int] | None:
    """Ids that match; None where the condition is refused in one short line."""
    try:
        return matching_ids(snapshot, where).tolist()
    except FilterError as error:
        words = str(error)
    assert "\n" not in words, words
    assert len(words) < 1_000, f"a message of {len(words)} characters"
    return None


def _plain_answer(snapshot: Snapshot, where: str) -> list[int]:
    """What DuckDB answers to the text as it stands."""
    items = pa.Table.from_batches(snapshot.iter_items())
    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        connection.register("items", items)
        rows = connection.execute(f"SELECT item_id FROM items WHERE ({where})").fetchall()
    return sorted(row[0] for row in rows)


def _random_condition(chance: random.Random, depth: int = 3) -> str:
    """A condition of allowed parts, in random shape; now and then one character is off."""
    condition = _boolean(chance, depth)
    if chance.random() < 0.3:
        place = chance.randrange(len(condition))
        odd = chance.choice(("", "'", '"', "(", ")", "%", "\\", "é", "\n", "0", "--", "NOT "))
        condition = condition[:place] + odd + condition[place + 1 :]
    return condition


def _boolean(chance: random.Random, depth: int) -> str:
    if depth == 0 or chance.random() < 0.3:
        return _comparison(chance)
    left, right = _boolean(chance, depth - 1), _boolean(chance, depth - 1)
    return chance.choice(
        (f"{left} AND {right}", f"{left} OR {right}", f"NOT {left}", f"({left})", f"NOT ({right})")
    )


def _comparison(chance: random.Random) -> str:
    number = chance.choice(("year", "item_id", "price", "year % 7", "price * 2", "-year", "bytes"))
    text = chance.choice(("caption", '"odd name"', "uri", "lower(caption)", "upper(uri)"))
    literal = chance.choice(("1950", "7", "0", "-3", "2.5", "1e3", "999999999999", "length(uri)"))
    word = chance.choice(("'it''s 7%_'", "'%1_'", "'a \\ picture 7'", "'%\\%%'", "''", "'/7.png'"))
    operator = chance.choice(("=", "<>", "<", ">", "<=", ">="))
    return chance.choice(
        (
            f"{number} {operator} {literal}",
            f"{number} BETWEEN {literal} AND {literal} + 20",
            f"{number} IN ({literal}, 8, 9)",
            f"{number} IS NULL",
            f"{text} LIKE {word}",
            f"{text} ILIKE {word}",
            f"{text} NOT LIKE {word} ESCAPE '!'",
            f"{text} {operator} {word}",
            f"{text} IS NOT NULL",
            f"flag = {chance.choice(('true', 'false'))}",
            "flag",
        )
    )
