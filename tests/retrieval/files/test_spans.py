"""A span of a file reads as a file of its own."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from retrieval.files.spans import open_span

CONTENT = bytes(range(200))


@pytest.fixture
def descriptor(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    handle = os.open(path, os.O_RDONLY)
    yield handle
    os.close(handle)


def test_a_span_has_its_own_beginning_and_end(descriptor: int) -> None:
    with open_span(descriptor, 50, 20) as file:
        assert file.read() == CONTENT[50:70]
        assert file.read() == b""
        assert file.seek(-5, io.SEEK_END) == 15
        assert file.read(3) == CONTENT[65:68]
        assert file.seek(2) == 2
        assert file.read(1) == CONTENT[52:53]
        assert file.tell() == 3


def test_spans_of_one_descriptor_do_not_disturb_each_other(descriptor: int) -> None:
    with open_span(descriptor, 0, 100) as first, open_span(descriptor, 100, 100) as second:
        assert first.read(10) == CONTENT[:10]
        assert second.read(10) == CONTENT[100:110]
        assert first.read(10) == CONTENT[10:20]
    assert os.read(descriptor, 5) == CONTENT[:5]  # it is open, and at its beginning


def test_a_negative_position_is_refused(descriptor: int) -> None:
    with open_span(descriptor, 50, 20) as file, pytest.raises(ValueError, match="negative"):
        file.seek(-1)


def test_a_file_that_was_cut_ends_early(descriptor: int, tmp_path: Path) -> None:
    os.truncate(tmp_path / "file", 60)
    with open_span(descriptor, 50, 20) as file:
        assert file.read() == CONTENT[50:60]
