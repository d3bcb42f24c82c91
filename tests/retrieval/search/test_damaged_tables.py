"""Bits that flip in the tables beside an index: one accurate line, or the same answer."""

import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from indexes.errors import IndexFileError, RetrievalError
from retrieval.search.index_files import PLACE, ROW_SCHEMA, RowTable
from retrieval.search.indexing.build import build_index
from retrieval.search.open_space import OpenedSpace
from retrieval.search.options import SearchOptions
from retrieval.search.searcher import Searcher
from retrieval.search.vector_query import VectorQuery
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.types import Medium
from support.indexed_toys import ENCODER
from support.vector_items import SPACE, directions, item_of, write_items

VECTORS = directions(60)
VECTORS[20:35] = VECTORS[3]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "c"
    items = [item_of(f"{n}.jpg", Medium.IMAGE, VECTORS[n : n + 1], year=n) for n in range(60)]
    write_items(root, items)
    build_index(root, encoders=lambda _: ENCODER)
    return root


def folder_of(root: Path) -> Path:
    return Snapshot.open(root).index_folders(SPACE.name)[0]


def ask(root: Path) -> None:
    searcher = Searcher(Snapshot.open(root), lambda _: ENCODER)
    query = VectorQuery.of(directions(1, 9)[0])
    hits = searcher.search(query, SearchOptions(k=60)).hits
    assert all(hit.uri and -1 <= hit.score <= 1 for hit in hits)


@pytest.mark.parametrize("name", ["rows.arrow", "items.arrow"])
def test_field_60_a_flipped_bit_never_ends_in_a_traceback(root: Path, name: str) -> None:
    path, rng = folder_of(root) / name, random.Random(1)
    whole = path.read_bytes()
    for _ in range(60):
        flipped = bytearray(whole)
        flipped[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        with suppress(RetrievalError):  # or the same answer, where nothing reads the bit
            ask(root)
        assert any(name in line for line in verify(root))


def changed(path: Path, column: str, row: int, value: int) -> None:
    """Write rows.arrow anew with one number changed."""
    with pa.ipc.open_file(path) as file:
        table = file.read_all()
    values = table.column(column).to_numpy().copy()
    values[row] = value
    place = table.schema.get_field_index(column)
    table = table.set_column(place, table.schema.field(place), pa.array(values))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("item_id", 1 << 40, "its item ids are not ascending"),
        ("item_id", -5, "its item ids are not ascending"),
        ("medium", 77, "it contains an unknown medium"),
        ("medium", -1, "it contains an unknown medium"),
        ("place", 1 << 50, "its rows do not match the vectors"),
        ("place", -1, "its rows do not match the vectors"),
        ("place", 59, "its rows do not match the vectors"),
    ],
)
def test_field_60_impossible_rows_are_reported(
    root: Path, column: str, value: int, reason: str
) -> None:
    path = folder_of(root) / "rows.arrow"
    changed(path, column, 7, value)
    with pytest.raises(IndexFileError, match=reason) as caught:
        RowTable.open(path)
    assert str(caught.value).startswith(f"{path} is damaged (")
    assert "build the index again" in str(caught.value)


def test_rows_of_another_part_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the right size; the manifest's digest is not looked at when a collection is opened."""
    snapshot, open_rows = Snapshot.open(root), RowTable.open

    def fewer(path: Path) -> RowTable:
        rows = open_rows(path)
        parts = (rows.item_ids, rows.media, rows.start_seconds, rows.end_seconds)
        return RowTable(*(part[:50] for part in parts))

    monkeypatch.setattr(RowTable, "open", fewer)
    with pytest.raises(IndexFileError, match="50 rows of 50 vectors, expected 60 of 45"):
        OpenedSpace(snapshot, SPACE)


def test_vector_numbers_are_written_only_for_equal_rows(root: Path, tmp_path: Path) -> None:
    with pa.ipc.open_file(folder_of(root) / "rows.arrow") as file:
        assert file.schema == ROW_SCHEMA.append(PLACE)
    rows = RowTable.open(folder_of(root) / "rows.arrow")
    rows.vector_numbers = None
    rows.write(tmp_path / "rows.arrow")
    assert RowTable.open(tmp_path / "rows.arrow").vector_numbers is None
    np.testing.assert_array_equal(RowTable.open(tmp_path / "rows.arrow").item_ids, np.arange(60))
