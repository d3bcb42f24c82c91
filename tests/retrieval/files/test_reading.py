"""Only regular files are opened: whatever else has the name of one is an error, never a wait."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from indexes.errors import RetrievalError
from retrieval.errors import DamagedMediaError
from retrieval.evaluation.annotations import read_annotations
from retrieval.exchange.sources import open_source
from retrieval.files.reading import check_regular, open_regular, read_regular, read_text
from retrieval.media.archives.tar import open_member
from retrieval.media.captions import find_caption
from retrieval.media.containers.reading import open_container
from retrieval.media.images.reading import read_image
from retrieval.search.query import read_queries
from retrieval.zero_shot.illustration import read_sentences
from retrieval.zero_shot.prompts import read_labels
from support.media_lists import read_list
from support.special_files import MAKERS


def test_regular_files_and_links_to_them_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo\n")
    (tmp_path / "link.txt").symlink_to("a.txt")
    check_regular(tmp_path / "link.txt")
    with open_regular(str(tmp_path / "a.txt")) as file:
        assert file.read(3) == b"one"
    assert read_regular(tmp_path / "link.txt") == b"one\r\ntwo\n"
    assert read_text(tmp_path / "a.txt") == "one\ntwo\n"


@pytest.mark.parametrize("noun", MAKERS)
def test_field_08_special_files_are_named_and_never_opened(tmp_path: Path, noun: str) -> None:
    path = tmp_path / "special"
    MAKERS[noun](path)
    for reader in (check_regular, open_regular, read_regular, read_text):
        with pytest.raises(OSError, match=f"is {noun}, expected a regular file"):
            reader(path)


def test_field_08_a_file_that_turns_into_a_fifo_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at a file and its opening it can be replaced."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").touch()
    regular = os.stat(tmp_path / "file")
    monkeypatch.setattr(os, "stat", lambda path: regular)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="is a FIFO"):
        open_regular(tmp_path / "fifo")
    assert os.listdir("/proc/self/fd") == before


def _sound(path: Path) -> None:
    with open_container(str(path)):
        pass


def _member(path: Path) -> None:
    with open_member(str(path), "a.jpg"):
        pass


READERS: dict[str, Callable[[Path], object]] = {
    "list.csv": lambda path: list(read_list(str(path))),
    "list.tsv": lambda path: list(read_list(str(path))),
    "list.jsonl": lambda path: list(read_list(str(path))),
    "list.parquet": lambda path: list(read_list(str(path))),
    "vectors.npy": open_source,
    "vectors.parquet": open_source,
    "truth.json": lambda path: list(read_annotations(path)),
    "truth.jsonl": lambda path: list(read_annotations(path)),
    "queries.jsonl": read_queries,
    "labels.txt": lambda path: read_labels(str(path)),
    "recipe.txt": read_sentences,
    "picture.png": lambda path: read_image(str(path)),
    "film.mp4": _sound,
    "pictures.tar": _member,
}


@pytest.mark.parametrize("noun", MAKERS)
@pytest.mark.parametrize("name", READERS)
def test_field_08_readers_refuse_special_files(tmp_path: Path, name: str, noun: str) -> None:
    MAKERS[noun](tmp_path / name)
    with pytest.raises((RetrievalError, OSError)) as caught:
        READERS[name](tmp_path / name)
    assert "\n" not in str(caught.value)
    if (name, noun) not in UNLIKE:
        assert re.search(f"{noun}, expected a regular file", str(caught.value))


UNLIKE = {("labels.txt", noun) for noun in MAKERS} | {
    (name, "a folder") for name in ("vectors.npy", "vectors.parquet", "recipe.txt")
}
"""Cases whose message says something else: a folder can be a source of vectors, for one."""


@pytest.mark.parametrize("noun", MAKERS)
@pytest.mark.parametrize("name", ["a.txt", "captions.jsonl"])
def test_field_08_captions_that_are_not_files_are_ignored(
    tmp_path: Path, name: str, noun: str
) -> None:
    (tmp_path / "a.png").touch()
    MAKERS[noun](tmp_path / name)
    assert find_caption(str(tmp_path / "a.png")) is None


def test_field_08_a_damaged_tar_keeps_its_message(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(DamagedMediaError, match=r"a\.tar: no member a\.jpg can be read"):
        _member(tmp_path / "a.tar")
