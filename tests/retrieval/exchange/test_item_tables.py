"""Groups of rows are stored in columns with the results of storing their items one by one."""

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrieval.exchange.importing import import_vectors
from retrieval.exchange.item_tables import ItemTable
from retrieval.exchange.options import ImportOptions
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.types import Medium
from support.toy_encoder import ToyEncoder

TOY = ToyEncoder(media=tuple(Medium), dim=16)
ROWS, ITEMS = 60, 100


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.exchange.importing.resolve", lambda model: (model,))
    monkeypatch.setattr("retrieval.exchange.importing.load_encoder", lambda spec, device: TOY)
    monkeypatch.setattr("retrieval.exchange.vector_files.BLOCK_ROWS", 13)


@pytest.fixture
def batch_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of items that were stored in columns."""
    sizes: list[int] = []
    add_batch = CollectionWriter.add_batch

    def counted(self: CollectionWriter, batch: Any) -> None:
        sizes.append(batch.items.num_rows)
        add_batch(self, batch)

    monkeypatch.setattr(CollectionWriter, "add_batch", counted)
    return sizes


def vectors(rng: np.random.Generator, count: int = ROWS) -> np.ndarray:
    return rng.standard_normal((count, TOY.dim)).astype(np.float32)


def write(target: Path, rows: np.ndarray, columns: dict[str, Any]) -> None:
    target.parent.mkdir(exist_ok=True)
    kind = pa.list_(pa.float32())
    embedding = pa.array([None if np.isinf(row).all() else row for row in rows], kind)
    pq.write_table(pa.table({**columns, "embedding": embedding}), target)


def content(source: Path, root: Path, options: ImportOptions) -> dict[str, Any]:
    """Everything that an import stores and reports."""
    report = asdict(import_vectors(source, root, options))
    del report["seconds"]
    report["notes"] = sorted(report["notes"])
    report["failures"].sort(key=lambda failure: failure["uri"])
    snapshot = Snapshot.open(root)
    (space,) = snapshot.spaces
    blocks = list(snapshot.iter_segments(space.name))
    return {
        "report": report,
        "schema": snapshot.items_schema(),
        "items": [row for batch in snapshot.iter_items() for row in batch.to_pylist()],
        "texts": [row for batch in snapshot.texts() for row in batch.to_pylist()],
        "segments": [
            (int(id_), int(medium), None if np.isnan(start) else (start, end), vector.tolist())
            for block in blocks
            for id_, medium, start, end, vector in zip(
                block.item_ids, block.media, block.start_seconds, block.end_seconds,
                block.vectors, strict=True,
            )
        ],
        "failures": snapshot.failures(),
    }  # fmt: skip


def compare(
    monkeypatch: pytest.MonkeyPatch, folder: Path, options: ImportOptions | None = None
) -> dict[str, Any]:
    options = options or ImportOptions(model=TOY.spec, device="cpu")
    found = content(folder / "in", folder / "columns", options)
    with monkeypatch.context() as patch:
        patch.setattr(ItemTable, "of", lambda group: None)
        expected = content(folder / "in", folder / "rows", options)
    for part in expected:
        assert found[part] == expected[part], part
    return found


def odd_names(rng: np.random.Generator) -> list[Any]:
    names: list[Any] = [f"{number % 7}/{number}.jpg" for number in range(ROWS)]
    names[3:14] = [
        "/a//b/../c.jpg", "./d.jpg", "100%.png", "é.jpg", ".hidden", "x.tar!m.mp3", "", None,
        "http://x.y/z.jpg", "nul\0.jpg", "a/",
    ]  # fmt: skip
    return names


def mixed_columns(rng: np.random.Generator) -> dict[str, Any]:
    """Metadata of every type, with nulls and values that are left out without a notice."""

    def some(value: Callable[[int], Any]) -> list[Any]:
        return [None if rng.random() < 0.3 else value(number) for number in range(ROWS)]

    captions = ["  a dog ", '["x", "y"]', "", "é", "two\nlines", "[x", "a" * 10_001]
    moment = datetime(2020, 1, 2, 3, 4, 5, 6, UTC)
    return {
        "path": odd_names(rng),
        "caption": some(lambda number: captions[number % len(captions)]),
        "width": some(lambda number: [640, -1, 2**31, 5][number % 4]),
        "height": some(lambda number: [480.7, np.nan, -0.5, 1e300][number % 4]),
        "bytes": some(lambda number: number),
        "mtime": some(lambda number: number / 2),
        "sha256": some(lambda number: f"{number:x}"),
        "text_column": some(lambda number: f"word é {number}"),
        "kind": pa.array(some(lambda number: "xyz"[number % 3])).dictionary_encode(),
        "whole": pa.array(some(lambda number: number - 30), pa.int16()),
        "real": some(lambda number: float("nan") if number % 5 == 0 else number / 3),
        "single": pa.array(some(lambda number: number / 3), pa.float32()),
        "flag": some(lambda number: number % 2 == 0),
        "day": some(lambda number: date(2020, 1, 1 + number % 28)),
        "time": some(lambda number: moment.replace(second=number % 60)),
        "price": some(lambda number: number + Decimal("0.25")),
        "tags": some(lambda number: [f"t{number}", "u"]),
        "late": [None] * 40 + list(range(ROWS - 40)),
        "empty": pa.nulls(ROWS),
    }


@pytest.mark.parametrize("seed", range(3))
def test_pictures_with_columns_of_every_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_sizes: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = vectors(rng)
    rows[[5, 17, 30, 31]] = np.array([[0], [np.nan], [np.inf], [1e30]])
    write(tmp_path / "in" / "0.parquet", rows, mixed_columns(rng))
    found = compare(monkeypatch, tmp_path)
    assert (len(found["items"]), found["report"]["failed"]) == (56, 4)
    assert sum(batch_sizes) > 35
    names = ["late", "whole", "tags", "price"]
    assert {name: str(found["schema"].field(name).type) for name in names} == {
        "late": "int64", "whole": "int64", "tags": "string", "price": "double",
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_segments_of_recordings_and_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_sizes: list[int], seed: int
) -> None:
    """Items of one to four rows in any order, some with wrong rows, some with rows elsewhere."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 5, ITEMS)
    numbers = np.repeat(np.arange(ITEMS), counts)
    numbers[rng.integers(0, len(numbers), 3)] = 7
    count = len(numbers)
    suffixes = ["mp4", "wav", "jpg", "mp4", "wav", "mp4"]
    starts = rng.permutation(count) / 2
    columns = {
        "path": [f"{number}.{suffixes[number % 6]}" for number in numbers],
        "start_seconds": [None if rng.random() < 0.1 else start for start in starts],
        "end_seconds": [None if rng.random() < 0.1 else start + 0.5 for start in starts],
        "duration_seconds": [None if number % 3 == 0 else 9.0 for number in numbers],
        "medium": [[None, "video", "audio", "odd"][number] for number in rng.integers(0, 4, count)],
        "title": [f"row {row}" for row in range(count)],
    }
    rows = vectors(rng, count)
    rows[rng.integers(0, count, 3)] = 0
    write(tmp_path / "in" / "0.parquet", rows, columns)
    found = compare(monkeypatch, tmp_path)
    assert sum(batch_sizes) >= ITEMS / 3
    assert found["report"]["rows"] == count


