"""Rows that are read from the buffers of Arrow columns, compared with Arrow's own conversion."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from retrieval.search.item_rows import ItemRows

ROWS = [
    {
        "id": 7, "width": 640, "uri": "/a.jpg", "modality": "image", "seconds": None,
        "is_new": True, "day": date(2024, 2, 29), "taken": datetime(2024, 2, 29, 12, tzinfo=UTC),
    },
    {
        "id": -(2**62), "width": None, "uri": "/東京 🙂.mp4", "modality": "video", "seconds": -0.5,
        "is_new": None, "day": None, "taken": None,
    },
    {
        "id": 9, "width": -1, "uri": "", "modality": None, "seconds": float("inf"),
        "is_new": False, "day": date(1, 1, 1), "taken": datetime(1969, 1, 1, tzinfo=UTC),
    },
]  # fmt: skip
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("width", pa.int32()),
        ("uri", pa.string()),
        ("modality", pa.dictionary(pa.int8(), pa.string())),
        ("seconds", pa.float64()),
        ("is_new", pa.bool_()),
        ("day", pa.date32()),
        ("taken", pa.timestamp("us", "UTC")),
    ]
)
TYPES = {field.name: field.type for field in SCHEMA}


def mapped(path: Path, table: pa.Table, chunk_rows: int) -> pa.Table:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, chunk_rows)
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def present(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if value is not None}


@pytest.mark.parametrize("chunk_rows", [1, 2, 50])
def test_rows_of_several_mapped_and_sliced_tables(tmp_path: Path, chunk_rows: int) -> None:
    values = [ROWS[n % 3] for n in range(20)]
    table = pa.Table.from_pylist(values, SCHEMA)
    rows = ItemRows([mapped(tmp_path / "1", table, chunk_rows), table.slice(4, 9)], TYPES)
    expected = [present(row) for row in [*values, *values[4:13]]]
    assert [rows.row(n) for n in range(29)] == expected
    for position in (-1, 29):
        with pytest.raises(IndexError):
            rows.row(position)


def test_omitted_columns_are_not_read() -> None:
    rows = ItemRows([pa.Table.from_pylist(ROWS, SCHEMA)], TYPES)
    assert rows.row(0, frozenset(SCHEMA.names[2:])) == {"id": 7, "width": 640}
    assert rows.row(0) == present(ROWS[0])


def test_values_have_the_type_that_later_shards_gave_their_column() -> None:
    table = pa.table({"year": pa.array([1990, None]), "rating": pa.array([3, 4])})
    rows = ItemRows([table], {"year": pa.string(), "rating": pa.float64()})
    assert [rows.row(n) for n in range(2)] == [{"year": "1990", "rating": 3.0}, {"rating": 4.0}]


@pytest.mark.parametrize(
    ("offsets", "row"),
    [([0, 1 << 30, 1, 3], 0), ([0, 1 << 30, 1, 3], 1), ([0, -5, 1, 3], 0), ([0, 2, 1, 3], 1)],
)
def test_damaged_offsets_are_refused(offsets: list[int], row: int) -> None:
    buffer = pa.array(offsets, pa.int32()).buffers()[1]
    column = pa.Array.from_buffers(pa.string(), 3, [None, buffer, pa.py_buffer(b"abc")])
    with pytest.raises(ValueError, match=f"has the offsets {offsets[row]} and {offsets[row + 1]}"):
        ItemRows([pa.table({"uri": column})], {}).row(row)


def test_damaged_text_and_codes_are_refused() -> None:
    text = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.array([0, 2], pa.int32()).buffers()[1], pa.py_buffer(b"\xff\xfe")]
    )
    names = pa.DictionaryArray.from_arrays(pa.array([5], pa.int8()), pa.array(["a"]), safe=False)
    for column, reason in ((text, "can't decode byte 0xff"), (names, "a code is 5, there are 1")):
        with pytest.raises(ValueError, match=reason):
            ItemRows([pa.table({"name": column})], {}).row(0)
