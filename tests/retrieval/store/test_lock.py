from __future__ import annotations

import errno
import json
import os
import socket
from pathlib import Path

import pytest

from retrieval.errors import CollectionLockedError, StorageError
from retrieval.store.lock import CollectionLock


def test_holder_is_named_while_the_lock_is_held(tmp_path: Path) -> None:
    with CollectionLock(tmp_path):
        holder = json.loads((tmp_path / ".lock.holder").read_text())
        assert holder == {"process": os.getpid(), "host": socket.gethostname()}
    assert not (tmp_path / ".lock.holder").exists()
    with CollectionLock(tmp_path):
        pass


@pytest.mark.parametrize("name", ["", "{}", "[1]", "\0"])
def test_holder_that_has_not_written_its_name_fails(tmp_path: Path, name: str) -> None:
    with CollectionLock(tmp_path):
        (tmp_path / ".lock.holder").write_text(name)
        with pytest.raises(CollectionLockedError, match="being written by another process; wait"):
            CollectionLock(tmp_path).acquire()


def test_place_that_cannot_hold_a_lock_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write in .*file: "):
        CollectionLock(tmp_path / "file").acquire()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_fault_06_no_space_for_the_holders_name_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        with pytest.raises(StorageError, match=f"no space left to write in {tmp_path}; free some"):
            CollectionLock(tmp_path).acquire()
    CollectionLock(tmp_path).acquire()


def test_lock_is_released_where_the_holder_cannot_be_named(tmp_path: Path) -> None:
    (tmp_path / ".lock.holder").mkdir()
    with pytest.raises(StorageError, match="Is a directory"):
        CollectionLock(tmp_path).acquire()
    (tmp_path / ".lock.holder").rmdir()
    CollectionLock(tmp_path).acquire()
