from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from store_samples import item

from retrieval.errors import ColumnError
from retrieval.store.schema import ITEMS, UserColumns, items_batch


def admitted(*rows: dict[str, Any]) -> UserColumns:
    columns = UserColumns()
    for number, row in enumerate(rows):
        columns.admit(item(number, **row).info)
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


@pytest.mark.parametrize(
    ("first", "second", "types"),
    [
        (1, 1.0, "is int64 .* brings double"),
        (1.0, 1, "is double .* brings int64"),
        (1, True, "is int64 .* brings bool"),
        ("1", 1, "is string .* brings int64"),
    ],
)
def test_two_types_in_one_column_fail(first: object, second: object, types: str) -> None:
    with pytest.raises(ColumnError, match=f"column 'a' {types}"):
        admitted({"a": first}, {"a": second})


@pytest.mark.parametrize("name", ["uri", "item_id", "Caption", "BYTES"])
def test_reserved_name_fails(name: str) -> None:
    with pytest.raises(ColumnError, match=f"column {name!r} is reserved: .*rename yours"):
        admitted({name: 1})


@pytest.mark.parametrize("rows", [[{"Year": 1}, {"year": 1}], [{"Year": 1, "year": 1}]])
def test_names_that_differ_in_case_only_fail(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(ColumnError, match="'Year' and 'year' differ in case only"):
        admitted(*rows)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"": 1}, "without a name"),
        ({"a": [1]}, "column 'a' of /media/0000 is list"),
        ({"a": 2**63}, "over 64 bits"),
        ({"a": "\ud800"}, "column 'a' of /media/0000 is not Unicode"),
        ({"\ud800": "a"}, "the name of a column of /media/0000 is not Unicode"),
    ],
)
def test_value_that_no_column_takes_fails(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ColumnError, match=message):
        admitted(row)


def test_refused_item_leaves_no_type_behind() -> None:
    columns = admitted({"a": 1})
    with pytest.raises(ColumnError):
        columns.admit(item(1, b=1, a="x").info)
    assert columns.names == ("a",)
