from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from retrieval.errors import StorageError
from retrieval.files.writing import PartialFile, write_atomically


def accept(path: Path, file: PartialFile) -> None:
    assert path.stat().st_size == file.bytes


def test_a_file_is_written_completely_and_digested(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with write_atomically(path, accept) as file:
        file.write(b"one ")
        file.write(b"two")
        assert not path.exists()
    assert path.read_bytes() == b"one two"
    assert (file.bytes, file.sha256) == (7, hashlib.sha256(b"one two").hexdigest())
    assert os.listdir(tmp_path) == ["file"]


def test_a_refused_file_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def refuse(partial: Path, _: PartialFile) -> None:
        assert partial.read_bytes() == b"new"
        raise StorageError("not as written")

    with (
        pytest.raises(StorageError, match="not as written"),
        write_atomically(path, refuse) as file,
    ):
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_replacing_a_device_fails() -> None:
    with (
        pytest.raises(StorageError, match="cannot write /dev/null: not a plain file"),
        write_atomically(Path("/dev/null"), accept),
    ):
        pass
