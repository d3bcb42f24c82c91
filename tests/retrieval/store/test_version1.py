"""A collection that a release of schema version 1 wrote; see version1/make.py."""

import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from store_samples import unit

from retrieval.store.compact import compact
from retrieval.store.current import read_current
from retrieval.store.filters.evaluation import matching_ids
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, MediaInfo, Medium, Segments

WIDE = 2**53 + 1
TAKEN = datetime(2020, 1, 2, 3, 4, 5, 6, UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    copy = tmp_path / "c"
    shutil.copytree(Path(__file__).with_name("version1") / "collection", copy)
    return copy


def version(root: Path) -> int:
    current = read_current(root)
    assert current is not None
    return json.loads((root / f"manifests/{current.generation:06d}.json").read_text())[
        "schema_version"
    ]


def rows(root: Path, *names: str) -> list[tuple[Any, ...]]:
    items = [row for batch in Snapshot.open(root).iter_items() for row in batch.to_pylist()]
    return [tuple(row[name] for name in names) for row in items]


def add(root: Path, **columns: Any) -> None:
    with CollectionWriter.open(root) as writer:
        (space,) = writer.manifest.spaces
        nan = unit(1, 1, 0)[0] * float("nan")
        segments = Segments([Medium.IMAGE], nan, nan, unit(1, 2, 0))
        number = writer.manifest.next_item_id
        info = MediaInfo(f"/media/{number}.png", Medium.IMAGE, 1, 1.0, "ab", columns=columns)
        writer.add(EmbeddedItem(info, {space.name: segments}))


def test_field_25_version_1_is_read_as_it_was_written(root: Path) -> None:
    assert version(root) == 1
    assert rows(root, "item_id", "uri", "caption", "year", "price", "live", "note") == [
        (0, "/media/0.png", "picture 0", 1999, 10.4, True, "one"),
        (2, "/media/2.png", "picture 2", None, -2.0, None, None),
        (3, "/media/3.png", "picture 3", WIDE, 1e300, True, "four"),
    ]
    snapshot = Snapshot.open(root)
    assert list(snapshot.failures()) == ["/media/bad.png"]
    assert snapshot.item_segments("toy-00000000", 3).vectors.tolist() == [[0, 1]]
    assert matching_ids(snapshot, f"year = {WIDE} OR price < 0").tolist() == [2, 3]
    assert verify(root) == []


def test_field_25_the_next_writing_command_writes_version_2(root: Path) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*.parquet")}
    add(root, taken=TAKEN, day=date(2020, 1, 2), year=5)
    assert version(root) == 2
    assert all(path.read_bytes() == content for path, content in before.items())
    assert rows(root, "year", "taken", "day")[1:] == [
        (None, None, None),
        (WIDE, None, None),
        (5, TAKEN, date(2020, 1, 2)),
    ]
    with CollectionWriter.open(root) as writer:
        writer.remove([4])
    assert [item_id for (item_id,) in rows(root, "item_id")] == [0, 2, 3]


def test_field_25_compacting_version_1_keeps_every_value(root: Path) -> None:
    names = ("item_id", "uri", "bytes", "sha256", "width", "year", "price", "live", "note")
    before = rows(root, *names)
    compact(root)
    assert (version(root), rows(root, *names)) == (2, before)
    assert verify(root) == []


def test_field_05_older_shards_are_cast_when_a_column_widens(root: Path) -> None:
    add(root, price=2**60, year=1.5, live="unknown", note=4)
    kept = {
        "price": ["10.4", "-2", "1e+300", str(2**60)],
        "year": ["1999", None, str(WIDE), "1.5"],
        "live": ["true", None, "true", "unknown"],
        "note": ["one", None, "four", "4"],
    }
    for name, values in kept.items():
        assert [value for (value,) in rows(root, name)] == values
        found = [matching_ids(Snapshot.open(root), f"{name} = '{v}'").tolist() for v in values if v]
        ids = [i for i, value in zip((0, 2, 3, 4), values, strict=True) if value]
        assert found == [
            [i for i in ids if kept[name][(0, 2, 3, 4).index(i)] == v] for v in values if v
        ]
    compact(root)
    for name, values in kept.items():
        assert [value for (value,) in rows(root, name)] == values
