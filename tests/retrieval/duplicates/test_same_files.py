"""Paths of one file are not duplicates, and missing files are last in their group."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.collection import Collection
from retrieval.duplicates.report import write_report
from retrieval.duplicates.same_files import alias_item_ids
from retrieval.store.reader import Snapshot
from retrieval.store.writer import CollectionWriter
from retrieval.types import EmbeddedItem, Medium
from support.commands import run
from support.media_files import picture_bytes, write_tar
from support.vector_items import directions, item_of, write_items


def alike(*paths: Path) -> list[EmbeddedItem]:
    """Items with the same vector."""
    rows = directions(1)
    items = [item_of(path.name, Medium.IMAGE, rows) for path in paths]
    return [
        replace(item, info=replace(item.info, uri=str(path)))
        for item, path in zip(items, paths, strict=True)
    ]


def collection(tmp_path: Path, *paths: Path) -> Collection:
    write_items(tmp_path / "c", alike(*paths))
    return Collection.open(tmp_path / "c")


def groups(opened: Collection) -> list[list[str]]:
    found = opened.duplicates()
    return [[Path(item.uri).name for item in group.items] for group in found]


def touch(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.write_bytes(b"x")
    return paths


def test_field_01_links_are_not_duplicates_of_their_file(tmp_path: Path) -> None:
    owl, copy = touch(tmp_path, "owl.jpg", "copy.jpg")
    best, hard = tmp_path / "best.jpg", tmp_path / "hard.jpg"
    best.symlink_to(owl)
    hard.hardlink_to(owl)
    opened = collection(tmp_path, best, hard, owl, copy)
    # The first of the two regular paths is kept.
    assert alias_item_ids(opened.snapshot).tolist() == [0, 2]
    assert groups(opened) == [["hard.jpg", "copy.jpg"]]
    assert run("dups", tmp_path / "c", "--format", "paths").splitlines() == [str(copy)]


def test_field_01_a_removed_path_hides_no_other_path(tmp_path: Path) -> None:
    (owl,) = touch(tmp_path, "owl.jpg")
    hard = tmp_path / "hard.jpg"
    hard.hardlink_to(owl)
    opened = collection(tmp_path, owl, hard)
    assert alias_item_ids(opened.snapshot).tolist() == [1]
    with CollectionWriter.open(tmp_path / "c") as writer:
        writer.remove([0])
    assert alias_item_ids(Snapshot.open(tmp_path / "c")).tolist() == []


def test_field_01_paths_of_one_file_are_not_a_group(tmp_path: Path) -> None:
    (owl,) = touch(tmp_path, "owl.jpg")
    links = [tmp_path / f"{n}.jpg" for n in range(8)]
    for link in links:
        link.symlink_to(owl)
    opened = collection(tmp_path, owl, *links)
    assert groups(opened) == []
    assert run("dups", tmp_path / "c", "--format", "paths") == ""


def test_field_01_links_do_not_displace_pairs_of_other_files(tmp_path: Path) -> None:
    """Links are not among the five matches of an item."""
    owl, copy = touch(tmp_path, "owl.jpg", "copy.jpg")
    links = [tmp_path / f"{n}.jpg" for n in range(8)]
    for link in links:
        link.hardlink_to(owl)
    (group,) = collection(tmp_path, owl, *links, copy).duplicates()
    assert [[match.item_id for match in item.matches] for item in group.items] == [[9], [0]]


def test_field_01_members_of_a_tar_reached_by_two_paths(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"1.png": picture_bytes("PNG", 1)})
    (tmp_path / "b.tar").symlink_to("a.tar")
    opened = collection(
        tmp_path, *(tmp_path / f"{tar}.tar!{n}.png" for tar in "ba" for n in (1, 2))
    )
    assert alias_item_ids(opened.snapshot).tolist() == [0, 1]
    assert groups(opened) == [["a.tar!1.png", "a.tar!2.png"]]


@pytest.mark.parametrize("modality", [Medium.VIDEO, Medium.AUDIO])
def test_field_01_links_to_films_and_recordings(tmp_path: Path, modality: Medium) -> None:
    film, copy = touch(tmp_path, "film.mkv", "copy.mkv")
    link = tmp_path / "link.mkv"
    link.symlink_to(film)
    rows = directions(6)
    items = [item_of(path.name, modality, rows) for path in (link, film, copy)]
    write_items(
        tmp_path / "c",
        [
            replace(item, info=replace(item.info, uri=str(path)))
            for item, path in zip(items, (link, film, copy), strict=True)
        ],
    )
    assert groups(Collection.open(tmp_path / "c")) == [["film.mkv", "copy.mkv"]]


def test_field_02_missing_files_are_last_in_their_group(tmp_path: Path) -> None:
    dead, dogs, other = touch(tmp_path, "IMG_1.jpg", "dogs.jpg", "other.jpg")
    opened = collection(tmp_path, dead, dogs, other)
    dead.unlink()
    (group,) = opened.duplicates()
    assert [(Path(item.uri).name, item.missing) for item in group.items] == [
        ("dogs.jpg", False), ("other.jpg", False), ("IMG_1.jpg", True),
    ]  # fmt: skip
    assert run("dups", tmp_path / "c", "--format", "paths").splitlines() == [str(other)]
    assert run("dups", tmp_path / "c").count("(missing)") == 1
    other.unlink()
    assert run("dups", tmp_path / "c", "--format", "paths") == ""


def test_field_02_reports_say_which_files_are_missing(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    dead, dogs = touch(tmp_path, "IMG_1.jpg", "dogs.jpg")
    opened = collection(tmp_path, dead, dogs)
    dead.unlink()
    groups = opened.duplicates()
    write_report(tmp_path / "groups.parquet", groups)
    table = pq.read_table(tmp_path / "groups.parquet")
    assert table.column("missing").to_pylist() == [False, True]
    write_report(tmp_path / "groups.json", groups)
    (written,) = json.loads((tmp_path / "groups.json").read_text())["groups"]
    assert [item["missing"] for item in written["items"]] == [False, True]


def test_field_02_files_of_unknown_status_are_not_missing(tmp_path: Path) -> None:
    rows = np.repeat(directions(1), 2, axis=0)
    items = [item_of("x", Medium.IMAGE, row[None]) for row in rows]
    uris = ("https://example.org/1.jpg", "relative.jpg")
    write_items(
        tmp_path / "c",
        [
            replace(item, info=replace(item.info, uri=uri))
            for item, uri in zip(items, uris, strict=True)
        ],
    )
    (group,) = Collection.open(tmp_path / "c").duplicates()
    assert [item.missing for item in group.items] == [False, False]
