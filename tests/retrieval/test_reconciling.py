"""What a run knows without decoding: renamed files, other paths, new metadata, missing files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from retrieval.embed_options import EmbedOptions, EmbedReport
from retrieval.embedding import embed
from retrieval.errors import DamagedMediaError
from retrieval.media import walking
from retrieval.search.build import build_index
from retrieval.search.request import IndexRequest
from retrieval.search.searcher import Searcher
from retrieval.store.compact import compact
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.types import Medium, Scalar
from support import embed_process
from support.media_files import picture_bytes, write_tar
from support.special_files import MAKERS
from support.toy_encoder import ToyEncoder

COLOURS = ("red", "green", "blue", "yellow")


@pytest.fixture(autouse=True)
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Toy encoders; the numbers of pictures of every call."""
    embed_process.use_toys(monkeypatch.setattr)
    calls: list[int] = []
    encode = ToyEncoder.encode_images

    def counted(self, pixels):
        calls.append(len(pixels))
        return encode(self, pixels)

    monkeypatch.setattr(ToyEncoder, "encode_images", counted)
    return calls


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """red.png, green.png, blue.png and yellow.png."""
    return pictures(tmp_path / "media", *COLOURS)


def pictures(folder: Path, *colours: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for colour in colours:
        Image.new("RGB", (20, 20), colour).save(folder / f"{colour}.png")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., EmbedReport]:
    """Embeds sources into one collection."""

    def embed_them(*sources: object, **options: object) -> EmbedReport:
        given = {"models": ("toy:toy",), "workers": 0} | options
        return embed(sources, tmp_path / "c", EmbedOptions(**given))  # type: ignore[arg-type]

    return embed_them


def items(tmp_path: Path) -> dict[str, dict[str, Scalar]]:
    """The rows of the living items, by the path below the test's folder."""
    rows = [
        row for batch in Snapshot.open(tmp_path / "c").iter_items() for row in batch.to_pylist()
    ]
    assert verify(tmp_path / "c") == []
    return {str(row["uri"]).removeprefix(f"{tmp_path}/"): row for row in rows}


def ids(tmp_path: Path) -> dict[str, object]:
    return {name: row["item_id"] for name, row in items(tmp_path).items()}


def counts(report: EmbedReport) -> dict[str, int]:
    """The numbers of a report that are not 0."""
    names = (
        "unchanged", "renamed", "updated", "other_paths", "gone", "pruned", "failed", "replaced",
        "without_encoder", "completed",
    )  # fmt: skip
    found = {name: getattr(report, name) for name in names} | {"added": sum(report.added.values())}
    return {name: number for name, number in found.items() if number}


def current(tmp_path: Path) -> bytes:
    return (tmp_path / "c/CURRENT").read_bytes()


