"""Files that were renamed or moved keep their items, without being embedded again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from retrieval.embedding.options import EmbedReport
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.options import SearchOptions
from retrieval.search.searcher import Searcher
from retrieval.store.compact import compact
from retrieval.store.reader import Snapshot
from support import embed_process
from support.media_files import picture_bytes, write_tar
from support.toy_encoder import ToyEncoder
from support.toy_runs import COLOURS, counts, ids, items


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


def test_field_19_a_copy_of_an_existing_file_is_a_new_item(
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
        hits = searcher.search(text, SearchOptions(k=1)).hits
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
