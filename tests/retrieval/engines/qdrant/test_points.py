"""Points: ids, shared spans, sizes, and what Qdrant stores of them."""

from __future__ import annotations

import uuid
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from retrieval.engines.qdrant import points as module
from retrieval.engines.qdrant.card import PushedCard
from retrieval.engines.qdrant.payload import item_payload, metadata_of, payload_columns
from retrieval.engines.qdrant.points import NAMESPACE, Point, iter_batches, iter_points, point_id
from retrieval.engines.qdrant.push import push
from retrieval.store.filters.evaluation import filterable_columns
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, MediaInfo, Medium
from support import pushed_toys
from support.pushed_toys import FIRST, SECOND, SOUND, segments


def points_of(root: Path) -> list[Point]:
    snapshot = Snapshot.open(root)
    return list(iter_points(snapshot, PushedCard.of(snapshot, "toys").columns))


def test_ids_are_stable() -> None:
    """Other programs may compute them, and pushed collections contain them."""
    assert str(NAMESPACE) == str(uuid.uuid5(uuid.NAMESPACE_URL, "https://retrieval.invalid/points"))
    assert point_id(7, Medium.VIDEO, 2.0) == str(uuid.uuid5(NAMESPACE, "7 video 2.0"))
    assert point_id(7, Medium.IMAGE, None) == str(uuid.uuid5(NAMESPACE, "7 image "))
    assert point_id(7, Medium.VIDEO, 2.0) == "b5b5d8a8-119c-5b62-9f30-f2f6c8a265a6"


def test_every_row_is_a_vector_of_one_point(toys: Path) -> None:
    snapshot = Snapshot.open(toys)
    found = points_of(toys)
    assert len({point.id for point in found}) == len(found)
    for space in (FIRST, SECOND, SOUND):
        expected = {}
        for block in snapshot.iter_segments(space.name):
            rows = zip(block.item_ids, block.media, block.start_seconds, block.end_seconds,
                       block.vectors, strict=True)  # fmt: skip
            for item_id, medium, start, end, vector in rows:
                times = (None, None) if np.isnan(start) else (float(start), float(end))
                name = ("image", "audio", "video")[medium]
                expected[int(item_id), name, *times] = vector.tobytes()
        stored = {
            (
                point.payload["item_id"],
                point.payload["medium"],
                point.payload.get("start_seconds"),
                point.payload.get("end_seconds"),
            ): point.vectors[space.name].tobytes()
            for point in found
            if space.name in point.vectors
        }
        assert stored == expected


def test_rows_of_two_spaces_share_a_point_where_their_times_agree(tmp_path: Path) -> None:
    pushed_toys.write(tmp_path / "c", range(6))
    spans = {
        point.id: (point.payload["item_id"], point.payload.get("end_seconds"), set(point.vectors))
        for point in points_of(tmp_path / "c")
        if point.payload["medium"] != "audio"
    }
    both = {FIRST.name, SECOND.name}
    assert spans[point_id(0, Medium.IMAGE, None)] == (0, None, both)
    # Item 1 has segments of 2 seconds in both spaces, item 4 of 2 and of 3 seconds.
    assert spans[point_id(1, Medium.VIDEO, 2.0)] == (1, 4.0, both)
    assert spans[point_id(4, Medium.VIDEO, 2.0)] == (4, 4.0, {FIRST.name})
    assert spans[point_id(4, Medium.VIDEO, 2.0, 5.0, 0)] == (4, 5.0, {SECOND.name})
    assert Counter(item_id for item_id, _, _ in spans.values()) == {0: 1, 1: 3, 3: 1, 4: 6}


def test_rows_with_equal_times_are_points_of_their_own(tmp_path: Path) -> None:
    """An import may bring several vectors of one picture."""
    with CollectionWriter.open(tmp_path / "c", create=True) as writer:
        writer.add_space(FIRST)
        info = MediaInfo("/media/0", Medium.IMAGE, 1, 0.0, "0" * 64)
        twice = segments([Medium.IMAGE, Medium.IMAGE], [np.nan, np.nan], 0, 1)
        writer.add(EmbeddedItem(info, {FIRST.name: twice}))
    first, second = points_of(tmp_path / "c")
    assert (first.id, second.id) == (
        point_id(0, Medium.IMAGE, None),
        point_id(0, Medium.IMAGE, None, None, 1),
    )
    assert first.digest != second.digest


def test_digests_tell_changes_of_columns_and_vectors(tmp_path: Path) -> None:
    pushed_toys.write(tmp_path / "a", range(2))
    pushed_toys.write(tmp_path / "b", range(2))
    first, second = points_of(tmp_path / "a"), points_of(tmp_path / "b")
    assert [point.digest for point in first] == [point.digest for point in second]
    assert len({point.digest for point in first}) == len(first)
    assert all(point.payload["row_digest"] == point.digest for point in first)


def test_batches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [3, 3, 3, 20, 1, 1, 1, 1, 1]
    points = [Point(str(n), {}, {}, "", size) for n, size in enumerate(sizes)]
    monkeypatch.setattr(module, "MAX_BATCH_BYTES", 7)
    monkeypatch.setattr(module, "MAX_BATCH_POINTS", 4)
    batches = [[point.bytes for point in batch] for batch in iter_batches(points)]
    assert batches == [[3, 3], [3], [20], [1, 1, 1, 1], [1]]


def test_payloads_keep_every_value(toys: Path) -> None:
    """The metadata of hits has the values and types of the collection."""
    snapshot = Snapshot.open(toys)
    columns = payload_columns(filterable_columns(snapshot.items_schema()))
    rows = [row for batch in snapshot.iter_items() for row in batch.to_pylist()]
    assert any(row["taken"] for row in rows)
    hidden = {"item_id", "uri", "modality", "bytes", "mtime", "sha256"}
    for row in rows:
        kept = {
            name: value for name, value in row.items() if value is not None and name not in hidden
        }
        found = metadata_of(item_payload(row, columns), columns)
        assert found == kept
        assert {n: type(v) for n, v in found.items()} == {n: type(v) for n, v in kept.items()}
        assert list(found) == list(kept)


def test_qdrant_stores_float16(toys: Path, edge) -> None:
    """The numbers of the collection are stored without a change."""
    report = push(toys, "qdrant://edge/toys")
    (shard,) = edge.shards.values()
    config = edge.vectors[report.collection]
    assert {str(each.datatype) for each in config.values()} == {"Datatype.FLOAT16"}
    expected = {point.id: point for point in points_of(toys)}
    assert shard.info().points_count == len(expected) == report.points
    for record in shard.retrieve(list(expected), True, True):
        point = expected[str(record.id)]
        assert record.payload == point.payload
        assert {name: list(vector) for name, vector in record.vector.items()} == {
            name: vector.astype(np.float32).tolist() for name, vector in point.vectors.items()
        }