# ---------------------------------------------------------------- one file, several paths


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
def test_field_01_another_path_in_a_later_run_is_no_new_item(
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


def test_field_01_a_users_own_column_of_the_name_stays(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    (tmp_path / "list.csv").write_text("path,other_paths\nmedia/red.png,none that I know\n")
    (media / "best.png").symlink_to("red.png")
    run(tmp_path / "list.csv", media)
    assert items(tmp_path)["media/red.png"]["other_paths"] == "none that I know"


def test_field_01_a_users_own_column_of_numbers_does_not_end_the_run(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    (tmp_path / "list.csv").write_text("path,other_paths\nmedia/red.png,7\n")
    (media / "link.png").symlink_to("blue.png")
    run(tmp_path / "list.csv")
    assert counts(run(media)) == {"unchanged": 1, "added": 3, "other_paths": 1}
    assert items(tmp_path)["media/red.png"]["other_paths"] == 7


# ---------------------------------------------------------------- renamed files


def test_field_19_a_renamed_file_keeps_its_item(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], encoded: list[int]
) -> None:
    run(media)
    before = Snapshot.open(tmp_path / "c").manifest
    (media / "red.png").rename(media / "dogs.png")
    encoded.clear()
    assert counts(run(media)) == {"unchanged": 3, "renamed": 1}
    assert encoded == []
    assert ids(tmp_path)["media/dogs.png"] == [*sorted(COLOURS)].index("red")
    after = Snapshot.open(tmp_path / "c").manifest
    assert [file for file in after.files if file.path.startswith("segments/")] == [
        file for file in before.files if file.path.startswith("segments/")
    ]
    assert counts(run(media)) == {"unchanged": 4}


def test_field_19_a_moved_folder_does_not_double_the_collection(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], encoded: list[int]
) -> None:
    (media / "red.txt").write_text("a red one")
    for folder in ("x", "y"):  # the same content twice: the names tell them apart
        (media / folder).mkdir()
        shutil.copy(media / "red.png", media / folder / f"{folder}.png")
    run(media)
    before = ids(tmp_path)
    media.rename(tmp_path / "moved")
    encoded.clear()
    assert counts(run(tmp_path / "moved")) == {"renamed": 6}
    assert encoded == []
    assert ids(tmp_path) == {name.replace("media", "moved"): i for name, i in before.items()}
    assert items(tmp_path)["moved/red.png"]["caption"] == "a red one"


def test_field_19_a_copy_whose_first_is_there_is_a_new_item(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    run(media)
    shutil.copy(media / "red.png", media / "copy.png")
    assert counts(run(media)) == {"unchanged": 4, "added": 1}
    (media / "red.png").unlink()
    shutil.copy(media / "copy.png", media / "other.png")
    shutil.copy(media / "copy.png", media / "third.png")
    assert counts(run(media)) == {"unchanged": 4, "renamed": 1, "added": 1}


def test_field_19_another_content_of_the_same_size_is_a_new_item(
    tmp_path: Path, run: Callable[..., EmbedReport]
) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (20, 20), colour).save(folder / f"{name}.bmp")
    run(folder)
    (folder / "a.bmp").unlink()
    Image.new("RGB", (20, 20), "green").save(folder / "c.bmp")
    assert counts(run(folder)) == {"unchanged": 1, "added": 1, "gone": 1}


def test_field_19_a_renamed_file_gets_the_metadata_of_its_new_place(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], encoded: list[int]
) -> None:
    (tmp_path / "list.csv").write_text("path,year\nmedia/red.png,2020\n")
    run(tmp_path / "list.csv")
    (media / "red.png").rename(media / "r.png")
    (tmp_path / "list.csv").write_text("path,year,caption\nmedia/r.png,2021,red\n")
    encoded.clear()
    assert counts(run(tmp_path / "list.csv")) == {"renamed": 1}
    assert encoded == []
    row = items(tmp_path)["media/r.png"]
    assert (row["item_id"], row["year"], row["caption"]) == (0, 2021, "red")


