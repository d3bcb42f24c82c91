from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from store_samples import PICTURES, SOUND, grow, item, unit

from retrieval.errors import CollectionDamagedError, CollectionNotFoundError, SpaceMismatchError
from retrieval.store import shards
from retrieval.store.blocks import isin_sorted
from retrieval.store.reader import Snapshot
from retrieval.store.schema import MEDIUM_CODES
from retrieval.store.writer import CollectionWriter
from retrieval.types import Failure, KnownFile, Medium


def test_opening_another_folder_fails(root: Path) -> None:
    with pytest.raises(CollectionNotFoundError, match="has no file CURRENT"):
        Snapshot.open(root)
    root.touch()
    with pytest.raises(CollectionNotFoundError, match="has no file CURRENT"):
        Snapshot.open(root)


def test_unknown_space_fails(collection: Snapshot) -> None:
    with pytest.raises(SpaceMismatchError, match=r"no space 'x'; it has: pictures-0+1, sound-0+2"):
        collection.space("x")


def test_items_are_ordered_and_have_the_user_columns_of_all_shards(root: Path) -> None:
    grow(root, 0, publish_every=1)
    with CollectionWriter.open(root) as writer:
        writer.add(item(0, year=1999))
        writer.publish()
        writer.add(item(1, artist="Satie"))
        writer.publish()
        writer.remove([0])
        writer.add(item(2, year=2001, artist=None))
    batches = list(Snapshot.open(root).iter_items())
    assert all(batch.schema == batches[0].schema for batch in batches)
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert [(row["item_id"], row["year"], row["artist"]) for row in rows] == [
        (1, None, "Satie"),
        (2, 2001, None),
    ]


def test_items_after_an_id(collection: Snapshot) -> None:
    with CollectionWriter.open(collection.root) as writer:
        writer.remove([9])
    batches = Snapshot.open(collection.root).iter_items(after_item_id=7)
    assert [i for batch in batches for i in batch.column("item_id").to_pylist()] == [8, 10, 11]


def test_segments_have_float16_vectors_times_and_media(collection: Snapshot) -> None:
    first, second = collection.iter_segments(PICTURES.name)
    assert first.item_ids.tolist() == [0, 2, 2, 3, 5, 5]
    assert second.item_ids.tolist() == [6, 8, 8, 9, 11, 11]
    media = [MEDIUM_CODES[code] for code in first.media]
    assert media == [Medium.IMAGE, Medium.VIDEO, Medium.VIDEO] * 2
    np.testing.assert_array_equal(first.start_seconds, np.float32([np.nan, 0, 2] * 2))
    np.testing.assert_array_equal(first.end_seconds, np.float32([np.nan, 2, 4] * 2))
    assert first.vectors.dtype == np.float16
    np.testing.assert_array_equal(first.vectors[1:3], unit(2, 8, 2).astype(np.float16))


def test_segments_after_an_id_and_without_removed_items(collection: Snapshot) -> None:
    with CollectionWriter.open(collection.root) as writer:
        writer.remove([8, 2])
    snapshot = Snapshot.open(collection.root)
    assert snapshot.removed_ids().tolist() == [2, 8]
    ids = [i for b in snapshot.iter_segments(PICTURES.name, after_item_id=3) for i in b.item_ids]
    assert ids == [5, 5, 6, 9, 11, 11]


def test_rows_of_one_item(collection: Snapshot) -> None:
    rows = collection.item_segments(SOUND.name, 7)
    assert rows.media == [Medium.AUDIO] * 3
    assert rows.start_seconds.tolist() == [0, 2, 4]
    assert rows.vectors.dtype == np.float32
    np.testing.assert_allclose(rows.vectors, unit(3, 4, 7), atol=5e-4)
    frames = collection.item_frames(PICTURES.name, 8)
    assert frames is not None
    assert frames.seconds.tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5]
    np.testing.assert_allclose(frames.vectors, unit(8, 8, 1008), atol=5e-4)


