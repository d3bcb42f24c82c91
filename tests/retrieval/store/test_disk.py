"""Promises about the disk: steps that fail, no space, folders that refuse."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from store_samples import PICTURES, content, grow, item, leftovers
from writer_runs import problems_without_collection, run, steps_of_a_run

from retrieval.errors import (
    CollectionError,
    StorageError,
)
from retrieval.files.writing import check_output
from retrieval.store.lock import HOLDER_NAME
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter
from support.flaky_system import FlakySystem, use_system


@pytest.mark.long
def test_fault_05_every_failing_step_is_reported_and_a_retry_succeeds(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = steps_of_a_run(tmp_path / "whole", monkeypatch, items=3)
    expected = content(tmp_path / "whole")
    failed = set()
    for step in range(1, steps + 1):
        shutil.rmtree(root, ignore_errors=True)
        system = FlakySystem(fail_at=step)
        use_system(system, monkeypatch.setattr)
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
            use_system(FlakySystem(fail_at=step), monkeypatch.setattr)
            writer.add(item(step + 1))
            if not raises_storage_error(writer):
                break
            writer.publish()
    assert step > 60
    assert Snapshot.open(root).item_ids().tolist() == list(range(step + 2))
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
            if flags & os.O_WRONLY and HOLDER_NAME not in path.name:
                path, flags = Path("/dev/full"), flags & ~os.O_CREAT
            return os.open(path, flags, mode)

    with monkeypatch.context() as patched:
        use_system(FullDisk(), patched.setattr)
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
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may all else
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


def test_field_60_a_read_only_mount_is_reported(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Told apart from a missing permission, which chmod mends."""
    root.mkdir()
    real = os.statvfs(root)

    class ReadOnly:
        f_flag = real.f_flag | os.ST_RDONLY

    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(os, "statvfs", lambda path: ReadOnly)
    with pytest.raises(StorageError, match=f"cannot write {root}: Read-only file system"):
        CollectionWriter.open(root, create=True)
    with pytest.raises(StorageError, match="Read-only file system"):
        check_output(tmp_path / "page.html")


def test_fault_07_a_folder_of_other_files_fails(root: Path) -> None:
    root.mkdir()
    (root / "holiday.jpg").touch()
    with pytest.raises(CollectionError, match=r"holds 'holiday.jpg' and is not a collection"):
        CollectionWriter.open(root, create=True)
    assert [path.name for path in root.iterdir()] == ["holiday.jpg"]
