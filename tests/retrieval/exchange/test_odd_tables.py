"""Tables as other tools leave them: columns that change, rows out of order, odd vectors."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrieval.exchange.exporting import export
from retrieval.exchange.importing import ImportReport, import_vectors
from retrieval.exchange.options import ImportOptions
from retrieval.store.filters.evaluation import matching_ids
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.targets import ExportLayout
from retrieval.types import Medium
from support.toy_encoder import ToyEncoder

TOY = ToyEncoder(media=tuple(Medium), dim=32)
OPTIONS = ImportOptions(model=TOY.spec, device="cpu")


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.exchange.importing.resolve", lambda model: (model,))
    monkeypatch.setattr("retrieval.exchange.importing.load_encoder", lambda spec, **_: TOY)


def directions(count: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((count, TOY.dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def write(target: Path, vectors: Any, **columns: Any) -> Path:
    if isinstance(vectors, np.ndarray):
        vectors = pa.array(list(vectors.astype(np.float32)), pa.list_(pa.float32()))
    target.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({**columns, "embedding": vectors}), target)
    return target


def import_source(
    source: Path, root: Path, options: ImportOptions = OPTIONS
) -> tuple[ImportReport, Snapshot]:
    return import_vectors(source, root, options), Snapshot.open(root)


def columns_of(snapshot: Snapshot, *names: str) -> list[tuple[object, ...]]:
    rows = [row for batch in snapshot.iter_items() for row in batch.to_pylist()]
    return [tuple(row.get(name) for name in names) for row in rows]


def test_field_53_rows_of_an_item_are_joined_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.exchange.vector_files.BLOCK_ROWS", 2)
    names = ["a.mp4", "b.mp4", "a.mp4", "c.mp4", "b.mp4", "a.mp4"]
    starts = [0.0, 2.0, 4.0, 0.0, 0.0, 2.0]
    vectors = directions(6)
    source = write(
        tmp_path / "v.parquet", vectors, path=names, start_seconds=starts,
        end_seconds=[start + 2 for start in starts],
    )  # fmt: skip
    report, snapshot = import_source(source, tmp_path / "c")
    assert (report.added[Medium.VIDEO], report.unchanged, report.failed) == (3, 0, 0)
    space = snapshot.spaces[0].name
    found = {}
    for item_id, uri in columns_of(snapshot, "item_id", "uri"):
        segments = snapshot.item_segments(space, int(str(item_id)))
        found[Path(str(uri)).name] = segments
    assert found["a.mp4"].start_seconds.tolist() == [0, 2, 4]
    np.testing.assert_allclose(found["a.mp4"].vectors, vectors[[0, 5, 2]], atol=2e-3)
    np.testing.assert_allclose(found["b.mp4"].vectors, vectors[[4, 1]], atol=2e-3)
    np.testing.assert_allclose(found["c.mp4"].vectors, vectors[[3]], atol=2e-3)


def test_field_53_rows_of_one_item_in_several_files(tmp_path: Path) -> None:
    for number in range(3):
        write(
            tmp_path / "in" / f"{number}.parquet", directions(2, number),
            path=["a.mp4", f"{number}.mp4"], start_seconds=[2.0 * number, 0.0],
            end_seconds=[2.0 * number + 2, 1.0],
        )  # fmt: skip
    report, snapshot = import_source(tmp_path / "in", tmp_path / "c")
    assert report.added[Medium.VIDEO] == 4
    (row,) = (row for row in columns_of(snapshot, "uri", "item_id") if "a.mp4" in str(row[0]))
    segments = snapshot.item_segments(snapshot.spaces[0].name, int(str(row[1])))
    expected = np.stack([directions(2, number)[0] for number in range(3)])
    np.testing.assert_allclose(segments.vectors, expected, atol=2e-3)


def test_field_54_shards_that_differ_are_joined(tmp_path: Path) -> None:
    """The first shard is published before the second changes its types."""
    one = write(
        tmp_path / "in" / "0.parquet", directions(2), path=["a.jpg", "b.jpg"],
        n=pa.array([1, 2]), id=pa.array([2**60 + 1, 2**60 + 2]), live=[True, False],
    )  # fmt: skip
    import_source(one, tmp_path / "c")
    two = write(
        tmp_path / "in" / "1.parquet", directions(2, 1), path=["c.jpg", "d.jpg"],
        n=pa.array([0.5, None]), id=pa.array([1.5, 2.0]), live=pa.array([7, None]),
    )  # fmt: skip
    report, snapshot = import_source(two, tmp_path / "c")
    assert report.failed == 0
    assert columns_of(snapshot, "n", "id", "live") == [
        (1.0, str(2**60 + 1), "true"),
        (2.0, str(2**60 + 2), "false"),
        (0.5, "1.5", "7"),
        (None, "2", None),
    ]
    assert matching_ids(snapshot, "n > 0.4 AND n < 2").tolist() == [0, 2]
    assert matching_ids(snapshot, f"id = '{2**60 + 2}'").tolist() == [1]
    assert any("column 'id'" in note and "a double cannot hold" in note for note in report.notes)


def test_field_54_names_that_are_taken_are_renamed(tmp_path: Path) -> None:
    source = write(
        tmp_path / "v.parquet", directions(2), path=["a.jpg", "b.jpg"],
        WIDTH=[3, 4], year=[1, 2], Year=["x", "y"],
    )  # fmt: skip
    report, snapshot = import_source(source, tmp_path / "c")
    assert columns_of(snapshot, "source_WIDTH", "year", "Year_2", "width") == [
        (3, 1, "x", None),
        (4, 2, "y", None),
    ]
    assert sorted(note.partition("; ")[2] for note in report.notes) == [
        "it is stored as 'Year_2' (and 1 more like this)",
        "it is stored as 'source_WIDTH' (and 1 more like this)",
    ]


def test_field_54_every_type_of_arrow_has_its_column(tmp_path: Path) -> None:
    berlin = pa.timestamp("s", "Europe/Berlin")
    source = write(
        tmp_path / "v.parquet", directions(2), path=["a.jpg", "b.jpg"],
        big=pa.array([2**63, 5], pa.uint64()),
        nano=pa.array([1_500_000_000_123_456_000, None], pa.timestamp("ns")),
        exact=pa.array([1_500_000_000_123_456_789, 0], pa.timestamp("ns")),
        zone=pa.array([1_500_000_000, None], berlin),
        far=pa.array([10**15, None], pa.timestamp("s")),
        day=pa.array([date(2020, 1, 2), None]),
        price=pa.array([Decimal("10.40"), Decimal("3.00")]),
        whole=pa.array([Decimal(2**62), None], pa.decimal128(30, 0)),
        small=pa.array([1.5, None], pa.float32()),
        kind=pa.array(["x", "y"]).dictionary_encode(),
        large=pa.array(["l", None], pa.large_string()),
        nested=[{"a": [1]}, None],
        raw=[b"\xff", b"x"],
    )  # fmt: skip
    report, snapshot = import_source(source, tmp_path / "c")
    moment = datetime(2017, 7, 14, 2, 40, 0, 123_456, UTC)
    assert columns_of(
        snapshot, "big", "nano", "exact", "zone", "far", "day", "price", "whole", "small", "kind",
        "large", "nested", "raw",
    ) == [
        (str(2**63), moment, "2017-07-14 02:40:00.123456789", moment.replace(microsecond=0), None,
         date(2020, 1, 2), 10.4, 2**62, 1.5, "x", "l", '{"a": [1]}', None),
        ("5", None, "1970-01-01 00:00:00.000000Z", None, None, None, 3.0, None, None, "y", None,
         None, None),
    ]  # fmt: skip
    notes = "\n".join(report.notes)
    assert "v.parquet, row 0: column 'big' is an integer beyond 64 bits; stored as text" in notes
    assert "v.parquet, row 0: column 'far' is a timestamp[ms] out of range; stored as null" in notes
    assert "v.parquet: column 'raw' is binary; left out" in notes
    for layout in (ExportLayout.PARQUET, ExportLayout.NPY):
        out = tmp_path / layout.value
        export(snapshot, out, layout)
        _, again = import_source(out, tmp_path / f"again-{layout.value}")
        names = snapshot.items_schema().names
        assert again.items_schema() == snapshot.items_schema()
        assert columns_of(again, *names) == columns_of(snapshot, *names)


def test_field_54_vectors_of_odd_shapes(tmp_path: Path) -> None:
    vectors = directions(4)
    rows = [vectors[0][:3].tolist(), *vectors[1:].tolist()]
    kind = pa.list_(pa.float32())
    write(tmp_path / "in" / "0.parquet", pa.array(rows, kind), path=list("abcd"))
    write(tmp_path / "in" / "1.parquet", pa.array([], kind), path=pa.array([], pa.string()))
    second = pa.array([[0.5] * 900] * 2, kind)
    write(tmp_path / "in" / "2.parquet", directions(2, 1), path=["e", "f"], other=second)
    report, snapshot = import_source(tmp_path / "in", tmp_path / "c")
    assert (report.added[Medium.IMAGE], report.failed) == (5, 1)
    assert "0.parquet, row 0" in report.failures[0].reason
    assert "other" not in snapshot.items_schema().names
    notes = "\n".join(report.notes)
    assert "2.parquet: column 'other' holds vectors as well; left out" in notes
    assert "1.parquet holds no rows" in notes


@pytest.mark.parametrize(
    "dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
)
def test_field_54_integer_vectors_are_converted_to_floats(tmp_path: Path, dtype: str) -> None:
    vectors = np.abs(directions(3)) if dtype.startswith("u") else directions(3)
    integers = np.trunc(vectors / np.abs(vectors).max() * (np.iinfo(dtype).max // 2)).astype(dtype)
    np.save(tmp_path / "v.npy", integers)
    column = pa.array(list(integers), pa.list_(pa.from_numpy_dtype(integers.dtype)))
    write(tmp_path / "p" / "v.parquet", column, path=list("abc"))
    expected = integers / np.linalg.norm(integers.astype(np.float64), axis=1, keepdims=True)
    for source, root in ((tmp_path / "v.npy", "c"), (tmp_path / "p", "d")):
        report, snapshot = import_source(source, tmp_path / root)
        assert report.added[Medium.IMAGE] == 3
        space = snapshot.spaces[0].name
        stored = np.concatenate(
            [snapshot.item_segments(space, item_id).vectors for item_id in range(3)]
        )
        np.testing.assert_allclose(stored, expected, atol=2e-3)


def test_field_54_columns_are_chosen_and_dropped(tmp_path: Path) -> None:
    source = write(
        tmp_path / "v.parquet", directions(1), path=["a.jpg"], caption=["x"], a=[1], b=[2],
        c=[3],
    )  # fmt: skip
    for options, names in (
        ({"columns": ("a", "b")}, {"a", "b"}),
        ({"drop": ("a",)}, {"b", "c"}),
        ({"columns": ("a", "b"), "drop": ("b", "nothing")}, {"a"}),
    ):
        root = tmp_path / "-".join(sorted(names))
        report, snapshot = import_source(
            source, root, ImportOptions(TOY.spec, device="cpu", **options)
        )  # type: ignore[arg-type]
        found = set(snapshot.user_columns().names)
        assert found == names
        assert columns_of(snapshot, "caption") == [("x",)]
        assert any("'nothing'" in note for note in report.notes) == ("nothing" in str(options))


def test_field_49_ids_of_19_digits_in_metadata_stay_exact(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", directions(5))
    first = 1593901234567890450
    lines = [f"{number}.jpg,{first + number}" for number in range(5)]
    (tmp_path / "v.csv").write_text("path,tweet\n" + "\n".join(lines))
    _, snapshot = import_source(tmp_path / "v.npy", tmp_path / "c")
    assert columns_of(snapshot, "tweet") == [(first + number,) for number in range(5)]
    with CollectionWriter.open(tmp_path / "c") as writer:
        writer.remove(matching_ids(snapshot, f"tweet = {first + 3}").tolist())
    left = columns_of(Snapshot.open(tmp_path / "c"), "tweet")
    assert left == [(first + number,) for number in (0, 1, 2, 4)]
