from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_samples import PICTURES, SOUND, grow, item, nothing, segments

from indexes.errors import DimensionMismatchError
from retrieval.errors import CollectionLockedError, CollectionNotFoundError, SpaceMismatchError
from retrieval.store import pending
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, Failure, Medium

FURTHER = replace(PICTURES, name="further-00000003", dim=6)


def test_publishing_lists_files_by_number_with_their_ranges(collection: Snapshot) -> None:
    listed = [
        (file.path, file.rows, file.first_item_id, file.last_item_id)
        for file in collection.manifest.files
    ]
    pictures, sound = PICTURES.name, SOUND.name
    assert listed == [
        ("items/00000.parquet", 6, 0, 5),
        ("texts/00000.parquet", 10, 0, 5),
        ("sidecars/00000.parquet", 2, 0, 5),
        (f"segments/{pictures}/00000.parquet", 6, 0, 5),
        (f"frames/{pictures}/00000.parquet", 16, 0, 5),
        (f"segments/{sound}/00000.parquet", 6, 0, 5),
        ("items/00001.parquet", 6, 6, 11),
        ("texts/00001.parquet", 10, 6, 11),
        ("sidecars/00001.parquet", 2, 6, 11),
        (f"segments/{pictures}/00001.parquet", 6, 6, 11),
        (f"frames/{pictures}/00001.parquet", 16, 6, 11),
        (f"segments/{sound}/00001.parquet", 6, 6, 11),
        (f"indexes/{pictures}/000003/card.json", 0, 0, 11),
        (f"indexes/{pictures}/000003/exact.faiss", 0, 0, 11),
    ]
    assert (collection.root / "CURRENT").read_text()[:7] == "000003 "
    assert collection.manifest.next_item_id == 12


def test_publish_without_changes_returns_none(collection: Snapshot) -> None:
    with CollectionWriter.open(collection.root) as writer:
        assert writer.publish() is None
        writer.remove([99, -1])
        assert writer.publish() is None
    assert Snapshot.open(collection.root).manifest == collection.manifest


def test_writer_without_a_collection_fails(root: Path) -> None:
    with pytest.raises(CollectionNotFoundError, match="is not a collection"):
        CollectionWriter.open(root)
    root.mkdir()
    with pytest.raises(CollectionNotFoundError, match="is not a collection"):
        CollectionWriter.open(root)


def test_second_writer_of_one_process_fails(collection: Snapshot) -> None:
    with (
        CollectionWriter.open(collection.root),
        pytest.raises(CollectionLockedError, match="being written by process"),
    ):
        CollectionWriter.open(collection.root)
    CollectionWriter.open(collection.root).__exit__(None, None, None)


def test_new_spaces_without_items_are_published(root: Path) -> None:
    with CollectionWriter.open(root, create=True) as writer:
        assert writer.snapshot is None
        writer.add_space(PICTURES)
    snapshot = Snapshot.open(root)
    assert snapshot.spaces == (PICTURES,)
    assert snapshot.last_embedded_id(PICTURES.name) == -1
    assert list(snapshot.iter_segments(PICTURES.name)) == []


def test_adding_a_space_twice_fails(collection: Snapshot) -> None:
    with (
        CollectionWriter.open(collection.root) as writer,
        pytest.raises(ValueError, match="already has a space"),
    ):
        writer.add_space(SOUND)


def test_vectors_of_an_unknown_space_or_another_length_fail(collection: Snapshot) -> None:
    with CollectionWriter.open(collection.root) as writer:
        with pytest.raises(SpaceMismatchError, match="no space 'other'; it has: pictures"):
            writer.add(replace(item(12), segments={"other": nothing(8)}))
        with pytest.raises(DimensionMismatchError, match=r"\(1, 9\), expected \(n, 8\)"):
            writer.add(replace(item(12), segments={PICTURES.name: segments(Medium.IMAGE, 1, 9, 0)}))
    assert Snapshot.open(collection.root).manifest == collection.manifest


def test_arrays_of_different_lengths_and_wrong_times_fail(collection: Snapshot) -> None:
    good = segments(Medium.AUDIO, 2, 4, 0)
    backwards = replace(good, start_seconds=good.end_seconds, end_seconds=good.start_seconds)
    with CollectionWriter.open(collection.root) as writer:
        with pytest.raises(ValueError, match="/media/0013: media, times and vectors differ"):
            writer.add(replace(item(13), segments={SOUND.name: replace(good, media=[])}))
        with pytest.raises(ValueError, match="/media/0013: a segment has start >= end"):
            writer.add(replace(item(13), segments={SOUND.name: backwards}))


def test_field_05_user_columns_widen_over_generations(collection: Snapshot) -> None:
    def numbers() -> list[object]:
        batches = Snapshot.open(collection.root).iter_items()
        return [value for batch in batches for value in batch.column("number").to_pylist()]

    before = numbers()
    for value, kept in ((4.5, [*map(float, before), 4.5]), ("x", [*map(str, before), "4.5", "x"])):
        with CollectionWriter.open(collection.root) as writer:
            writer.add(item(12 if value == 4.5 else 13, number=value))
        assert numbers() == kept


