from __future__ import annotations

import dataclasses
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from store_samples import item

from retrieval.columns.types import ColumnType
from retrieval.errors import ColumnError
from retrieval.store.schema import ITEMS, items_batch
from retrieval.store.user_columns import UserColumns


def admitted(*rows: dict[str, Any]) -> UserColumns:
    columns = UserColumns()
    for number, row in enumerate(rows):
        columns.register(item(number, **row).info)
    return columns


def test_types_come_from_the_first_value_that_is_not_null() -> None:
    columns = admitted({"a": None, "b": True}, {"a": 1.5, "c": "x"}, {"d": 7, "a": None})
    own = list(columns.items_schema())[len(ITEMS) :]
    assert own == [
        pa.field("b", pa.bool_()),
        pa.field("a", pa.float64()),
        pa.field("c", pa.string()),
        pa.field("d", pa.int64()),
    ]


def test_batch_holds_null_where_an_item_lacks_a_column() -> None:
    columns = admitted({"a": 1}, {"b": "x"})
    infos = [item(0, a=1).info, item(1, b="x").info]
    rows = items_batch(40, infos, columns.items_schema()).to_pylist()
    assert [(row["item_id"], row["modality"], row["a"], row["b"]) for row in rows] == [
        (40, "image", 1, None),
        (41, "audio", None, "x"),
    ]


def stored(*rows: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, str], list[str]]:
    """The user's columns of some items as they are stored, their types, and the notices."""
    columns = UserColumns()
    infos = [columns.register(item(number, **row).info) for number, row in enumerate(rows)]
    batch = items_batch(0, infos, columns.items_schema())
    values = batch.select(columns.names).to_pylist()
    return values, {n: str(k) for n, k in columns.types().items()}, columns.notices.lines()


NOON = datetime(2020, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "kind", "kept"),
    [
        ([1, 1.5], "double", [1.0, 1.5]),
        ([1.5, 2**53 - 1], "double", [1.5, float(2**53 - 1)]),
        ([2**53, 1.5], "text", ["9007199254740992", "1.5"]),
        ([1.5, -(2**53)], "text", ["1.5", "-9007199254740992"]),
        ([1, 1.5, 2**60 + 1], "text", ["1", "1.5", str(2**60 + 1)]),
        ([1, True], "text", ["1", "true"]),
        (["x", 1, 2.5, None], "text", ["x", "1", "2.5", None]),
        ([2**63 - 1, 2**63], "text", [str(2**63 - 1), str(2**63)]),
        ([-(2**63), 2**63 - 1], "int64", [-(2**63), 2**63 - 1]),
        ([date(2020, 1, 2), NOON], "timestamp", [datetime(2020, 1, 2, tzinfo=UTC), NOON]),
        ([date(2020, 1, 2), 7], "text", ["2020-01-02", "7"]),
        ([NOON, "late"], "text", ["2020-01-02 12:00:00.000000Z", "late"]),
        ([Decimal("10.40"), 3], "double", [10.4, 3.0]),
        ([[1, "a"], {"b": None}], "text", ['[1, "a"]', '{"b": null}']),
    ],
)
def test_field_05_a_column_widens_and_no_digit_is_lost(
    given: list[Any], kind: str, kept: list[Any]
) -> None:
    values, types, notices = stored(*({"a": value} for value in given))
    assert types == {"a": kind}
    assert [row["a"] for row in values] == kept
    if kind == "text" and not any(isinstance(value, str | list) for value in given):
        assert "column 'a'" in notices[-1]
        assert "text" in notices[-1]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (math.inf, "infinite; stored as null"),
        (b"\xff\xd8", "binary; left out"),
        ("\ud800", "not Unicode; written with `?`"),
        (10**5000, "more than 4,000 digits; stored as null"),
        (Decimal("0.1234567890123456789"), "stored as the nearest one"),
        (Decimal("12345678901234567.25"), "stored as text"),
        (2**63, "beyond 64 bits; stored as text"),
    ],
    ids=["infinity", "bytes", "surrogate", "digits", "fraction", "decimal", "integer"],
)
def test_field_05_a_value_that_changes_is_named_with_its_item(value: object, problem: str) -> None:
    _, _, notices = stored({"a": 1}, {"a": value})
    assert notices[0].startswith("/media/0001: column 'a' is ")
    assert problem in notices[0]


@pytest.mark.parametrize("name", ["uri", "item_id", "Caption", "BYTES"])
def test_field_04_a_reserved_name_gets_a_prefix_and_one_notice(name: str) -> None:
    values, _, notices = stored({name: 1}, {name: 2}, {name: 3})
    assert values == [{f"source_{name}": number} for number in (1, 2, 3)]
    (notice,) = notices
    assert repr(name) in notice
    assert f"'source_{name}'" in notice
    assert "2 more" in notice


def test_field_04_a_prefixed_name_that_is_taken_gets_a_number() -> None:
    values, _, _ = stored({"width": 1, "source_width": 2}, {"width": 3})
    assert values == [
        {"source_width": 2, "source_width_2": 1},
        {"source_width": 3, "source_width_2": None},
    ]


@pytest.mark.parametrize("rows", [[{"Year": 1}, {"year": 2}], [{"Year": 1, "year": 2}]])
def test_field_54_a_name_that_differs_in_case_only_gets_a_number(
    rows: list[dict[str, Any]],
) -> None:
    values, _, notices = stored(*rows)
    found = {key: value for row in values for key, value in row.items() if value is not None}
    assert found == {"Year": 1, "year_2": 2}
    assert "column 'year' differs from another in case only; it is stored as 'year_2'" in notices[0]


def test_field_05_impossible_column_names_are_changed() -> None:
    values, _, notices = stored({"": 1, "\ud800": 2})
    assert values == [{"unnamed": 1, "?": 2}]
    assert len(notices) == 2


def test_field_05_a_stored_column_widens_only_if_its_integers_are_exact() -> None:
    types = {"small": ColumnType.INT64, "wide": ColumnType.INT64}
    columns = UserColumns(types, lambda name: name == "wide")
    columns.register(item(0, small=1.5, wide=1.5).info)
    assert columns.types() == {"small": ColumnType.DOUBLE, "wide": ColumnType.STRING}


def test_a_refused_item_adds_no_column() -> None:
    columns = admitted({"a": 1})
    refused = dataclasses.replace(item(1, b=1, a="x").info, caption="\ud800")
    with pytest.raises(ColumnError, match="the caption of /media/0001 is not Unicode"):
        columns.register(refused)
    assert columns.names == ("a",)
