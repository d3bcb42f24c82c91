"""The automatic collection follows its folder; values are those of one red, green, … picture."""

from __future__ import annotations

import os
import pickle
import stat
from pathlib import Path

import pytest

import retrieval
from retrieval.automatic.folder import MediaFolder, is_index_due
from retrieval.automatic.needs import Needs
from retrieval.automatic.records import automatic_collections, automatic_homes
from retrieval.errors import (
    CollectionError,
    CollectionLockedError,
    OtherModelError,
    SourceError,
    StorageError,
    UnknownModelError,
)
from retrieval.media.names import uri_to_path
from retrieval.store.writer import CollectionWriter
from retrieval.targets import Target
from retrieval.types import Medium
from support.media_files import make_tone, sound_bytes
from support.toy_runs import pictures


def names(folder: MediaFolder, query: str = "red") -> list[str]:
    return [Path(hit.uri).name for hit in folder.collection.search(query)]


def updated(path: Path, **options: object) -> MediaFolder:
    folder = MediaFolder(path, **options)  # type: ignore[arg-type]
    folder.update()
    return folder


def test_python_searches_a_folder_in_one_call(media: Path, encoded: list[int]) -> None:
    collection = retrieval.open_folder(media)
    assert Path(collection.search("blue", k=1)[0].uri) == media / "blue.png"
    assert collection.status().spaces[0].index  # scores are calibrated
    assert sum(encoded) == 4


def test_later_runs_embed_only_new_and_changed_files(media: Path, encoded: list[int]) -> None:
    updated(media)
    encoded.clear()
    assert names(updated(media))[0] == "red.png"
    assert encoded == []
    pictures(media, "black")
    (media / "green.png").rename(media / "leaf.png")
    (media / "yellow.png").unlink()
    (media / "blue.png").write_bytes((media / "red.png").read_bytes())
    folder = MediaFolder(media)
    report = folder.update()
    assert report is not None
    assert (sum(report.added.values()), report.replaced) == (2, 1)
    assert (report.renamed, report.pruned) == (1, 1)
    assert sum(encoded) == 2
    assert sorted(names(folder)) == ["black.png", "blue.png", "leaf.png", "red.png"]
    assert set(names(folder)[:2]) == {"blue.png", "red.png"}


