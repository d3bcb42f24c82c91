from __future__ import annotations

from decimal import Decimal
from itertools import product

import pyarrow as pa
import pytest

from retrieval.columns.arrow import to_array
from retrieval.columns.types import ColumnType, Converted, common_type, convert_value, type_of

MIXED = {
    frozenset({ColumnType.INT64, ColumnType.DOUBLE}): ColumnType.DOUBLE,
    frozenset({ColumnType.DATE, ColumnType.TIMESTAMP}): ColumnType.TIMESTAMP,
}


@pytest.mark.parametrize(("first", "second"), list(product(ColumnType, repeat=2)))
def test_common_types_follow_the_format(first: ColumnType, second: ColumnType) -> None:
    expected = (
        first if first is second else MIXED.get(frozenset({first, second}), ColumnType.STRING)
    )
    assert common_type(first, second, wide=False) is expected


def test_wide_integers_and_doubles_become_text() -> None:
    assert common_type(ColumnType.INT64, ColumnType.DOUBLE, wide=True) is ColumnType.STRING


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, Converted(True)),
        (float("nan"), Converted(None)),
        (2**63, Converted(str(2**63), "an integer beyond 64 bits; stored as text")),
        (Decimal("1.50"), Converted(1.5)),
        ({"a": [1, float("nan")]}, Converted('{"a": [1, null]}')),
        (b"x", Converted(None, "binary; left out")),
    ],
)
def test_values_are_converted_with_the_problem(value: object, expected: Converted) -> None:
    assert convert_value(value) == expected


def test_values_without_a_column_type_fail() -> None:
    with pytest.raises(TypeError, match="no column holds a bytes"):
        type_of(b"x")  # type: ignore[arg-type]


def test_values_are_stored_with_the_common_type() -> None:
    assert to_array([1, None, 0.5], ColumnType.DOUBLE).equals(pa.array([1.0, None, 0.5]))
    assert to_array([1.5, 5.0, True], ColumnType.STRING).to_pylist() == ["1.5", "5", "true"]
