"""Promises about processes: kills, interrupts, locks, readers during a publish."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from store_samples import PICTURES, SOUND, content, grow, item, leftovers
from writer_runs import ITEMS, PROCESS, problems_without_collection, run, steps_of_a_run

from retrieval.errors import (
    CollectionLockedError,
)
from retrieval.store.compact import compact
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from support.flaky_system import FlakySystem, use_system

KILLS = 6


def test_fault_01_sigkill_at_seeded_moments_resumes_with_equal_rows(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = steps_of_a_run(tmp_path / "whole", monkeypatch)
    moments = random.Random(0).sample(range(1, steps + 1), KILLS)
    for moment in moments:
        shutil.rmtree(root, ignore_errors=True)
        killed = run(root, kill_at=moment)
        assert killed.returncode == -9, killed.stderr
        assert problems_without_collection(root) == []
        grow(root, ITEMS, publish_every=6, index=True)
        assert content(root) == content(tmp_path / "whole")
        assert verify(root) == []


def test_fault_02_sigkill_while_an_index_is_written_keeps_the_old_index(
    collection: Snapshot,
) -> None:
    old = collection.index_folders(PICTURES.name)
    killed = run(collection.root, kill_before=f"indexes/{PICTURES.name}/000004")
    assert killed.returncode == -9
    assert Snapshot.open(collection.root).index_folders(PICTURES.name) == old
    assert leftovers(collection.root)
    grow(collection.root, ITEMS, publish_every=6, index=True)
    assert leftovers(collection.root) == [
        f"indexes/{PICTURES.name}/000003/card.json",
        f"indexes/{PICTURES.name}/000003/exact.faiss",
    ]
    newest = Snapshot.open(collection.root).index_folders(PICTURES.name)
    assert newest == [collection.root / f"indexes/{PICTURES.name}/000004"]


def test_fault_03_sigkill_between_manifest_and_current_serves_the_old_generation(
    collection: Snapshot,
) -> None:
    root = collection.root
    before = content(root)
    killed = run(root, ITEMS + 1, kill_before="CURRENT")
    assert killed.returncode == -9
    assert (root / "manifests/000004.json").exists()
    assert Snapshot.open(root).manifest == collection.manifest
    assert content(root) == before
    grow(root, ITEMS + 1, publish_every=100)
    assert Snapshot.open(root).manifest.generation == 5
    assert Snapshot.open(root).manifest.files_in("items")[-1].path == "items/00003.parquet"
    assert len(Snapshot.open(root).item_ids()) == ITEMS + 1
    assert verify(root) == []


def test_fault_03_sigkill_before_the_first_current_starts_anew(root: Path) -> None:
    for _ in range(2):
        assert run(root, kill_before="CURRENT").returncode == -9
        assert sorted(path.name for path in (root / "manifests").iterdir()) == ["000001.json"]
    grow(root, ITEMS, publish_every=6)
    assert verify(root) == []


def test_fault_04_interrupted_publish_keeps_the_rows_for_another(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(root, 3, publish_every=3)
    with CollectionWriter.open(root) as writer:
        writer.add(item(3))
        with monkeypatch.context() as patched:
            use_system(FlakySystem(fail_at=9, error=KeyboardInterrupt()), patched.setattr)
            with pytest.raises(KeyboardInterrupt):
                writer.publish()
        assert leftovers(root) == [".lock.holder"]
        writer.publish()
    assert Snapshot.open(root).item_ids().tolist() == [0, 1, 2, 3]


def test_fault_04_an_exception_drops_pending_items_and_releases_the_lock(root: Path) -> None:
    grow(root, 3, publish_every=3)
    writer = CollectionWriter.open(root)
    writer.add(item(3))
    writer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert len(Snapshot.open(root).item_ids()) == 3
    grow(root, 4, publish_every=4)
    assert len(Snapshot.open(root).item_ids()) == 4


def test_fault_08_lock_of_a_live_writer_names_process_and_host(collection: Snapshot) -> None:
    command = [*PROCESS, str(collection.root), "0", "hold=1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        expected = f"by process {holder.pid} on {os.uname().nodename}; wait"
        with pytest.raises(CollectionLockedError, match=expected):
            CollectionWriter.open(collection.root)
        with pytest.raises(CollectionLockedError, match=expected):
            compact(collection.root)
        holder.kill()
    assert (collection.root / ".lock.holder").exists()
    CollectionWriter.open(collection.root).__exit__(None, None, None)
    assert not (collection.root / ".lock.holder").exists()


def test_fault_09_one_of_two_concurrent_writers_wins(root: Path, tmp_path: Path) -> None:
    command = [*PROCESS, str(root), str(ITEMS)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate()[1] for process in both]
    assert 0 in [process.returncode for process in both]
    for error in errors:
        assert error == "" or error.startswith("CollectionLockedError: ")
    grow(tmp_path / "alone", ITEMS, publish_every=6)
    assert content(root) == content(tmp_path / "alone")


def test_fault_09_readers_during_publishing_see_whole_generations(root: Path) -> None:
    grow(root, 1, publish_every=1)
    thread = threading.Thread(target=grow, args=(root, 30), kwargs={"publish_every": 1})
    thread.start()
    seen = []
    while thread.is_alive():
        snapshot = Snapshot.open(root)
        ids = snapshot.item_ids().tolist()
        assert ids == list(range(snapshot.manifest.next_item_id))
        assert snapshot.last_embedded_id(SOUND.name) == ids[-1]
        seen.append(snapshot.manifest.generation)
    thread.join()
    assert seen == sorted(seen)
