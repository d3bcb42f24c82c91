"""One file under several paths is one item."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from retrieval.embedding.options import EmbedReport
from support.media_files import picture_bytes, write_tar
from support.toy_runs import COLOURS, counts, current, ids, items


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_field_01_a_link_and_its_file_are_one_item(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], link: Callable[..., None]
) -> None:
    link(media / "red.png", media / "best.png")
    assert counts(run(media)) == {"added": 4, "other_paths": 1}
    found = {"media/red.png", "media/best.png"} & ids(tmp_path).keys()
    assert len(found) == 1
    (kept,) = found
    (other,) = {"media/red.png", "media/best.png"} - found
    assert items(tmp_path)[kept]["other_paths"] == json.dumps([f"{tmp_path}/{other}"])
    before = current(tmp_path)
    assert counts(run(media)) == {"unchanged": 4, "other_paths": 1}
    assert current(tmp_path) == before
    (media / Path(other).name).unlink()
    assert counts(run(media)) == {"unchanged": 4}
    assert items(tmp_path)[kept]["other_paths"] is None


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_field_01_another_path_in_a_later_run_adds_no_item(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], link: Callable[..., None],
    encoded: list[int],
) -> None:  # fmt: skip
    run(media)
    (tmp_path / "more").mkdir()
    link(media / "blue.png", tmp_path / "more/b.png")
    encoded.clear()
    assert counts(run(tmp_path / "more")) == {"unchanged": 1, "other_paths": 1}
    assert encoded == []
    assert ids(tmp_path).keys() == {f"media/{colour}.png" for colour in COLOURS}
    noted = items(tmp_path)["media/blue.png"]["other_paths"]
    assert noted == json.dumps([f"{tmp_path}/more/b.png"])
    # The item goes on under its other path when the first one goes.
    if link is os.link:
        item_id = ids(tmp_path)["media/blue.png"]
        (media / "blue.png").unlink()
        assert counts(run(tmp_path / "more")) == {"renamed": 1}
        assert ids(tmp_path)["more/b.png"] == item_id


def test_field_01_items_that_turn_into_one_file_become_one_item(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    shutil.copy2(media / "red.png", media / "copy.png")
    assert counts(run(media)) == {"added": 5}
    (media / "copy.png").unlink()
    (media / "copy.png").hardlink_to(media / "red.png")
    assert counts(run(media)) == {"unchanged": 4, "other_paths": 1}
    assert len(ids(tmp_path)) == 4
    assert counts(run(media)) == {"unchanged": 4, "other_paths": 1}


def test_field_01_a_changed_file_known_by_its_link_is_replaced(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links/r.png").symlink_to(media / "red.png")
    run(tmp_path / "links")
    Image.new("RGB", (30, 30), "white").save(media / "red.png")
    assert counts(run(tmp_path / "links", media / "red.png")) == {"added": 1, "other_paths": 1}
    assert ids(tmp_path) == {"media/red.png": 1}


def test_field_01_a_tar_reached_by_two_paths_is_read_once(
    tmp_path: Path, run: Callable[..., EmbedReport]
) -> None:
    (tmp_path / "t").mkdir()
    write_tar(tmp_path / "t/a.tar", {"1.png": picture_bytes("PNG", 1)})
    (tmp_path / "b.tar").symlink_to("t/a.tar")
    assert counts(run(tmp_path / "b.tar")) == {"added": 1}
    assert counts(run(tmp_path / "t")) == {"unchanged": 1, "other_paths": 1}
    assert ids(tmp_path).keys() == {"b.tar!1.png"}


def test_field_01_a_user_column_of_the_same_name_stays(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    (tmp_path / "list.csv").write_text("path,other_paths\nmedia/red.png,none that I know\n")
    (media / "best.png").symlink_to("red.png")
    run(tmp_path / "list.csv", media)
    assert items(tmp_path)["media/red.png"]["other_paths"] == "none that I know"


def test_field_01_a_user_column_of_numbers_does_not_end_the_run(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    (tmp_path / "list.csv").write_text("path,other_paths\nmedia/red.png,7\n")
    (media / "link.png").symlink_to("blue.png")
    run(tmp_path / "list.csv")
    assert counts(run(media)) == {"unchanged": 1, "added": 3, "other_paths": 1}
    assert items(tmp_path)["media/red.png"]["other_paths"] == 7