@pytest.mark.parametrize("item_id", [0, 99])
def test_item_without_rows_has_empty_segments_and_no_frames(
    collection: Snapshot, item_id: int
) -> None:
    assert collection.item_segments(SOUND.name, item_id).vectors.shape == (0, 4)
    assert collection.item_segments(SOUND.name, item_id).media == []
    assert collection.item_frames(PICTURES.name, item_id) is None


def test_one_item_is_read_from_its_row_group_only(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "ROW_GROUP_ROWS", 4)
    grow(root, 30, publish_every=30)
    snapshot = Snapshot.open(root)
    (file,) = snapshot.manifest.files_in(f"segments/{SOUND.name}")
    metadata = pq.read_metadata(root / file.path)
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == (
        [4] * 7 + [2]
    )
    assert shards._row_groups(metadata, 13, 13) == [3]
    blocks = list(snapshot.iter_segments(SOUND.name))
    assert max(len(block.item_ids) for block in blocks) == 4
    np.testing.assert_allclose(
        snapshot.item_segments(SOUND.name, 13).vectors, unit(3, 4, 13), atol=5e-4
    )
    np.testing.assert_array_equal(
        np.concatenate([block.item_ids for block in blocks]), np.repeat(range(1, 30, 3), 3)
    )


def test_known_files_exclude_removed_items(collection: Snapshot) -> None:
    with CollectionWriter.open(collection.root) as writer:
        writer.remove([4])
    known = Snapshot.open(collection.root).known_files()
    assert sorted(known) == [f"/media/{number:04d}" for number in range(12) if number != 4]
    assert known["/media/0005"] == KnownFile(5, 1005, 1.7e9 + 5 / 3, f"{5:064x}")


def test_only_a_later_success_resolves_a_failure(root: Path) -> None:
    grow(root, 3, publish_every=3)

    def failure(number: int, reason: str) -> Failure:
        return Failure(f"/media/{number:04d}", "decode", reason, number, 0.5)

    with CollectionWriter.open(root) as writer:
        writer.add_failure(failure(0, "embedded before this"))
        writer.add_failure(failure(7, "first"))
        writer.publish()
        writer.add_failure(failure(7, "second \ud800"))
        writer.add_failure(failure(3, "embedded after this"))
        writer.add(item(3))
        writer.add(item(4))
        writer.add_failure(failure(4, "embedded before this, in the same shard"))
    expected = {
        "/media/0000": failure(0, "embedded before this"),
        "/media/0007": failure(7, "second ?"),
        "/media/0004": failure(4, "embedded before this, in the same shard"),
    }
    assert Snapshot.open(root).failures() == expected
    with CollectionWriter.open(root) as writer:
        writer.add(replace(item(0), replaces=0))
        writer.remove([3])
    del expected["/media/0000"]
    assert Snapshot.open(root).failures() == expected


def test_a_snapshot_keeps_its_generation(collection: Snapshot) -> None:
    with CollectionWriter.open(collection.root) as writer:
        writer.add(item(12))
        writer.remove([0])
    assert collection.item_ids().tolist() == list(range(12))
    assert collection.last_embedded_id(SOUND.name) == 11


def test_shard_that_cannot_be_read_fails_in_one_line(collection: Snapshot) -> None:
    path = collection.root / "items/00001.parquet"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(CollectionDamagedError, match=r"00001.parquet cannot be read \(") as caught:
        list(Snapshot.open(collection.root).iter_items())
    assert "\n" not in str(caught.value)


def test_isin_sorted_equals_isin() -> None:
    ids = np.array([5, 0, 9, 7], np.int64)
    assert isin_sorted(ids, np.array([0, 7, 8], np.int64)).tolist() == [False, True, False, True]
    assert isin_sorted(ids, np.array([], np.int64)).tolist() == [False] * 4