def test_only_the_modalities_that_a_query_needs_are_embedded(
    media: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (media / "tone.wav").write_bytes(sound_bytes(make_tone(3.0, 8000, 110.0), 8000))
    monkeypatch.setattr("retrieval.automatic.folder.canonical_model", lambda name: name)
    monkeypatch.setattr(
        "retrieval.embedding.options.resolve", lambda name: ("toy:toy", "toy:toy-music")
    )
    folder = MediaFolder(media)
    report = folder.update(Needs.of([Target.MUSIC]))
    assert report is not None
    assert (report.added[Medium.AUDIO], report.deferred, encoded) == (1, 4, [])
    assert [space.encoder for space in folder.collection.status().spaces] == ["toy:toy-music"]
    assert folder.update(Needs.of([Target.MUSIC])) is None  # nothing was asked that is not there
    report = folder.update(Needs.of([Target.IMAGE]))
    assert report is not None
    assert report.added[Medium.IMAGE] == 4
    assert sum(encoded) == 4
    assert len(folder.collection) == 5
    assert Path(folder.collection.search("low", to="music", k=1)[0].uri).name == "tone.wav"
    assert Path(folder.collection.search("red", to="image", k=1)[0].uri).name == "red.png"
    again = updated(media)
    assert (sum(encoded), len(again.collection)) == (4, 5)


def test_an_interrupted_run_keeps_what_is_embedded(
    media: Path, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.store.pending.SHARD_SECONDS", 0.0)
    monkeypatch.setattr("retrieval.embedding.run.FLUSH_SECONDS", 0.0)

    def stop(task: str, done: float, total: float | None, note: str = "") -> None:
        if task == "embedding" and done == 2:
            raise KeyboardInterrupt

    folder = MediaFolder(media)
    with pytest.raises(KeyboardInterrupt):
        folder.update(progress=stop)
    assert not folder.is_new
    folder.collection.refresh()
    kept = len(folder.collection)
    assert 0 < kept < 4
    assert len(folder.collection.search("red")) == kept
    updated(media)
    assert sum(encoded) <= 4 + 1  # at most the item in work is embedded again
    assert len(MediaFolder(media).collection) == 4


# ---------------------------------------------------------------- where the collection lies


def test_the_collection_lies_in_the_data_directory_of_the_user(media: Path, tmp_path: Path) -> None:
    folder = updated(media)
    assert folder.home is not None
    assert folder.home.parent == automatic_homes() == tmp_path / "data/retrieval/folders"
    assert stat.S_IMODE(folder.home.stat().st_mode) == 0o700
    link = tmp_path / "link"
    link.symlink_to(media)
    assert MediaFolder(link).home == folder.home
    assert sorted(path.name for path in media.iterdir()) == sorted(
        f"{name}.png" for name in ("red", "green", "blue", "yellow")
    )


def test_a_collection_can_lie_inside_the_folder_and_move_with_it(
    media: Path, encoded: list[int], tmp_path: Path
) -> None:
    assert updated(media, inside=True).home == media / ".retrieval"
    assert not list(automatic_collections())
    media.rename(tmp_path / "moved")
    encoded.clear()
    folder = updated(tmp_path / "moved")
    assert [Path(hit.uri) for hit in folder.collection.search("red", k=1)] == [
        tmp_path / "moved/red.png"
    ]
    assert (encoded, len(folder.collection)) == ([], 4)


def test_a_collection_elsewhere_is_not_made_again_inside(media: Path) -> None:
    updated(media)
    with pytest.raises(CollectionError, match="already has an automatic collection in"):
        MediaFolder(media, inside=True)


def test_a_moved_folder_keeps_its_collection(
    media: Path, encoded: list[int], tmp_path: Path
) -> None:
    home = updated(media).home
    media.rename(tmp_path / "elsewhere")
    encoded.clear()
    folder = updated(tmp_path / "elsewhere")
    assert (folder.home, encoded, len(folder.collection)) == (home, [], 4)
    assert Path(folder.collection.search("red", k=1)[0].uri) == tmp_path / "elsewhere/red.png"
    assert [one.folder for one in automatic_collections()] == [tmp_path / "elsewhere"]


def test_another_folder_does_not_take_the_collection_of_a_missing_one(
    media: Path, tmp_path: Path
) -> None:
    updated(media)
    media.rename(tmp_path / ".hidden")  # a drive that is not mounted
    other = pictures(tmp_path / "other", "red", "black")
    os.utime(other / "red.png", (1, 1))
    assert len(updated(other).collection) == 2
    assert {one.folder for one in automatic_collections()} == {media, other}


def test_a_folder_inside_is_searched_through_the_folder_around_it(
    tmp_path: Path, encoded: list[int]
) -> None:
    outer = pictures(tmp_path / "it's 100%_", "red", "green")
    inner = pictures(outer / "in_er", "blue", "white")
    pictures(outer / "in%er", "blue")
    home = updated(outer).home
    encoded.clear()
    pictures(outer, "black")
    pictures(inner, "grey")
    folder = updated(inner)
    assert (folder.home, encoded) == (home, [1])  # grey only: black lies outside
    assert sorted(names(folder)) == ["blue.png", "grey.png", "white.png"]
    hits = folder.collection.search("blue", where="bytes > 0", k=9)
    assert {Path(uri_to_path(hit.uri)).parent for hit in hits} == {inner}
    assert pickle.loads(pickle.dumps(folder.collection)).below == inner


def test_a_folder_around_takes_over_the_collection_of_a_folder_inside(
    tmp_path: Path, encoded: list[int]
) -> None:
    outer = pictures(tmp_path / "outer", "red")
    home = updated(pictures(outer / "inner", "blue", "green")).home
    encoded.clear()
    folder = updated(outer)
    assert (folder.home, encoded, len(folder.collection)) == (home, [1], 3)
    assert len(updated(outer / "inner").collection.search("blue")) == 2


# ---------------------------------------------------------------- models


def test_another_model_is_refused_once_something_is_embedded(media: Path) -> None:
    with pytest.raises(SourceError):
        updated(pictures(media / "empty"), model="toy:toy-music")
    updated(media, model="toy:toy")
    updated(media, model="toy:toy")
    with pytest.raises(OtherModelError, match="is embedded by toy:toy, not by toy:toy-music"):
        MediaFolder(media, model="toy:toy-music")


def test_an_unknown_model_leaves_nothing_behind(media: Path, monkeypatch) -> None:
    from retrieval.encoders.catalogue import resolve

    monkeypatch.setattr("retrieval.automatic.finding.resolve", resolve)
    with pytest.raises(UnknownModelError, match="no model 'smal'; did you mean 'small'"):
        MediaFolder(media, model="smal")
    assert not list(automatic_collections())


# ---------------------------------------------------------------- drives and deletions


def test_an_empty_mount_point_keeps_the_collection(
    media: Path, caplog: pytest.LogCaptureFixture
) -> None:
    updated(media)
    for path in media.iterdir():
        path.unlink()
    folder = MediaFolder(media)
    assert folder.update() is None
    assert "has no media files, as a drive that is not mounted" in caplog.text
    assert len(folder.collection) == 4
    assert {hit.missing for hit in folder.collection.search("red")} == {True}


def test_items_below_a_mount_point_are_kept_until_it_is_mounted_again(
    media: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    drive = pictures(media / "drive", "black")
    mounted = {str(drive)}
    monkeypatch.setattr(os.path, "ismount", lambda path: os.fspath(path) in mounted)
    updated(media)
    (drive / "black.png").unlink()
    mounted.clear()
    assert len(updated(media).collection) == 5
    assert f"{drive} is not mounted; its items are kept" in caplog.text
    mounted.add(str(drive))
    assert len(updated(media).collection) == 4


# ---------------------------------------------------------------- refusals


def test_folders_without_media_are_refused_and_leave_nothing_behind(
    tmp_path: Path, encoded: list[int]
) -> None:
    empty = pictures(tmp_path / "empty")
    with pytest.raises(SourceError, match="has no images, recordings or videos; name another"):
        updated(empty)
    (empty / "notes.md").write_text("x")
    with pytest.raises(SourceError, match="it has 1 other files"):
        updated(empty)
    (empty / "tone.wav").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"no file of the type that is searched, only \.wav"):
        MediaFolder(empty).update(Needs.of([Target.IMAGE]))
    with pytest.raises(SourceError, match="is a file, expected a collection or a folder"):
        MediaFolder(empty / "notes.md")
    with pytest.raises(SourceError, match="No such file or directory"):
        MediaFolder(tmp_path / "missing")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SourceError, match="loop"):
        MediaFolder(tmp_path / "loop")
    assert not list(automatic_collections())


def test_a_folder_that_only_contains_a_collection_names_it(
    media: Path, tmp_path: Path, encoded: list[int]
) -> None:
    around = tmp_path / "around"
    retrieval.Collection(around / "library").add(
        media, options=retrieval.EmbedOptions(models=("toy:toy",), workers=0)
    )
    with pytest.raises(SourceError, match=r"around/library is a collection; search that"):
        updated(around)


def test_links_to_folders_and_loops_are_not_followed(media: Path, tmp_path: Path) -> None:
    (media / "again").symlink_to(media)
    (media / "up").symlink_to(tmp_path)
    assert len(updated(media).collection) == 4


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_an_unreadable_folder_is_one_line(media: Path) -> None:
    media.chmod(0)
    try:
        with pytest.raises(SourceError, match="Permission denied"):
            updated(media)
    finally:
        media.chmod(0o755)


def test_an_unreadable_folder_is_one_line_for_everybody(
    media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refused(path):
        if os.fspath(path) == str(media):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(SourceError, match=f"{media}: Permission denied"):
        updated(media)


def test_another_writer_leaves_the_answer_to_the_current_generation(
    media: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = updated(media).collection.root
    pictures(media, "black")
    with CollectionWriter.open(root):
        folder = updated(media)
        assert "is being written by process" in caplog.text
        assert "the answer comes from what was embedded before" in caplog.text
        assert len(folder.collection.search("red")) == 4
    assert len(updated(media).collection.search("red")) == 5


def test_a_first_run_beside_another_one_says_who_writes(media: Path) -> None:
    folder = MediaFolder(media)
    folder._create()
    folder.collection.root.mkdir()
    with (
        CollectionWriter.open(folder.collection.root, create=True),
        pytest.raises(CollectionLockedError, match="is being written by process"),
    ):
        updated(media)


@pytest.mark.parametrize("reason", ["no space left to write", "Read-only file system"])
def test_a_full_or_read_only_disk_leaves_the_answer_to_the_current_generation(
    media: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    updated(media)
    pictures(media, "black")

    def refuse(self: object, *arguments: object, **options: object) -> None:
        raise StorageError(reason)

    monkeypatch.setattr(CollectionWriter, "publish", refuse)
    folder = updated(media)
    assert f"{reason}; the answer comes from what was embedded before" in caplog.text
    assert len(folder.collection.search("red")) == 4


def test_a_data_directory_that_cannot_be_written_is_one_line(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match=r"cannot write .*file/retrieval/folders/media-"):
        updated(media)


def test_a_damaged_record_is_passed_over(media: Path) -> None:
    home = updated(media).home
    assert home is not None
    (home / "folder.json").write_text("{")
    assert not list(automatic_collections())
    folder = updated(media)
    assert folder.home == home.with_name(f"{home.name}-2")
    assert len(folder.collection) == 4


def test_the_index_follows_the_rows(media: Path) -> None:
    folder = MediaFolder(media)
    folder.update()
    before = folder.collection.snapshot
    assert not is_index_due(before)
    pictures(media, "black")
    folder = updated(media)
    parts = folder.collection.snapshot.index_folders(before.spaces[0].name)
    assert int(parts[-1].name) > before.manifest.generation
