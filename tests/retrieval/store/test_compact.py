from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from store_samples import PICTURES, SOUND, content, grow, item, leftovers

from retrieval.errors import CollectionNotFoundError, StorageError
from retrieval.store import compact as compact_module
from retrieval.store.compact import compact
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.types import Failure
from support.flaky_system import FlakySystem, use_system


def files(root: Path) -> list[tuple[str, int, int | None, int | None]]:
    return [
        (file.path, file.rows, file.first_item_id, file.last_item_id)
        for file in Snapshot.open(root).manifest.files
        if not file.path.startswith("indexes/")
    ]


def remove(root: Path, *item_ids: int) -> None:
    with CollectionWriter.open(root) as writer:
        writer.remove(item_ids)


def test_small_shards_are_merged_with_the_same_rows(collection: Snapshot) -> None:
    before = content(collection.root)
    report = compact(collection.root)
    assert files(collection.root) == [
        ("items/00002.parquet", 12, 0, 11),
        ("texts/00002.parquet", 20, 0, 11),
        ("sidecars/00002.parquet", 4, 0, 11),
        (f"segments/{PICTURES.name}/00002.parquet", 12, 0, 11),
        (f"segments/{SOUND.name}/00002.parquet", 12, 0, 11),
        (f"frames/{PICTURES.name}/00002.parquet", 32, 0, 11),
    ]
    assert content(collection.root) == before
    assert verify(collection.root) == []
    assert (report.files_before, report.files_after, report.items_dropped) == (14, 8, 0)
    assert report.summary().startswith("14 files became 8, 0 removed items dropped, 2 unused")


def test_compacting_twice_deletes_the_previous_generation(
    collection: Snapshot,
) -> None:
    compact(collection.root)
    assert collection.item_ids().tolist() == list(range(12))  # its files are kept at first
    once = Snapshot.open(collection.root).manifest
    report = compact(collection.root)
    assert Snapshot.open(collection.root).manifest == once
    assert report.files_deleted == 13  # twelve shards and a manifest
    assert leftovers(collection.root) == []


def test_field_42_removed_items_are_counted_once_and_ids_and_coverage_stay(root: Path) -> None:
    grow(root, 12, publish_every=4)
    remove(root, 0, 11, 5)
    before = content(root)
    report = compact(root)
    snapshot = Snapshot.open(root)
    assert content(root) == before
    assert snapshot.removed_ids().tolist() == []
    assert snapshot.manifest.next_item_id == 12
    assert snapshot.last_embedded_id(SOUND.name) == 11
    assert snapshot.manifest.files_in("items")[0].rows == 9
    assert report.items_dropped == 3  # an image and two videos, whatever rows they have
    grow(root, 14, publish_every=4)
    # 0, 5 and 11 are embedded anew, then the two that are new
    assert snapshot.item_ids().tolist() == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert Snapshot.open(root).item_ids().tolist() == [*snapshot.item_ids(), *range(12, 17)]


def test_removed_ids_are_kept_until_a_newer_index(collection: Snapshot) -> None:
    root = collection.root
    remove(root, 0)
    remove(root, 2, 3)
    compact(root)
    assert Snapshot.open(root).removed_ids().tolist() == [0, 2, 3]
    assert Snapshot.open(root).index_folders(PICTURES.name) == [
        root / f"indexes/{PICTURES.name}/000003"
    ]
    assert [path for path, *_ in files(root) if path.startswith("removed/")] == [
        "removed/000006.parquet"
    ]
    assert Snapshot.open(root).manifest.files_in("items")[0].rows == 9
    grow(root, 0, publish_every=1, index=True)
    remove(root, 4)
    compact(root)
    assert Snapshot.open(root).removed_ids().tolist() == [4]


def test_all_items_removed_leaves_no_rows(root: Path) -> None:
    grow(root, 12, publish_every=4)
    remove(root, *range(12))
    compact(root)
    assert [path for path, *_ in files(root)] == [
        f"segments/{PICTURES.name}/00003.parquet",
        f"segments/{SOUND.name}/00003.parquet",
    ]
    assert content(root) == []
    assert Snapshot.open(root).last_embedded_id(SOUND.name) == 11


