"""Conditions give the same items in Qdrant as in the collection."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from retrieval.columns.types import ColumnType
from retrieval.engines.qdrant.address import QdrantAddress
from retrieval.engines.qdrant.conditions import condition_filter
from retrieval.engines.qdrant.generations import PushedGeneration, open_current
from retrieval.engines.qdrant.payload import payload_columns
from retrieval.engines.qdrant.push import push
from retrieval.engines.qdrant.server import QdrantServer
from retrieval.errors import FilterError
from retrieval.store.filters.evaluation import matching_ids
from retrieval.store.reader import Snapshot

LISTED_DAYS = [f"'2021-{n // 9 + 1:02}-{n % 9 + 1:02}'" for n in range(108)]

LEAVES = [
    "number > 20", "number <= 41.5", "number = 12", "number <> 12", "number = 12.5", "12 < number",
    "number BETWEEN 10 AND 30", "number NOT BETWEEN 10 AND 30", "number BETWEEN NULL AND 30",
    "number IN (1, 2, 50)", "number IN (1, NULL)", "number NOT IN (1, NULL)", "number > -3",
    "\"odd name.x\" = 3", "\"odd name.x\" <> 3", "\"odd name.x\" NOT IN (1, 2)",
    "price = 2.5", "price <> 2.5", "price IN (0, 0.25, 9.75)", "price >= 7", "price IS NULL",
    "name = 'name 3'", "name <> 'name 3'", "name IN ('name 1', 'name 2')", "name IS NOT NULL",
    "name LIKE 'name 1%'", "name NOT LIKE 'name 1%'", "name LIKE '%me 1%'", "name LIKE '%'",
    "name LIKE 'name 3'", "name LIKE 'name 1!%%' ESCAPE '!'", "name = NULL", "name IN ('it''s')",
    "flag", "NOT flag", "flag = TRUE", "flag <> TRUE", "flag IS TRUE", "flag IS NOT TRUE",
    "flag IN (TRUE, FALSE)", "flag IS NULL", "taken >= '2020-01-10'", "taken = '2020-01-10'",
    "taken < '2020-01-15T12:00:00+02:00'", "taken = '2020-01-02 01:30:00'", "taken IS NULL",
    "taken BETWEEN '2020-01-05' AND '2020-01-09 08:30:00'", "day = '2021-02-02'",
    "day > '2021-06-01'", "day <= DATE '2021-03-05'", "day < '2021-03-05 12:00:00'",
    "day IN ('2021-02-02', '2021-03-03')", "medium = 'vinyl'", "medium <> 'vinyl'",
    "start_seconds >= 3", "modality = 'video'", "item_id < 40", "caption = 'caption 8'",
    "uri LIKE '/media/1%'", "width IS NULL", "TRUE", "FALSE", "NULL", "version = 0",
    f"item_id IN ({', '.join(map(str, range(0, 900, 2)))})",
    f"item_id NOT IN ({', '.join(map(str, range(0, 900, 3)))})",
    f"price IN ({', '.join(f'{n / 4:.2f}' for n in range(0, 500, 3))})",
    f"day IN ({', '.join(LISTED_DAYS)})",
]  # fmt: skip


Pushed = tuple[QdrantServer, PushedGeneration, Snapshot]


@contextmanager
def pushed_to(address: str, root: Path) -> Iterator[Pushed]:
    push(root, address)
    with QdrantServer(QdrantAddress.parse(address)) as server:
        yield server, open_current(server, "toys"), Snapshot.open(root)


@pytest.fixture(scope="module")
def pushed(toys: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushed]:
    folder = tmp_path_factory.mktemp("conditions") / "q"
    with pushed_to(f"qdrant+file:{folder}#toys", toys) as found:
        yield found


def combined(rng: random.Random, depth: int) -> str:
    if depth == 0:
        return rng.choice(LEAVES)
    parts = [combined(rng, rng.randrange(depth)) for _ in range(2)]
    return rng.choice(
        [f"({parts[0]}) AND ({parts[1]})", f"({parts[0]}) OR ({parts[1]})", f"NOT ({parts[0]})"]
    )


CONDITIONS = LEAVES + [combined(random.Random(seed), 3) for seed in range(120)]


def assert_same_items(pushed: Pushed, conditions: list[str]) -> None:
    """Compare the items of conditions with those that DuckDB finds in the collection."""
    server, generation, snapshot = pushed
    differing = {}
    for where in conditions:
        condition = condition_filter(where, generation.card.columns)
        records, _ = server.call(
            "scroll", generation.collection, scroll_filter=condition, limit=100_000
        )
        found = sorted({record.payload["item_id"] for record in records})
        expected = matching_ids(snapshot, where).tolist()
        if found != expected:
            differing[where[:200]] = (found, expected)
    assert not differing


def test_conditions_give_the_same_items(pushed: Pushed) -> None:
    assert_same_items(pushed, LEAVES)


def test_conditions_give_the_same_items_in_qdrants_own_engine(toys: Path, edge) -> None:
    """With indexes of the payload."""
    with pushed_to("qdrant://edge/toys", toys) as found:
        info = edge.shards[found[1].collection].info()
        assert {"item_id", "price", '"odd name.x"', "source_medium"} <= set(info.payload_schema)
        assert_same_items(found, CONDITIONS)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("number + 1 > 3", "Qdrant cannot evaluate"),
        ("number > price", "Qdrant cannot evaluate"),
        ("name > 'a'", "Qdrant cannot evaluate"),
        ("name ILIKE 'a%'", "Qdrant cannot evaluate"),
        ("name LIKE '%a'", "Qdrant cannot evaluate"),
        ("name LIKE 'a%b%'", "Qdrant cannot evaluate"),
        ("name LIKE 'a_'", "Qdrant cannot evaluate"),
        ("lower(name) = 'a'", "Qdrant cannot evaluate"),
        ("length(name) = 3", "Qdrant cannot evaluate"),
        ("regexp_matches(name, 'a')", "Qdrant cannot evaluate"),
        ("list_contains(name, 'a')", "Qdrant cannot evaluate"),
        ("(number > 3) IS NULL", "Qdrant cannot evaluate"),
        ("1 = 1", "Qdrant cannot evaluate"),
        ("number > 9007199254740993", "not exact near 9007199254740993"),
        ("nothing = 3", "no column"),
        ("name = 3", "column 'name' is text"),
        ("flag = 1", "column 'flag' is bool"),
    ],
)
def test_other_conditions_are_one_clear_error(pushed, where: str, message: str) -> None:
    _, generation, _ = pushed
    with pytest.raises(FilterError) as caught:
        condition_filter(where, generation.card.columns)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_columns_whose_names_cannot_be_written_are_refused() -> None:
    columns = payload_columns((("item_id", ColumnType.INT64), ('a"b', ColumnType.INT64)))
    with pytest.raises(FilterError, match=r"Qdrant cannot filter by 'a\"b'"):
        condition_filter('"a""b" > 3', columns)


def test_columns_do_not_take_the_keys_of_rows() -> None:
    types = tuple((name, ColumnType.STRING) for name in ("medium", "source_medium", "name"))
    keys = {column.name: column.key for column in payload_columns(types)}
    assert keys == {
        "medium": "source_source_medium",
        "source_medium": "source_medium",
        "name": "name",
    }