def test_types_and_names_that_change_between_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_sizes: list[int]
) -> None:
    rng = np.random.default_rng(0)
    first = {
        "n": list(range(ROWS)),
        "big": [2**53 + row for row in range(ROWS)],
        "Year": [1] * ROWS,
    }
    second = {"n": [row + 0.5 for row in range(ROWS)], "big": [0.5] * ROWS, "year": [2] * ROWS}
    third = {"n": ["x"] * ROWS, "big": list(range(ROWS)), "URI": ["y"] * ROWS}
    fourth = {"n": [7] * ROWS, "inf": [float("inf")] * ROWS}
    for number, columns in enumerate((first, second, third, fourth)):
        names = [f"{number}-{row}.jpg" for row in range(ROWS)]
        write(tmp_path / "in" / f"{number}.parquet", vectors(rng), {"path": names, **columns})
    found = compare(monkeypatch, tmp_path)
    assert len(found["items"]) == 4 * ROWS
    assert found["items"][0]["big"] == str(2**53)
    assert {item["year_2"] for item in found["items"]} == {None, 2}
    assert sum(batch_sizes) >= ROWS - 10


def test_selected_columns_and_repeated_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_sizes: list[int]
) -> None:
    rng = np.random.default_rng(0)
    columns = {
        "where": [f"{row}.jpg" for row in range(ROWS)],
        "said": [None if row % 2 else f"caption {row}" for row in range(ROWS)],
        "a": [1] * ROWS,
        "b": [2] * ROWS,
    }
    write(tmp_path / "in" / "0.parquet", vectors(rng), columns)
    options = ImportOptions(
        TOY.spec, device="cpu", path_column="where", caption_column="said",
        columns=("a", "missing"),
    )  # fmt: skip
    found = compare(monkeypatch, tmp_path, options)
    assert found["report"]["notes"] == ["no row has a column 'missing'"]
    assert found["schema"].names[-1] == "a"
    before, stored = (tmp_path / "columns" / "CURRENT").read_bytes(), sum(batch_sizes)
    again = content(tmp_path / "in", tmp_path / "columns", options)
    assert (again["report"]["unchanged"], sum(batch_sizes)) == (ROWS, stored)
    assert (tmp_path / "columns" / "CURRENT").read_bytes() == before