def test_further_space_is_completed_before_new_items(collection: Snapshot) -> None:
    with CollectionWriter.open(collection.root) as writer:
        writer.remove([0, 3])
        writer.publish()
        writer.add_space(FURTHER)
        with pytest.raises(ValueError, match="further-00000003 lacks item 1: add its rows"):
            writer.add(item(12))
        rows = segments(Medium.IMAGE, 1, 6, 0)
        with pytest.raises(ValueError, match="item 2 in further-00000003: expected item 1"):
            writer.add_rows(2, FURTHER.name, rows, None)
        for item_id in (1, 2, 4, 5):
            writer.add_rows(item_id, FURTHER.name, rows, None)
        writer.publish()
        for item_id in range(6, 12):
            writer.add_rows(item_id, FURTHER.name, rows if item_id % 3 else nothing(6), None)
        with pytest.raises(ValueError, match="item 12 in further-00000003: expected none"):
            writer.add_rows(12, FURTHER.name, rows, None)
        writer.add(item(12))
    snapshot = Snapshot.open(collection.root)
    files = snapshot.manifest.files_in(f"segments/{FURTHER.name}")
    assert [(f.rows, f.first_item_id, f.last_item_id) for f in files] == [(4, 1, 5), (4, 6, 12)]
    (first, second) = snapshot.iter_segments(FURTHER.name)
    assert [*first.item_ids, *second.item_ids] == [1, 2, 4, 5, 7, 8, 10, 11]
    assert verify(collection.root) == []


def test_adding_a_space_while_items_are_pending_fails(collection: Snapshot) -> None:
    with CollectionWriter.open(collection.root) as writer:
        writer.add(item(12))
        with pytest.raises(ValueError, match="while new items are pending"):
            writer.add_space(FURTHER)


def test_due_by_rows_bytes_and_age(collection: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(pending.time, "monotonic", lambda: now)
    with CollectionWriter.open(collection.root) as writer:
        assert not writer.is_due()
        now += 1000
        assert not writer.is_due()
        writer.add(item(12))
        now += 59
        assert not writer.is_due()
        now += 1
        assert writer.is_due()
        writer.publish()
        assert not writer.is_due()
        writer.add(item(13))
        monkeypatch.setattr(pending, "SHARD_ROWS", 3)
        assert writer.is_due()
        writer.publish()
        writer.add_failure(Failure("/media/x", "open", "empty"))
        assert not writer.is_due()
        monkeypatch.setattr(pending, "SHARD_BYTES", 1024)
        assert writer.is_due()


def test_ids_are_never_reused(collection: Snapshot) -> None:
    with CollectionWriter.open(collection.root) as writer:
        writer.remove(range(12))
        writer.publish()
        writer.add(item(0))
    assert Snapshot.open(collection.root).item_ids().tolist() == [12]


def test_a_new_index_replaces_only_the_index_of_its_space(collection: Snapshot) -> None:
    with CollectionWriter.open(collection.root) as writer:
        writer.add(item(12))
        with writer.index_folder(SOUND.name) as folder:
            assert writer.snapshot is not None
            assert writer.snapshot.last_embedded_id(SOUND.name) == 12
            (folder / "card.json").write_text("{}")
        with writer.index_folder(PICTURES.name) as folder:
            (folder / "card.json").write_text("{}")
    snapshot = Snapshot.open(collection.root)
    indexes = [file.path for file in snapshot.manifest.files if file.path.startswith("indexes")]
    assert indexes == [
        f"indexes/{SOUND.name}/000005/card.json",
        f"indexes/{PICTURES.name}/000006/card.json",
    ]
    assert snapshot.index_folders(SOUND.name) == [collection.root / f"indexes/{SOUND.name}/000005"]


def test_a_failed_index_keeps_the_older_one(collection: Snapshot) -> None:
    writer = CollectionWriter.open(collection.root)

    def build() -> None:
        with writer, writer.index_folder(PICTURES.name) as folder:
            (folder / "exact.faiss").write_bytes(b"half")
            raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        build()
    assert Snapshot.open(collection.root).manifest == collection.manifest
    assert not list((collection.root / "indexes").rglob("*.tmp"))


def test_items_added_while_an_index_is_built_are_published_later(
    collection: Snapshot,
) -> None:
    with CollectionWriter.open(collection.root) as writer:
        with writer.index_folder(SOUND.name) as folder:
            (folder / "card.json").write_text("{}")
            writer.add(item(12))
            writer.remove([1])
        assert writer.snapshot is not None
        assert writer.snapshot.item_ids().tolist() == list(range(12))
    snapshot = Snapshot.open(collection.root)
    assert snapshot.manifest.generation == 5
    assert snapshot.item_ids().tolist() == [0, *range(2, 13)]


def test_an_item_without_rows_counts_as_embedded(root: Path) -> None:
    grow(root, 1, publish_every=1)
    with CollectionWriter.open(root) as writer:
        writer.add(EmbeddedItem(item(1).info, {}))
    snapshot = Snapshot.open(root)
    assert [snapshot.last_embedded_id(space.name) for space in snapshot.spaces] == [1, 1]
    assert snapshot.item_segments(SOUND.name, 1).vectors.shape == (0, 4)
    assert np.isnan(snapshot.item_segments(PICTURES.name, 0).start_seconds).all()
