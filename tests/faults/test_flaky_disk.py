"""The disk that the campaigns break sees every kind of writing, and nothing elsewhere."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from support.flaky_disk import FlakyDisk


def by_os(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        os.write(descriptor, b"content")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def by_python(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"content")
        file.flush()
        os.fsync(file.fileno())


def by_text(path: Path) -> None:
    path.write_text("content", encoding="utf-8")


def by_arrow(path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file:
        file.write(b"content")


WRITERS: tuple[tuple[Callable[[Path], None], int], ...] = (
    (by_os, 4),
    (by_python, 4),
    (by_text, 3),
    (by_arrow, 3),
)


@pytest.mark.parametrize(("write", "steps"), WRITERS)
def test_every_step_is_counted_and_can_fail(
    tmp_path: Path, write: Callable[[Path], None], steps: int
) -> None:
    with FlakyDisk(tmp_path / "ours") as disk:
        (tmp_path / "ours").mkdir()
        write(tmp_path / "ours" / "a")
        os.replace(tmp_path / "ours" / "a", tmp_path / "ours" / "b")
        write(tmp_path / "elsewhere")
    assert (disk.steps, disk.files) == (1 + steps + 1, 1)
    assert (tmp_path / "ours" / "b").read_bytes() == b"content"
    assert (tmp_path / "elsewhere").read_bytes() == b"content"
    for step in range(1, steps + 1):
        with FlakyDisk(tmp_path / "ours", fail_at=step), pytest.raises(OSError, match="Input/out"):
            write(tmp_path / "ours" / "b")


@pytest.mark.parametrize("write", [writer for writer, _ in WRITERS])
def test_a_file_can_lie_on_a_full_device(tmp_path: Path, write: Callable[[Path], None]) -> None:
    with FlakyDisk(tmp_path, full_at=2):
        write(tmp_path / "a")
        with pytest.raises(OSError, match="No space left") as caught:
            write(tmp_path / "b")
    assert caught.value.errno == errno.ENOSPC
    write(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"content"
