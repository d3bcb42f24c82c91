"""The Arrow files beside an index: what they hold is checked before it is believed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from indexes.errors import IndexFileError
from retrieval.search.index_files import ROW_SCHEMA, RowTable, open_arrow, write_items
from retrieval.search.items import ItemTable
from retrieval.store.reader import Snapshot
from support.indexed_toys import built, folder_of, sixty_items


@pytest.fixture
def rows() -> pa.Table:
    return pa.table(
        [
            pa.array([1, 1, 2], pa.int64()),
            pa.array([2, 2, 0], pa.int8()),
            pa.array([0.0, 2.0, 0.0], pa.float32()),
            pa.array([2.0, 4.0, 0.0], pa.float32()),
        ],
        schema=ROW_SCHEMA,
    )


def write(path: Path, table: pa.Table) -> Path:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    return path


def test_rows_read_back_as_written(rows: pa.Table, tmp_path: Path) -> None:
    opened = RowTable.open(write(tmp_path / "rows.arrow", rows))
    assert opened.item_ids.tolist() == [1, 1, 2]
    np.testing.assert_array_equal(opened.start_seconds, np.float32([0, 2, 0]))


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.drop_columns(["end_seconds"]),
        lambda table: table.rename_columns(["item_id", "medium", "start_seconds", "x"]),
        lambda table: table.append_column("x", pa.array([1, 2, 3])),
        lambda table: table.set_column(0, "item_id", pa.array(["1", "1", "2"])),
        lambda table: table.set_column(0, "item_id", pa.array([1, None, 2])),
        lambda table: table.select([1, 0, 2, 3]),
    ],
)
def test_fault_13_rows_of_other_columns_fail(
    rows: pa.Table, tmp_path: Path, change: Callable[[pa.Table], pa.Table]
) -> None:
    path = write(tmp_path / "rows.arrow", change(rows))
    with pytest.raises(IndexFileError, match=r"rows\.arrow is damaged \(its columns"):
        RowTable.open(path)


def ids_or_error(path: Path) -> list[int] | str:
    try:
        return RowTable.open(path).item_ids.tolist()
    except IndexFileError as error:
        return str(error)


@pytest.mark.parametrize("bit", range(0, 4096, 61))
def test_fault_13_a_flipped_bit_is_an_error_or_other_rows(
    rows: pa.Table, tmp_path: Path, bit: int
) -> None:
    path = write(tmp_path / "rows.arrow", rows)
    content = bytearray(path.read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    path.write_bytes(content)
    found = ids_or_error(path)
    assert str(path) in found if isinstance(found, str) else len(found) == 3


def test_fault_13_invalid_utf8_text_of_items_fails(tmp_path: Path) -> None:
    root = sixty_items(tmp_path / "c")
    built(root)
    snapshot = Snapshot.open(root)
    path = folder_of(root) / "items.arrow"
    uris = open_arrow(path).column("uri").to_pylist()
    content = path.read_bytes()
    assert content.count(uris[7].encode()) >= 1
    path.write_bytes(content.replace(b"/media/", b"/medi\xff/"))
    items = ItemTable(snapshot)
    with pytest.raises(IndexFileError, match=r"a table of items is damaged .*decode byte 0xff"):
        items.rows([7])


def test_an_unknown_modality_of_an_item_is_damage(tmp_path: Path) -> None:
    root = sixty_items(tmp_path / "c")
    built(root)
    snapshot = Snapshot.open(root)
    path = folder_of(root) / "items.arrow"
    content = path.read_bytes()
    assert b"imageaudiovideo" in content
    path.write_bytes(content.replace(b"imageaudiovideo", b"imbgeaudjovidep"))
    with pytest.raises(IndexFileError, match="item 7 is missing or has no uri or modality"):
        ItemTable(snapshot).rows([7])


@pytest.mark.parametrize(
    ("rows", "size", "lengths"),
    [
        (1, 1 << 30, [20, 24, 14]),
        (1 << 30, 1, [20, 24, 14]),
        (30, 1 << 30, [44, 14]),
        (1 << 30, 1 << 30, [58]),
    ],
)
def test_batches_of_items_are_joined_up_to_a_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, size: int, lengths: list[int]
) -> None:
    snapshot = Snapshot.open(sixty_items(tmp_path / "c"))
    (batch,) = pa.Table.from_batches(snapshot.iter_items()).combine_chunks().to_batches()
    batches = [batch.slice(0, 20), batch.slice(20, 24), batch.slice(44)]
    monkeypatch.setattr(snapshot, "iter_items", lambda after_item_id: iter(batches))
    monkeypatch.setattr("retrieval.search.index_files.BATCH_ROWS", rows)
    monkeypatch.setattr("retrieval.search.index_files.BATCH_BYTES", size)
    write_items(snapshot, tmp_path / "items.arrow", -1, 10**6)
    table = open_arrow(tmp_path / "items.arrow")
    expected = pa.Table.from_batches(batches)
    assert table.column("uri").to_pylist() == expected.column("uri").to_pylist()
    assert table.column("modality").to_pylist() == expected.column("modality").to_pylist()
    assert [len(batch) for batch in table.to_batches()] == lengths