def test_field_19_an_index_finds_renamed_files_by_their_new_names(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    """An index has a copy of the items' columns: it is not asked for what changed since."""
    run(media)
    toy = embed_process.TOYS["toy:toy"]
    build_index(tmp_path / "c", request=IndexRequest("exact"), encoders=lambda space: toy)
    (media / "red.png").rename(media / "sunset.png")
    (media / "blue.txt").write_text("the sea")
    assert counts(run(media)) == {"unchanged": 2, "renamed": 1, "updated": 1}

    def answers(text: str) -> list[tuple[str, object]]:
        searcher = Searcher(Snapshot.open(tmp_path / "c"), lambda space: toy)
        hits = searcher.search(text, k=1).hits
        return [(Path(hit.uri).name, hit.metadata.get("caption")) for hit in hits]

    assert answers("red") == [("sunset.png", None)]
    assert answers("blue") == [("blue.png", "the sea")]
    assert answers("green") == [("green.png", None)]
    compact(tmp_path / "c")
    assert answers("red") == [("sunset.png", None)]
    build_index(tmp_path / "c", request=IndexRequest("exact"), encoders=lambda space: toy)
    assert answers("red") == [("sunset.png", None)]
    assert answers("blue") == [("blue.png", "the sea")]


def test_field_19_members_of_a_renamed_tar_keep_their_items(
    tmp_path: Path, run: Callable[..., EmbedReport], encoded: list[int]
) -> None:
    members = {f"{n}.png": picture_bytes("PNG", n) for n in range(3)} | {"2.txt": b"two"}
    write_tar(tmp_path / "a.tar", members)
    run(tmp_path / "a.tar")
    (tmp_path / "a.tar").rename(tmp_path / "b.tar")
    encoded.clear()
    assert counts(run(tmp_path / "b.tar")) == {"renamed": 3}
    assert encoded == []
    assert ids(tmp_path) == {f"b.tar!{n}.png": n for n in range(3)}
    assert items(tmp_path)["b.tar!2.png"]["caption"] == "two"
    # Renamed, and changed: one member stays, one is another, one is gone, one is new.
    (tmp_path / "b.tar").unlink()
    names = {"0.png": 0, "1.png": 7, "3.png": 8}
    write_tar(tmp_path / "c.tar", {name: picture_bytes("PNG", n) for name, n in names.items()})
    assert counts(run(tmp_path / "c.tar")) == {"renamed": 1, "unchanged": 1, "added": 2}
    assert ids(tmp_path)["c.tar!0.png"] == 0


def test_field_19_a_further_model_reads_renamed_files_where_they_are(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of items are read before new ones: by then their new paths must be known."""
    other = ToyEncoder(name="other")
    monkeypatch.setitem(embed_process.TOYS, other.spec, other)
    run(media)
    media.rename(tmp_path / "moved")
    report = run(tmp_path / "moved", models=("toy:other",))
    assert counts(report) == {"completed": 4, "renamed": 4}
    snapshot = Snapshot.open(tmp_path / "c")
    assert [snapshot.count_segments(space.name) for space in snapshot.spaces] == [4, 4]
    assert snapshot.failures() == {}


def test_field_19_what_is_gone_is_counted_and_pruned(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    pictures(tmp_path / "else", "white", "black")
    run(media, tmp_path / "else")
    for path in (media / "red.png", tmp_path / "else/black.png"):
        path.unlink()
    assert counts(run(media)) == {"unchanged": 3, "gone": 1}
    assert "media/red.png" in ids(tmp_path)
    assert counts(run(media, prune=True)) == {"unchanged": 3, "pruned": 1}
    assert ids(tmp_path).keys() == {
        "media/blue.png", "media/green.png", "media/yellow.png", "else/black.png",
        "else/white.png",
    }  # fmt: skip
    assert counts(run(media, prune=True)) == {"unchanged": 3}
    assert counts(run(tmp_path / "else/*.png", prune=True)) == {"unchanged": 1, "pruned": 1}


def test_field_19_prune_follows_renames_first_and_leaves_what_is_excluded(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    run(media)
    (media / "red.png").rename(media / "z.png")
    assert counts(run(media, prune=True, exclude=("blue*",))) == {"unchanged": 2, "renamed": 1}
    assert ids(tmp_path).keys() == {f"media/{n}.png" for n in ("blue", "green", "yellow", "z")}


def test_field_19_prune_removes_rows_of_lists_and_members_of_tars_that_are_gone(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    (tmp_path / "list.csv").write_text("path\nmedia/red.png\nmedia/blue.png\n")
    write_tar(tmp_path / "a.tar", {f"{n}.png": picture_bytes("PNG", n) for n in range(3)})
    sources = (tmp_path / "list.csv", tmp_path / "a.tar")
    run(*sources)
    (media / "red.png").unlink()
    write_tar(tmp_path / "a.tar", {"1.png": picture_bytes("PNG", 1), "2.png": b"broken"})
    report = run(*sources)
    assert counts(report) == {"unchanged": 2, "failed": 2, "gone": 2}
    assert counts(run(*sources, prune=True))["pruned"] == 2
    # The member that cannot be read any more is still there.
    assert ids(tmp_path).keys() == {"media/blue.png", "a.tar!1.png", "a.tar!2.png"}


def test_field_19_what_cannot_be_looked_at_is_not_gone(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(media / "closed", "white")
    run(media)
    real_scandir, real_stat = os.scandir, os.stat

    def refuse(path: object) -> None:
        if "closed" in str(path):
            raise PermissionError(13, "Permission denied", path)

    with monkeypatch.context() as patched:
        patched.setattr(walking.os, "scandir", lambda p: refuse(p) or real_scandir(p))
        patched.setattr(os, "stat", lambda p, **how: refuse(p) or real_stat(p, **how))
        report = run(media, prune=True)
    assert counts(report) == {"unchanged": 4, "failed": 1}
    assert len(ids(tmp_path)) == 5
    assert counts(run(media)) == {"unchanged": 5}
    assert Snapshot.open(tmp_path / "c").failures() == {}


# ---------------------------------------------------------------- metadata


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
    assert now.listed(f"segments/{now.spaces[0].name}") == manifest.listed(
        f"segments/{manifest.spaces[0].name}"
    )
    before = current(tmp_path)
    assert counts(run(table)) == {"unchanged": 2}
    assert current(tmp_path) == before


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


def test_field_18_captions_beside_files_and_in_folders_are_read_again(
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


def test_field_18_what_a_source_does_not_mention_stays(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    (tmp_path / "list.csv").write_text("path,caption,year\nmedia/red.png,red,1\n")
    run(tmp_path / "list.csv")
    assert counts(run(media)) == {"unchanged": 1, "added": 3}
    assert [items(tmp_path)["media/red.png"][name] for name in ("caption", "year")] == ["red", 1]


def test_field_18_a_list_behind_its_folder_brings_its_columns(
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


# ---------------------------------------------------------------- failures of single files


def test_field_03_rows_of_missing_files_fail_in_every_run_and_the_rest_goes_on(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    table = tmp_path / "list.csv"
    table.write_text("path\nmedia/gone.png\nmedia/red.png\n")
    report = run(table)
    assert counts(report) == {"added": 1, "failed": 1}
    assert report.failures[0].uri == str(media / "gone.png")
    assert report.failures[0].reason.startswith("No such file or directory; ")
    before = current(tmp_path)
    assert counts(run(table)) == {"unchanged": 1, "failed": 1}
    assert current(tmp_path) == before
    (tmp_path / "second.csv").write_text("path\nmedia/gone.png\nmedia/blue.png\n")
    assert counts(run(tmp_path / "second.csv")) == {"added": 1, "failed": 1}
    pictures(media, "white")
    (media / "white.png").rename(media / "gone.png")
    assert counts(run(table)) == {"unchanged": 1, "added": 1}
    assert Snapshot.open(tmp_path / "c").failures() == {}


def test_field_03_dangling_links_fail_and_are_read_when_they_lead_somewhere(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    (media / "link.png").symlink_to(tmp_path / "later.png")
    (media / "loop.png").symlink_to("loop.png")
    assert counts(run(media)) == {"added": 4, "failed": 2}
    assert counts(run(media)) == {"unchanged": 4, "failed": 2}
    (media / "loop.png").unlink()
    Image.new("RGB", (20, 20), "white").save(tmp_path / "later.png")
    assert counts(run(media)) == {"unchanged": 4, "added": 1}
    assert Snapshot.open(tmp_path / "c").failures() == {}


@pytest.mark.parametrize("known", [False, True])
def test_field_03_a_file_deleted_after_it_was_listed_fails_alone(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], known: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if known:
        run(media)

    import retrieval.embedding

    real = retrieval.embedding.find_sources

    def find_and_delete(*arguments: object, **options: object):
        for source in real(*arguments, **options):
            if source.path.endswith("green.png"):
                os.unlink(source.path)
            yield source

    monkeypatch.setattr(retrieval.embedding, "find_sources", find_and_delete)
    report = run(media)
    rest = {"unchanged": 3, "failed": 1, "gone": 1} if known else {"added": 3, "failed": 1}
    assert counts(report) == rest
    monkeypatch.undo()


def test_field_03_with_strict_a_missing_file_ends_the_run(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    (tmp_path / "list.csv").write_text("path\nmedia/gone.png\n")
    for _ in range(2):
        with pytest.raises(DamagedMediaError, match=r"gone\.png: No such file"):
            run(tmp_path / "list.csv", strict=True)


def test_field_06_bad_rows_are_recorded_until_they_are_mended(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    table = tmp_path / "rows.jsonl"
    table.write_text('{"path": null}\n{"path": "media/red.png"}\n{"path": 1}\n')
    assert counts(run(table)) == {"added": 1, "failed": 2}
    before = current(tmp_path)
    assert counts(run(table)) == {"unchanged": 1, "failed": 2}
    assert current(tmp_path) == before
    failures = Snapshot.open(tmp_path / "c").failures()
    assert list(failures) == [f"{table}#row=1", f"{table}#row=3"]
    table.write_text('{"path": null}\n{"path": "media/red.png"}\n')
    assert counts(run(table)) == {"unchanged": 1, "failed": 1}
    assert list(Snapshot.open(tmp_path / "c").failures()) == [f"{table}#row=1"]
    with pytest.raises(DamagedMediaError, match="row 1: path is None"):
        run(table, strict=True)


@pytest.mark.parametrize("noun", MAKERS)
def test_field_08_media_that_are_no_files_fail_once_and_for_all_runs(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], noun: str
) -> None:
    MAKERS[noun](tmp_path / "x.png")
    (tmp_path / "list.csv").write_text("path\nx.png\nmedia/red.png\n")
    report = run(tmp_path / "list.csv")
    assert counts(report) == {"added": 1, "failed": 1}
    assert report.failures[0].reason == f"is {noun}, expected a regular file; leave it out"
    before = current(tmp_path)
    assert counts(run(tmp_path / "list.csv")) == {"unchanged": 1, "failed": 1}
    assert current(tmp_path) == before


def test_field_03_a_known_file_that_turned_bad_is_tried_once(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(media)
    (media / "red.png").write_text("no picture any more")
    assert counts(run(media)) == {"unchanged": 3, "failed": 1}
    before = current(tmp_path)
    monkeypatch.setattr("retrieval.embedding.decode_all", lambda sources, *_, **__: sources)
    assert counts(run(media)) == {"unchanged": 3, "failed": 1}
    assert current(tmp_path) == before
    assert "media/red.png" in ids(tmp_path)  # what it showed before stays


def test_field_03_the_failure_of_a_deleted_file_ends(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    (media / "bad.png").write_text("no picture")
    assert counts(run(media)) == {"added": 4, "failed": 1}
    (media / "bad.png").unlink()
    assert counts(run(media)) == {"unchanged": 4}
    assert Snapshot.open(tmp_path / "c").failures() == {}


# ---------------------------------------------------------------- what a run achieved


def test_field_35_items_in_the_collection_count_whatever_happened_to_them(
    tmp_path: Path, media: Path, run: Callable[..., EmbedReport]
) -> None:
    assert run(media).in_collection == 4
    (media / "red.png").rename(media / "r.png")
    (media / "blue.txt").write_text("blue")
    assert run(media).in_collection == 4
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/bad.png").write_text("no picture")
    report = run(tmp_path / "bad")
    assert (report.in_collection, report.failed, report.seen) == (0, 1, 1)
    assert report.added[Medium.IMAGE] == 0


def test_field_36_files_passed_over_are_in_the_report(
    media: Path, run: Callable[..., EmbedReport]
) -> None:
    for name in ("a.xyz", "b.xyz", "c.blend"):
        (media / name).touch()
    assert run(media).passed_over == {".xyz": 2, ".blend": 1}
