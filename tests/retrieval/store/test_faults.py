"""The promises about processes, disks and damaged files, as far as the store keeps them."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flaky_system import FlakySystem
from store_samples import PICTURES, SOUND, content, grow, item, leftovers, segments

from retrieval.errors import (
    CollectionDamagedError,
    CollectionError,
    CollectionFormatError,
    CollectionLockedError,
    InvalidVectorError,
    StorageError,
)
from retrieval.store import publish
from retrieval.store import writer as writer_module
from retrieval.store.compact import compact
from retrieval.store.current import Current
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, Failure, Frames, Medium, Segments

ITEMS = 12
KILLS = 6
PROCESS = [sys.executable, str(Path(__file__).with_name("writer_process.py"))]


def run(root: Path, items: int = ITEMS, **options: object) -> subprocess.CompletedProcess[str]:
    arguments = [f"{name}={value}" for name, value in options.items()]
    command = [*PROCESS, str(root), str(items), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def steps_of_a_run(folder: Path, monkeypatch: pytest.MonkeyPatch, items: int = ITEMS) -> int:
    """How many steps an uninterrupted run takes on its way to the disk."""
    with monkeypatch.context() as patched:
        system = FlakySystem()
        patched.setattr(publish, "os", system)
        grow(folder, items, publish_every=6, index=True)
    return system.steps


def problems_without_collection(root: Path) -> list[str]:
    """What `verify` says; nothing where nothing was published yet."""
    return verify(root) if (root / "CURRENT").exists() else []


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
    assert Snapshot.open(root).manifest.listed("items")[-1].path == "items/00003.parquet"
    assert len(Snapshot.open(root).living_ids()) == ITEMS + 1
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
            patched.setattr(publish, "os", FlakySystem(fail_at=9, error=KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                writer.publish()
        assert leftovers(root) == [".lock.holder"]
        writer.publish()
    assert Snapshot.open(root).living_ids().tolist() == [0, 1, 2, 3]


def test_fault_04_an_exception_drops_what_is_pending_and_releases_the_lock(root: Path) -> None:
    grow(root, 3, publish_every=3)
    writer = CollectionWriter.open(root)
    writer.add(item(3))
    writer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert len(Snapshot.open(root).living_ids()) == 3
    grow(root, 4, publish_every=4)
    assert len(Snapshot.open(root).living_ids()) == 4


def test_fault_05_every_failing_step_is_reported_and_a_retry_succeeds(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = steps_of_a_run(tmp_path / "whole", monkeypatch, items=3)
    expected = content(tmp_path / "whole")
    failed = set()
    for step in range(1, steps + 1):
        shutil.rmtree(root, ignore_errors=True)
        system = FlakySystem(fail_at=step)
        monkeypatch.setattr(publish, "os", system)
        with pytest.raises(StorageError, match=r"^cannot write .*: Input/output error$"):
            grow(root, 3, publish_every=3, index=True)
        failed.add(system.failed_step)
        assert problems_without_collection(root) == []
        if (root / "CURRENT").exists():
            assert not [name for name in leftovers(root) if "indexes" not in name]
        grow(root, 3, publish_every=3, index=True)
        assert content(root) == expected
    assert failed == {"open", "write", "fsync", "replace", "close"}


def test_fault_05_the_same_writer_can_publish_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(root, 2, publish_every=2)
    with CollectionWriter.open(root) as writer:
        for step in range(1, 200):
            monkeypatch.setattr(publish, "os", FlakySystem(fail_at=step))
            writer.add(item(step + 1))
            if not raises_storage_error(writer):
                break
            writer.publish()
    assert step > 60
    assert Snapshot.open(root).living_ids().tolist() == list(range(step + 2))
    assert verify(root) == []


def raises_storage_error(writer: CollectionWriter) -> bool:
    try:
        writer.publish()
    except StorageError:
        return True
    return False


def test_fault_06_file_size_limit_is_no_space_left(root: Path) -> None:
    grow(root, 3, publish_every=3)
    before = Snapshot.open(root).manifest
    full = run(root, 60, file_bytes=3000)
    assert full.returncode == 1
    assert full.stderr.startswith("StorageError: no space left to write ")
    assert full.stderr.count("\n") == 1
    assert Snapshot.open(root).manifest.generation >= before.generation
    assert leftovers(root) == []
    assert verify(root) == []


def test_fault_06_full_device_is_no_space_left(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(root, 3, publish_every=3)
    before = content(root)

    class FullDisk:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
            return os.open("/dev/full" if flags & os.O_WRONLY else path, flags & ~os.O_CREAT, mode)

    with monkeypatch.context() as patched:
        patched.setattr(publish, "os", FullDisk())
        with pytest.raises(StorageError, match=r"no space left to write .*items/00001.parquet; "):
            grow(root, 6, publish_every=6)
    assert leftovers(root) == []
    assert content(root) == before
    grow(root, 6, publish_every=6)


def test_fault_06_index_file_left_empty_by_a_silent_writer_fails(collection: Snapshot) -> None:
    writer = CollectionWriter.open(collection.root)
    with (
        pytest.raises(StorageError, match=r"no space left to write .*indexes/pictures"),
        writer,
        writer.index_folder(PICTURES.name) as folder,
    ):
        (folder / "exact.faiss").touch()
    assert leftovers(collection.root) == []
    assert Snapshot.open(collection.root).manifest == collection.manifest


def test_fault_07_a_file_as_the_folder_fails(root: Path) -> None:
    root.write_text("not a folder")
    with pytest.raises(StorageError, match="is a file, expected a folder"):
        CollectionWriter.open(root, create=True)
    with pytest.raises(StorageError, match="Not a directory"):
        CollectionWriter.open(root / "below", create=True)


def test_fault_07_a_folder_without_permission_fails(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.mkdir()
    monkeypatch.setattr(writer_module.os, "access", lambda path, mode: False)  # root may all else
    with pytest.raises(StorageError, match="Permission denied"):
        CollectionWriter.open(root, create=True)
    assert list(root.iterdir()) == []


def test_fault_07_a_read_only_file_system_fails(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StorageError, match="Read-only file system"):
        CollectionWriter.open(root, create=True)


def test_fault_07_a_folder_of_other_files_fails(root: Path) -> None:
    root.mkdir()
    (root / "holiday.jpg").touch()
    with pytest.raises(CollectionError, match=r"holds 'holiday.jpg' and is not a collection"):
        CollectionWriter.open(root, create=True)
    assert [path.name for path in root.iterdir()] == ["holiday.jpg"]


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


def test_fault_09_of_two_writers_at_once_one_wins(root: Path, tmp_path: Path) -> None:
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
        ids = snapshot.living_ids().tolist()
        assert ids == list(range(snapshot.manifest.next_item_id))
        assert snapshot.covered(SOUND.name) == ids[-1]
        seen.append(snapshot.manifest.generation)
    thread.join()
    assert seen == sorted(seen)


def damaged(path: Path, how: str) -> bytes:
    """Damage a file; returns what it held."""
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = bytes([*whole[:middle], whole[middle] ^ 4, *whole[middle + 1 :]])
    path.write_bytes({"truncated": whole[:-1], "empty": b"", "flipped": flipped}[how])
    return whole


@pytest.mark.parametrize("how", ["truncated", "empty", "flipped"])
def test_fault_12_every_damaged_file_is_found_by_its_name(collection: Snapshot, how: str) -> None:
    root = collection.root
    with CollectionWriter.open(root) as writer:
        writer.remove([3])
    manifest = Snapshot.open(root).manifest
    for file in manifest.files:
        whole = damaged(root / file.path, how)
        problems = verify(root)
        assert len(problems) == 1
        assert file.path in problems[0]
        if how != "flipped":
            with pytest.raises(CollectionDamagedError, match=file.path):
                Snapshot.open(root)
        (root / file.path).write_bytes(whole)
    assert verify(root) == []


@pytest.mark.parametrize("how", ["truncated", "empty", "flipped"])
@pytest.mark.parametrize("name", ["CURRENT", "manifests/000003.json"])
def test_fault_12_damaged_manifest_or_current_is_found_at_opening(
    collection: Snapshot, name: str, how: str
) -> None:
    damaged(collection.root / name, how)
    with pytest.raises(CollectionDamagedError, match=name):
        Snapshot.open(collection.root)
    problems = verify(collection.root)
    assert len(problems) == 1
    assert name in problems[0]


def test_fault_12_every_flipped_bit_of_current_is_found(collection: Snapshot) -> None:
    path = collection.root / "CURRENT"
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(CollectionDamagedError, match=r"CURRENT"):
            Snapshot.open(collection.root)


def test_fault_12_lost_current_fails(collection: Snapshot) -> None:
    (collection.root / "CURRENT").unlink()
    with pytest.raises(CollectionDamagedError, match=r"CURRENT is missing, yet manifests/000003"):
        Snapshot.open(collection.root)
    with pytest.raises(CollectionDamagedError, match="CURRENT is missing"):
        CollectionWriter.open(collection.root, create=True)


def test_fault_13_truncated_index_is_refused_at_opening(collection: Snapshot) -> None:
    (folder,) = collection.index_folders(PICTURES.name)
    assert folder is not None
    damaged(folder / "exact.faiss", "truncated")
    with pytest.raises(CollectionDamagedError, match=r"exact.faiss has 699 bytes, .* lists 700"):
        Snapshot.open(collection.root)


def rewrite_manifest(root: Path, **changes: object) -> None:
    """Put other values into the current manifest, under a digest that is right."""
    path = root / "manifests/000003.json"
    raw = json.loads(path.read_bytes()) | changes
    path.write_text(json.dumps(raw))
    digest = publish.hashlib.sha256(path.read_bytes()).hexdigest()
    (root / "CURRENT").write_bytes(Current(3, digest).to_bytes())


@pytest.mark.parametrize(
    "path", ["../outside.parquet", "items/../../outside.parquet", "/etc/passwd", "items/x.parquet"]
)
def test_fault_14_paths_out_of_the_collection_fail(collection: Snapshot, path: str) -> None:
    file = {"path": path, "bytes": 1, "sha256": "0" * 64, "rows": 0}
    rewrite_manifest(collection.root, files=[file | {"first_item_id": None, "last_item_id": None}])
    with pytest.raises(CollectionFormatError, match="is none that the format knows"):
        Snapshot.open(collection.root)


@pytest.mark.parametrize("name", ["items/00000.parquet", "items", "manifests/000003.json"])
def test_fault_14_links_out_of_the_collection_fail(
    collection: Snapshot, tmp_path: Path, name: str
) -> None:
    link = collection.root / name
    link.rename(tmp_path / "outside")
    link.symlink_to(tmp_path / "outside")
    with pytest.raises(CollectionFormatError, match=r"leads out of the collection"):
        Snapshot.open(collection.root)
    assert any("leads out of the collection" in problem for problem in verify(collection.root))


def test_fault_14_links_in_a_circle_fail(collection: Snapshot) -> None:
    path = collection.root / "items/00000.parquet"
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(CollectionDamagedError, match=r"items/00000.parquet"):
        Snapshot.open(collection.root)


def test_fault_14_other_versions_and_no_json_fail(collection: Snapshot) -> None:
    rewrite_manifest(collection.root, schema_version=3)
    with pytest.raises(CollectionFormatError, match="schema version 3, this release reads 1 to 2"):
        Snapshot.open(collection.root)
    path = collection.root / "manifests/000003.json"
    path.write_text("{generation: 3}")
    digest = publish.hashlib.sha256(path.read_bytes()).hexdigest()
    (collection.root / "CURRENT").write_bytes(Current(3, digest).to_bytes())
    with pytest.raises(CollectionFormatError, match=r"000003.json is not valid JSON"):
        Snapshot.open(collection.root)


def test_fault_15_segments_of_another_dimension_fail(collection: Snapshot) -> None:
    raw = json.loads((collection.root / "manifests/000003.json").read_bytes())
    raw["spaces"][0]["dim"] = 16
    rewrite_manifest(collection.root, spaces=raw["spaces"])
    snapshot = Snapshot.open(collection.root)
    with pytest.raises(CollectionFormatError, match=r"\[8\]; space pictures.*\[16\]"):
        list(snapshot.iter_segments(PICTURES.name))


def test_fault_16_missing_shard_fails_and_an_unlisted_file_is_ignored(
    collection: Snapshot,
) -> None:
    (collection.root / "items/00077.parquet").write_bytes(b"not listed")
    before = content(collection.root)
    assert verify(collection.root) == []
    grow(collection.root, ITEMS + 1, publish_every=100)
    assert Snapshot.open(collection.root).manifest.files[-3].path == "items/00078.parquet"
    assert content(collection.root)[:ITEMS] == before[:ITEMS]
    (collection.root / "items/00078.parquet").unlink()
    with pytest.raises(CollectionDamagedError, match=r"items/00078.parquet.* No such file"):
        Snapshot.open(collection.root)


def test_fault_27_strange_names_come_back_as_they_were(tmp_path: Path) -> None:
    names = ["with space", "new\nline", "quo\"te's", "🐎", "é" * 127, "-rf", "%FF", "a!b;c", "\\"]
    root = tmp_path / "-c 🐎\n'\""
    with CollectionWriter.open(root, create=True) as writer:
        for number, name in enumerate(names):
            new = item(number, **{name: name})
            info = replace(new.info, uri=name, caption=name)
            writer.add(EmbeddedItem(info, {}))
    snapshot = Snapshot.open(root)
    assert list(snapshot.known_files()) == names
    (batch,) = snapshot.iter_items()
    for number, name in enumerate(names):
        assert batch.column(name)[number].as_py() == name
        assert batch.column("caption")[number].as_py() == name
    assert verify(root) == []


def vectors_like(values: list[float]) -> Segments:
    return replace(segments(Medium.IMAGE, 1, 8, 0), vectors=np.array([values], np.float32))


@pytest.mark.parametrize(
    "values",
    [
        [float("nan")] + [0.0] * 7,
        [float("inf")] + [0.0] * 7,
        [0.0] * 8,
        [1.1] + [0.0] * 7,
        [70_000.0] * 8,  # infinite only as float16
    ],
)
def test_fault_28_vectors_that_are_not_of_unit_length_fail(root: Path, values: list[float]) -> None:
    grow(root, 3, publish_every=3)
    with CollectionWriter.open(root) as writer:
        bad = replace(item(3), segments={PICTURES.name: vectors_like(values)})
        with pytest.raises(InvalidVectorError, match=r"/media/0003: vector 0 in pictures"):
            writer.add(bad)
        frames = Frames(np.zeros(1, np.float32), vectors_like(values).vectors)
        bad = replace(item(5), frames={PICTURES.name: frames})
        with pytest.raises(InvalidVectorError, match=r"/media/0005: vector 0 in pictures"):
            writer.add(bad)
        writer.fail(Failure(bad.info.uri, "encode", "a vector of length nan"))
        writer.add(item(4))
    snapshot = Snapshot.open(root)
    assert len(snapshot.living_ids()) == 4
    assert list(snapshot.failures()) == ["/media/0005"]
    for block in snapshot.iter_segments(PICTURES.name):
        np.testing.assert_allclose(
            np.linalg.norm(block.vectors.astype(np.float32), axis=1), 1, atol=1e-3
        )


def test_fault_29_a_changed_file_replaces_its_rows(root: Path) -> None:
    grow(root, 3, publish_every=3)
    with CollectionWriter.open(root) as writer:
        assert writer.snapshot is not None
        known = writer.snapshot.known_files()["/media/0001"]
        changed = replace(item(4), replaces=known.item_id)
        writer.add(replace(changed, info=replace(changed.info, uri="/media/0001")))
    snapshot = Snapshot.open(root)
    assert snapshot.living_ids().tolist() == [0, 2, 3]
    assert snapshot.known_files()["/media/0001"].item_id == 3
    (block,) = snapshot.iter_segments(SOUND.name)
    assert set(block.item_ids.tolist()) == {3}
    grow(root, 3, publish_every=3)
    assert Snapshot.open(root).manifest == snapshot.manifest
