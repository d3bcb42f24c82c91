"""New captions and columns of known files are stored without embedding them again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from retrieval.embedding.options import EmbedReport
from retrieval.store.reader import Snapshot
from support.media_files import picture_bytes, write_tar
from support.toy_runs import counts, current, items


def test_field_18_new_captions_and_columns_are_stored_without_embedding(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], encoded: list[int]
) -> None:
    table = tmp_path / "list.csv"
    table.write_text("path,caption,year\nmedia/red.png,red,1\nmedia/blue.png,blue,2\n")
    run(table)
    manifest = Snapshot.open(tmp_path / "c").manifest
    encoded.clear()
    table.write_text(
        "path,caption,year,place\nmedia/red.png,a red one,1,here\nmedia/blue.png,blue,,\n"
    )
    assert counts(run(table)) == {"updated": 2}
    assert encoded == []
    rows = items(tmp_path)
    names = ("item_id", "caption", "year", "place")
    assert [rows["media/red.png"][name] for name in names] == [0, "a red one", 1, "here"]
    assert [rows["media/blue.png"][name] for name in names] == [1, "blue", None, None]
    now = Snapshot.open(tmp_path / "c").manifest
    assert now.files_in(f"segments/{now.spaces[0].name}") == manifest.files_in(
        f"segments/{manifest.spaces[0].name}"
    )
    before = current(tmp_path)
    assert counts(run(table)) == {"unchanged": 2}
    assert current(tmp_path) == before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("path,caption\nmedia/red.png,red\n", "path,caption\nmedia/red.png,\n"),
        ("path,caption\nmedia/red.png,red\n", "path,caption\nmedia/red.png,  \n"),
        ("path,text\nmedia/red.png,red\nmedia/red.png,dark\n", "path,text\nmedia/red.png,\n"),
        ("path,text\nmedia/red.png,red\n", "path,text\nmedia/red.png,\nmedia/red.png,\n"),
    ],
)
def test_field_18_an_emptied_caption_of_a_list_is_empty(
    tmp_path: Path,
    media: Path,
    run: Callable[..., EmbedReport],
    encoded: list[int],
    before: str,
    after: str,
) -> None:
    table = tmp_path / "list.csv"
    table.write_text(before)
    run(table)
    assert items(tmp_path)["media/red.png"]["caption"].startswith("red")
    encoded.clear()
    table.write_text(after)
    assert counts(run(table)) == {"updated": 1}
    assert encoded == []
    assert items(tmp_path)["media/red.png"]["caption"] is None
    generation = current(tmp_path)
    assert counts(run(table)) == {"unchanged": 1}
    assert current(tmp_path) == generation


@pytest.mark.parametrize("value", ['""', "null", "[]", '["", " "]'])
def test_field_18_an_emptied_caption_of_jsonl_is_empty_and_a_missing_one_stays(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], value: str
) -> None:
    table = tmp_path / "list.jsonl"
    lines = '{"path": "media/%s.png", "caption": "%s"}\n'
    table.write_text(lines % ("red", "red") + lines % ("blue", "blue"))
    run(table)
    table.write_text(
        f'{{"path": "media/red.png", "caption": {value}}}\n{{"path": "media/blue.png"}}\n'
    )
    assert counts(run(table)) == {"updated": 1, "unchanged": 1}
    assert [items(tmp_path)[f"media/{name}.png"]["caption"] for name in ("red", "blue")] == [
        None, "blue",
    ]  # fmt: skip


def test_field_18_emptied_captions_beside_files_and_in_tars_are_empty(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    captions = media / "captions.jsonl"
    (media / "red.txt").write_text("red")
    captions.write_text('{"file": "blue.png", "caption": "blue"}\n')
    picture = picture_bytes("PNG", 1)
    tar = write_tar(tmp_path / "a.tar", {"1.png": picture, "1.txt": b"one"})
    run(media, tar)
    (media / "red.txt").write_text("\n")
    captions.write_text('{"file": "blue.png", "caption": ""}\n')
    write_tar(tar, {"1.png": picture, "1.txt": b" "})
    assert counts(run(media, tar)) == {"updated": 3, "unchanged": 2}
    assert {row["caption"] for row in items(tmp_path).values()} == {None}


def test_field_18_an_empty_caption_does_not_hide_another(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("path,caption\nmedia/red.png,\n")
    second.write_text("path,caption\nmedia/red.png,red\n")
    run(first, second)
    assert items(tmp_path)["media/red.png"]["caption"] == "red"
    (media / "red.txt").write_text("beside the file")
    run(first)
    assert items(tmp_path)["media/red.png"]["caption"] == "beside the file"


def test_field_18_columns_under_other_names_and_types_are_unchanged(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    table = tmp_path / "list.csv"
    table.write_text("path,width,r\nmedia/red.png,640,1\nmedia/blue.png,32,x\n")
    run(table)
    rows = items(tmp_path)
    assert [rows["media/red.png"][name] for name in ("source_width", "r")] == [640, "1"]
    before = current(tmp_path)
    assert counts(run(table)) == {"unchanged": 2}
    assert current(tmp_path) == before
    table.write_text("path,width,r\nmedia/red.png,641,1\nmedia/blue.png,32,x\n")
    assert counts(run(table)) == {"unchanged": 1, "updated": 1}
    assert items(tmp_path)["media/red.png"]["source_width"] == 641


def test_field_18_captions_next_to_files_and_in_folders_are_read_again(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], encoded: list[int]
) -> None:
    (media / "red.txt").write_text("first")
    run(media)
    encoded.clear()
    (media / "red.txt").write_text("second")
    (media / "captions.jsonl").write_text('{"file": "blue.png", "caption": "a blue one"}\n')
    assert counts(run(media)) == {"updated": 2, "unchanged": 2}
    assert encoded == []
    captions = {name: row["caption"] for name, row in items(tmp_path).items()}
    assert captions == {
        "media/blue.png": "a blue one", "media/green.png": None, "media/red.png": "second",
        "media/yellow.png": None,
    }  # fmt: skip


def test_field_18_columns_that_a_source_lacks_stay(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    (tmp_path / "list.csv").write_text("path,caption,year\nmedia/red.png,red,1\n")
    run(tmp_path / "list.csv")
    assert counts(run(media)) == {"unchanged": 1, "added": 3}
    assert [items(tmp_path)["media/red.png"][name] for name in ("caption", "year")] == ["red", 1]


def test_field_18_a_list_after_its_folder_adds_its_columns(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], encoded: list[int]
) -> None:
    """The folder lists the files first: what the list says of them is not lost."""
    table = tmp_path / "list.csv"
    (media / "red.txt").write_text("beside the file")
    table.write_text("path,caption,year\nmedia/red.png,in the list,1\nmedia/blue.png,blue,2\n")
    assert counts(run(media, table)) == {"added": 4}
    names = ("caption", "year")
    stored = {name: [row[n] for n in names] for name, row in items(tmp_path).items()}
    assert stored["media/red.png"] == ["beside the file", 1]
    assert stored["media/blue.png"] == ["blue", 2]
    assert stored["media/green.png"] == [None, None]
    before = current(tmp_path)
    encoded.clear()
    assert counts(run(media, table)) == {"unchanged": 4}
    assert current(tmp_path) == before
    table.write_text("path,caption,year\nmedia/red.png,in the list,3\nmedia/blue.png,sky,2\n")
    run(media, table)
    assert encoded == []
    rows = items(tmp_path)
    assert [rows["media/red.png"][name] for name in names] == ["beside the file", 3]
    assert [rows["media/blue.png"][name] for name in names] == ["sky", 2]


def test_field_18_members_of_a_tar_get_their_new_metadata(
    tmp_path: Path, run: Callable[..., EmbedReport], encoded: list[int]
) -> None:
    picture = picture_bytes("PNG", 1)
    write_tar(tmp_path / "a.tar", {"1.png": picture, "1.txt": b"one"})
    run(tmp_path / "a.tar")
    encoded.clear()
    write_tar(tmp_path / "a.tar", {"1.png": picture, "1.txt": b"uno", "1.json": b'{"year": 3}'})
    assert counts(run(tmp_path / "a.tar")) == {"updated": 1}
    assert encoded == []
    row = items(tmp_path)["a.tar!1.png"]
    assert (row["item_id"], row["caption"], row["year"]) == (0, "uno", 3)


def test_field_18_a_new_time_is_stored_so_that_the_file_is_read_once(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], encoded: list[int]
) -> None:
    run(media)
    os.utime(media / "red.png", (1, 1))
    encoded.clear()
    assert counts(run(media)) == {"unchanged": 4}
    assert items(tmp_path)["media/red.png"]["mtime"] == 1.0
    before = current(tmp_path)
    assert counts(run(media)) == {"unchanged": 4}
    assert (encoded, current(tmp_path)) == ([], before)
