from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from retrieval.collection import Collection
from retrieval.errors import CollectionLockedError, CollectionNotFoundError, StorageError
from retrieval.files import writing
from retrieval.store.compact import compact
from retrieval.store.lock import HOLDER_NAME, CollectionLock
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.store.writer import CollectionWriter


def test_holder_is_named_while_the_lock_is_held(tmp_path: Path) -> None:
    with CollectionLock(tmp_path):
        holder = json.loads((tmp_path / ".lock.holder").read_text())
        assert holder == {"process": os.getpid(), "host": socket.gethostname()}
    assert not (tmp_path / ".lock.holder").exists()
    with CollectionLock(tmp_path):
        pass


@pytest.mark.parametrize("name", ["", "{}", "[1]", "\0"])
def test_a_holder_without_a_valid_note_is_another_process(tmp_path: Path, name: str) -> None:
    with CollectionLock(tmp_path):
        (tmp_path / ".lock.holder").write_text(name)
        with pytest.raises(CollectionLockedError, match="being written by another process; wait"):
            CollectionLock(tmp_path).acquire()


def test_a_file_instead_of_the_folder_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*file/\.lock: "):
        CollectionLock(tmp_path / "file").acquire()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_fault_06_no_space_for_the_name_of_the_holder_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(writing.os, "write", full)
        with pytest.raises(StorageError, match=rf"no space left to write {tmp_path}.*; free some"):
            CollectionLock(tmp_path).acquire()
    CollectionLock(tmp_path).acquire()


def test_the_lock_is_released_if_the_note_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / ".lock.holder").mkdir()
    with pytest.raises(StorageError, match="Is a directory"):
        CollectionLock(tmp_path).acquire()
    (tmp_path / ".lock.holder").rmdir()
    CollectionLock(tmp_path).acquire()


def test_field_34_an_incomplete_collection_has_its_own_message(tmp_path: Path) -> None:
    """Nothing is published before the first shard is full or a minute old."""
    root = tmp_path / "c"
    readers = (
        Snapshot.open,
        Collection.open,
        compact,
        verify,
        lambda r: Snapshot.open_generation(r, 1),
    )
    with CollectionWriter.open(root, create=True):
        for reader in readers:
            with pytest.raises(CollectionNotFoundError) as caught:
                reader(root)
            writer = f"process {os.getpid()} on {os.uname().nodename}"
            assert str(caught.value).startswith(f"{root} has no published generation yet: {writer}")
            assert "is not a collection" not in str(caught.value)
    for reader in readers:
        with pytest.raises(CollectionNotFoundError, match="is not a collection"):
            reader(root)


@pytest.mark.parametrize(
    "note",
    [
        '{"process": %d, "host": "%s"}',  # a process that has ended
        '{"process": "x", "host": "%s"}', '{"process": 1e400, "host": "%s"}', "[]", "", "\xff",
        '{"process": 99999999999999999999, "host": "%s"}',
    ],
)  # fmt: skip
def test_field_34_the_note_of_a_dead_writer_is_ignored(tmp_path: Path, note: str) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    values = {2: (ended.pid, os.uname().nodename), 1: (os.uname().nodename,), 0: ()}
    text = note % values[note.count("%")]
    (tmp_path / HOLDER_NAME).write_bytes(text.encode("latin-1"))
    with pytest.raises(CollectionNotFoundError, match="is not a collection"):
        Snapshot.open(tmp_path)