def test_an_array_with_and_without_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_sizes: list[int]
) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "a.npy", vectors(rng).astype(np.float16))
    np.save(tmp_path / "in" / "b.npy", 1e200 * vectors(rng).astype(np.float64))
    names = [f"{row // 2}.jpg" for row in range(ROWS)]  # pictures with two vectors each
    pq.write_table(pa.table({"path": names, "n": range(ROWS)}), tmp_path / "in" / "b.parquet")
    found = compare(monkeypatch, tmp_path)
    assert len(found["items"]) == ROWS + ROWS // 2
    assert found["report"]["notes"] == [
        "30 further vectors of pictures were left out: a picture has one"
    ]
    assert sum(batch_sizes) >= ROWS


def test_states_of_files_that_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_sizes: list[int]
) -> None:
    """Files that changed since they were described, that did not, and that are gone."""
    names = [f"{row % 3}/{row}.jpg" for row in range(ROWS)]
    sizes, times = [], []
    for row, name in enumerate(names):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if row % 3 < 2 and row % 7:
            path.write_bytes(b"x" * row)
        sizes.append(row if row % 4 else None)
        times.append(path.stat().st_mtime if path.exists() and row % 5 else 5.0)
    columns = {"path": names, "bytes": sizes, "mtime": times, "sha256": ["d"] * ROWS}
    write(tmp_path / "in" / "0.parquet", vectors(np.random.default_rng(0)), columns)
    found = compare(monkeypatch, tmp_path)["items"]
    states = [(item["bytes"], item["sha256"]) for item in found]
    assert states[1] == (1, "d")  # unchanged
    assert states[2] == (2, "d")  # gone
    assert states[4][0] == 4  # without a size
    assert states[4][1] != "d"
    assert states[28] == (0, "")  # gone, without a size
    assert sum(batch_sizes) == ROWS


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_rows_of_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_sizes: list[int], suffix: str
) -> None:
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "a.npy", vectors(np.random.default_rng(0)))
    rows: list[dict[str, Any]] = [
        {"path": f"{row}.jpg", "caption": f"picture {row}", "year": 1990 + row, "score": row / 4,
         "day": f"2020-01-{1 + row % 28:02}", "flag": row % 2 == 0, "tweet": 2**60 + row}
        for row in range(ROWS)
    ]  # fmt: skip
    with (tmp_path / "in" / f"a.{suffix}").open("w") as file:
        if suffix == "csv":
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
        else:
            for row in rows[:-1]:
                file.write(json.dumps(row) + "\n")
            file.write(json.dumps({"path": "last.jpg", "year": "unknown", "extra": [1]}) + "\n")
    found = compare(monkeypatch, tmp_path)
    first = found["items"][1]
    assert first["tweet"] == 2**60 + 1
    assert first["score"] == 0.25
    if suffix == "csv":
        assert sum(batch_sizes) == ROWS
        assert (first["day"], first["flag"], first["year"]) == (date(2020, 1, 2), False, 1991)
    else:
        assert sum(batch_sizes) == 52  # the last block has values of several types
        assert first["year"] == "1991"
        assert found["items"][-1]["extra"] == "[1]"