def test_full_shards_are_not_merged(collection: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact_module, "SHARD_ROWS", 12)
    with CollectionWriter.open(collection.root) as writer:
        writer.add(item(12))
    compact(collection.root)
    assert [path for path, *_ in files(collection.root) if path.startswith("frames/")] == [
        f"frames/{PICTURES.name}/00000.parquet",
        f"frames/{PICTURES.name}/00001.parquet",
    ]
    assert [file for file in files(collection.root) if file[0].startswith("items/")] == [
        ("items/00003.parquet", 12, 0, 11),
        ("items/00002.parquet", 1, 12, 12),
    ]


def test_user_columns_of_all_shards_are_kept(root: Path) -> None:
    grow(root, 0, publish_every=1)
    with CollectionWriter.open(root) as writer:
        writer.add(item(0, year=1999))
        writer.publish()
        writer.add(item(1, artist="Satie"))
    before = content(root)
    compact(root)
    assert content(root) == before


def test_resolved_failures_are_dropped(root: Path) -> None:
    grow(root, 3, publish_every=3)
    with CollectionWriter.open(root) as writer:
        writer.add_failure(Failure("/media/0003", "decode", "empty"))
        writer.add_failure(Failure("/media/0099", "decode", "empty"))
        writer.publish()
        writer.add(item(3))
        writer.add_failure(Failure("/media/0099", "decode", "still empty"))
    compact(root)
    (listed,) = Snapshot.open(root).manifest.files_in("failures")
    assert listed.rows == 1
    assert Snapshot.open(root).failures()["/media/0099"].reason == "still empty"
    with CollectionWriter.open(root) as writer:
        writer.add(item(99))
    compact(root)
    assert Snapshot.open(root).manifest.files_in("failures") == ()


def test_unlisted_files_are_deleted_and_foreign_files_are_kept(collection: Snapshot) -> None:
    root = collection.root
    strays = ["items/00050.parquet", "segments/x/00000.parquet", "indexes/x/000009/card.json"]
    for name in [*strays, "manifests/000009.json", "items/.00051.parquet.tmp", "notes.txt"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    report = compact(root)
    assert leftovers(root) == sorted(
        ["notes.txt", *(file.path for file in collection.manifest.files if "idx" in file.path)]
        + [f.path for f in collection.manifest.files if not f.path.startswith("indexes/")]
    )
    assert report.files_deleted == 2 + 4  # two old manifests; the .tmp went when it opened
    assert not (root / "segments/x").exists()


def test_link_in_the_collection_is_not_followed(collection: Snapshot, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.parquet").touch()
    (collection.root / "failures").symlink_to(outside)
    (collection.root / "items/link").symlink_to(outside)
    compact(collection.root)
    assert (outside / "precious.parquet").exists()
    assert not (collection.root / "items/link").exists()


def test_a_full_disk_leaves_the_collection_unchanged(
    collection: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(collection.root)
    for step in (1, 20, 60):
        with monkeypatch.context() as patched:
            use_system(FlakySystem(fail_at=step), patched.setattr)
            with pytest.raises(StorageError, match="cannot write"):
                compact(collection.root)
        assert Snapshot.open(collection.root).manifest == collection.manifest
        assert leftovers(collection.root) == []
    compact(collection.root)
    assert content(collection.root) == before


def test_compacting_another_folder_fails(root: Path) -> None:
    with pytest.raises(CollectionNotFoundError, match="is not a collection"):
        compact(root)


def test_recent_generations_keep_their_files(collection: Snapshot) -> None:
    root = collection.root
    remove(root, 0)
    remove(root, 2)
    older = Snapshot.open(root)
    remove(root, 4)
    compact(root, grace_seconds=3_600)
    for generation in (collection, older):
        for file in generation.manifest.files:
            assert (root / file.path).stat().st_size == file.bytes
    past = time.time() - 7_200
    for path in (root / "manifests").glob("*.json"):
        os.utime(path, (past, past))
    compact(root, grace_seconds=3_600)
    assert not (root / "manifests" / f"{older.manifest.generation:06d}.json").exists()
    assert verify(root) == []


def test_a_damaged_old_manifest_does_not_stop_a_compaction(collection: Snapshot) -> None:
    root = collection.root
    remove(root, 0)
    (root / "manifests" / f"{collection.manifest.generation:06d}.json").write_text("{")
    compact(root, grace_seconds=3_600)
    assert verify(root) == []
