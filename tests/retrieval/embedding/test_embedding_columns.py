"""`embed` with the columns that lists, tars and Parquet files bring: nothing of them ends a run."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from retrieval.columns.types import json_value
from retrieval.embedding.options import EmbedOptions, EmbedReport
from retrieval.embedding.run import embed
from retrieval.search.items import ItemTable
from retrieval.store.filters.evaluation import matching_ids
from retrieval.store.reader import Snapshot
from support import embed_process
from support.media_files import picture_bytes, write_tar

IMAGES = EmbedOptions(models=("toy:toy",), workers=0)


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    embed_process.use_toys(monkeypatch.setattr)


def run(source: Path, root: Path) -> tuple[EmbedReport, Snapshot]:
    report = embed([source], root, IMAGES)
    return report, Snapshot.open(root)


def rows(snapshot: Snapshot, *names: str) -> list[tuple[object, ...]]:
    items = [row for batch in snapshot.iter_items() for row in batch.to_pylist()]
    return [tuple(item.get(name) for name in names) for item in items]


def listed(folder: Path, name: str, column: str, values: list[object], first: int = 0) -> Path:
    """A list of pictures with one column."""
    with (folder / name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", column])
        for number, value in enumerate(values, first):
            Image.new("RGB", (8, 8), (number % 256, number // 256, 9)).save(
                folder / f"{number}.png"
            )
            writer.writerow([f"{number}.png", value])
    return folder / name


def test_field_04_metadata_of_img2dataset_becomes_columns(tmp_path: Path) -> None:
    members = {}
    for number in range(3):
        key = f"{number:09}"
        described = {
            "key": key, "url": f"http://x/{number}", "width": 384, "height": 256,
            "sha256": "ab", "caption": "a dog", "similarity": 0.5 if number else 1,
            "exif": {"a": 1},
        }  # fmt: skip
        members[f"{key}.jpg"] = picture_bytes("JPEG", seed=number)
        members[f"{key}.json"] = json.dumps(described).encode()
        members[f"{key}.txt"] = b"a dog"
    report, snapshot = run(write_tar(tmp_path / "00000.tar", members), tmp_path / "c")
    assert (sum(report.added.values()), report.failed) == (3, 0)
    assert rows(snapshot, "source_width", "source_sha256", "similarity", "caption", "key") == [
        (384, "ab", 0.5 if number else 1.0, "a dog", f"{number:09}") for number in range(3)
    ]
    renamed = [notice for notice in report.notices if "that the collection uses" in notice]
    assert len(renamed) == 3
    assert all("2 more like this" in notice for notice in renamed)


def test_field_05_one_decimal_among_integers(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    lines = [{"path": f"{n}.png", "r": 1.5 if n == 30 else 1, "b": n == 3 or 0} for n in range(40)]
    listed(tmp_path, "unused.csv", "x", [0] * 40)
    path.write_text("\n".join(map(json.dumps, lines)))
    report, snapshot = run(path, tmp_path / "c")
    assert (sum(report.added.values()), report.failed) == (40, 0)
    assert rows(snapshot, "r") == [(1.5 if n == 30 else 1.0,) for n in range(40)]
    assert rows(snapshot, "b") == [("true" if n == 3 else "0",) for n in range(40)]
    assert matching_ids(snapshot, "r > 1").tolist() == [30]
    assert any("column 'b' holds int64 and bool" in notice for notice in report.notices)


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ([5], [4.5], [5.0, 4.5]),
        ([2**63 - 1], [2**63], [str(2**63 - 1), str(2**63)]),
        (["2020-01-02"], ["2020-01-02 03:04:05"], None),
        ([1], ["x"], ["1", "x"]),
        ([2**53], [0.5], [str(2**53), "0.5"]),
    ],
)
def test_field_05_a_later_list_changes_a_columns_type(
    tmp_path: Path, first: list[object], second: list[object], kept: list[object] | None
) -> None:
    run(listed(tmp_path, "a.csv", "v", first), tmp_path / "c")
    report, snapshot = run(listed(tmp_path, "b.csv", "v", second, 1), tmp_path / "c")
    assert report.failed == 0
    times = [datetime(2020, 1, 2, tzinfo=UTC), datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)]
    assert [value for (value,) in rows(snapshot, "v")] == (kept or times)
    assert any("column 'v'" in notice for notice in report.notices)


def test_field_05_an_unsupported_value_is_null_and_its_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    listed(tmp_path, "unused.csv", "x", [0] * 3)
    values = ["1", "1e999", "2"]
    path.write_text("".join(f'{{"path": "{n}.png", "v": {v}}}\n' for n, v in enumerate(values)))
    report, snapshot = run(path, tmp_path / "c")
    assert (report.failed, rows(snapshot, "v")) == (0, [(1,), (None,), (2,)])
    assert report.notices == [f"{path}, row 2: column 'v' is infinite; stored as null"]
    assert snapshot.failures() == {}


def test_field_25_times_of_hits_are_text_in_json(tmp_path: Path) -> None:
    _, snapshot = run(listed(tmp_path, "a.csv", "taken", ["2020-01-02 03:04:05"]), tmp_path / "c")
    ((_, _, metadata),) = ItemTable(snapshot).rows([0])
    assert metadata["taken"] == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    text = json.dumps({"taken": metadata["taken"]}, default=json_value)
    assert text == '{"taken": "2020-01-02T03:04:05+00:00"}'


def test_field_40_images_in_parquet_are_embedded_and_completed(tmp_path: Path) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pictures = [{"bytes": picture_bytes("PNG", seed=n), "path": f"{n}.png"} for n in range(4)]
    table = {"image": pa.array(pictures, kind), "text": list("abcd"), "label": [3, 1, 4, 1]}
    pq.write_table(pa.table(table), tmp_path / "train-00000-of-00001.parquet")
    source = tmp_path / "train-00000-of-00001.parquet"
    report, snapshot = run(source, tmp_path / "c")
    assert sum(report.added.values()) == 4
    assert rows(snapshot, "uri", "caption", "label") == [
        (f"{source}!{n + 1}/{n}.png", caption, label)
        for n, (caption, label) in enumerate(zip("abcd", [3, 1, 4, 1], strict=True))
    ]
    report, _ = run(source, tmp_path / "c")
    assert (sum(report.added.values()), report.unchanged) == (0, 4)


def test_field_39_a_nested_compressed_tar_is_embedded(tmp_path: Path) -> None:
    inner = write_tar(tmp_path / "i.tar", {"a.png": picture_bytes("PNG"), "a.txt": b"deep"})
    outer = write_tar(tmp_path / "o.tar", {"i.tar": inner.read_bytes()})
    packed = pa.compress(outer.read_bytes(), "gzip", asbytes=True)
    (tmp_path / "o.TAR.GZ").write_bytes(packed)
    for _ in range(2):
        report, snapshot = run(tmp_path / "o.TAR.GZ", tmp_path / "c")
        assert report.failed == 0
        assert rows(snapshot, "uri", "caption") == [(f"{tmp_path}/o.TAR.GZ!i.tar!a.png", "deep")]
    assert report.unchanged == 1
