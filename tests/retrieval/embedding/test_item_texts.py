"""Texts and facts of items: stored with them, and changed without embedding again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from retrieval.embedding.options import EmbedOptions, EmbedReport
from retrieval.errors import SourceError
from retrieval.store.filters.evaluation import matching_ids
from retrieval.store.reader import Snapshot
from retrieval.store.verify import verify
from retrieval.types import TextSource
from support.media_files import picture_bytes, write_tar, write_video
from support.toy_runs import counts, current, items, pictures

Run = Callable[..., EmbedReport]
SRT = "1\n00:00:00,500 --> 00:00:01,500\nhello there\n\n2\n00:00:02,000 --> 00:00:09,000\nbye\n"
BROKEN = SRT.replace("00:00:02,000 -->", "00:00:0x,000 -->")


def texts(tmp_path: Path, *sources: str) -> dict[str, list[str]]:
    """The texts of the living items, by the name of the file."""
    snapshot = Snapshot.open(tmp_path / "c")
    assert verify(tmp_path / "c") == []
    names = {file.item_id: Path(uri).name for uri, file in snapshot.known_files().items()}
    found: dict[str, list[str]] = {}
    for batch in snapshot.texts():
        for row in batch.to_pylist():
            if not sources or row["source"] in sources:
                times = "" if row["start_seconds"] is None else (
                    f"{row['start_seconds']:g}-{row['end_seconds']:g} "
                )  # fmt: skip
                found.setdefault(names[row["item_id"]], []).append(times + row["text"])
    return found


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A video of four seconds, alone in its folder."""
    (tmp_path / "films").mkdir()
    return write_video(tmp_path / "films/my_film.mp4", range(0, 200, 5))


def test_new_items_have_texts_of_names_and_captions_and_their_folder(
    tmp_path: Path, run: Run
) -> None:
    folder = pictures(tmp_path / "media/summer_2019/IMG_0001", "red", "blue")
    (folder / "red.txt").write_text("a red square\nsomething red\n")
    run(tmp_path / "media")
    assert texts(tmp_path) == {
        "red.png": ["summer 2019 / red", "a red square", "something red"],
        "blue.png": ["summer 2019 / blue"],
    }
    row = items(tmp_path)["media/summer_2019/IMG_0001/red.png"]
    assert (row["folder"], row["caption"]) == (f"{folder}/", "a red square\nsomething red")


def test_facts_of_tags_become_columns_for_filters(tmp_path: Path, run: Run) -> None:
    for name, day in (
        ("beach/old", "2023:01:02"),
        ("beach/new", "2024:07:01"),
        ("new", "2024:07:02"),
    ):
        exif = Image.Exif()
        exif[ExifTags.Base.DateTime] = f"{day} 12:00:00"
        exif[ExifTags.Base.Model] = "Kodak Brownie"
        path = tmp_path / f"media/{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture_bytes(seed=len(name), exif=exif))
    run(tmp_path / "media")
    ids = {name: row["item_id"] for name, row in items(tmp_path).items()}
    snapshot = Snapshot.open(tmp_path / "c")
    condition = "taken_at >= '2024-06-01' AND folder LIKE '%/beach/%'"
    assert matching_ids(snapshot, condition).tolist() == [ids["media/beach/new.jpg"]]
    condition = "year = 2024 AND camera = 'Kodak Brownie'"
    assert len(matching_ids(snapshot, condition)) == 2
    assert texts(tmp_path, "tag")["old.jpg"] == ["Kodak Brownie · 2023"]


def test_columns_of_the_user_win_over_facts(tmp_path: Path, run: Run) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.DateTime], exif[ExifTags.Base.Artist] = "2024:07:01 12:00:00", "Ann"
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(picture_bytes(seed=ord(name), exif=exif))
    (tmp_path / "list.csv").write_text("path,year,Artist,folder\na.jpg,MMXXIV,7,mine\n")
    run(tmp_path / "list.csv")
    row = items(tmp_path)["a.jpg"]
    assert (row["year"], row["Artist"], row["folder"]) == ("MMXXIV", 7, "mine")
    run(tmp_path / "b.jpg")
    run(tmp_path, refresh=True)
    rows = items(tmp_path)
    assert rows["a.jpg"] == row
    names = ("year", "Artist", "folder", "taken_at")
    assert [rows["b.jpg"][name] for name in names] == [None, None, f"{tmp_path}/", row["taken_at"]]


def test_transcripts_beside_and_in_a_video_are_texts_with_times(
    tmp_path: Path, film: Path, run: Run
) -> None:
    film.with_suffix(".en.srt").write_text(SRT)
    report = run(film.parent)
    assert counts(report) == {"added": 1}
    assert report.passed_over == {}  # the transcript is used
    assert texts(tmp_path) == {
        "my_film.mp4": ["my film", "0.5-1.5 hello there", "2-4 bye"],  # cut at the end of the film
    }


def test_a_new_edited_renamed_or_deleted_transcript_changes_texts_only(
    tmp_path: Path, film: Path, run: Run, encoded: list[int]
) -> None:
    run(film.parent)
    row, vectors = items(tmp_path), Snapshot.open(tmp_path / "c").manifest.files_in("segments")
    encoded.clear()
    sidecar = film.with_suffix(".srt")

    def check(expected: list[str]) -> None:
        assert counts(run(film.parent)) == {"updated": 1}
        assert texts(tmp_path, "transcript").get(film.name, []) == expected
        before = current(tmp_path)
        assert counts(run(film.parent)) == {"unchanged": 1}
        assert current(tmp_path) == before

    sidecar.write_text(SRT)
    check(["0.5-1.5 hello there", "2-4 bye"])
    sidecar.write_text(SRT.replace("bye", "goodbye"))
    check(["0.5-1.5 hello there", "2-4 goodbye"])
    os.rename(sidecar, film.with_suffix(".de.srt"))
    check(["0.5-1.5 hello there", "2-4 goodbye"])
    film.with_suffix(".de.srt").unlink()
    check([])
    assert encoded == []
    assert items(tmp_path) == row
    assert Snapshot.open(tmp_path / "c").manifest.files_in("segments") == vectors
    assert texts(tmp_path) == {film.name: ["my film"]}


def test_field_62_a_broken_transcript_is_a_failure_with_its_line_until_it_is_corrected(
    tmp_path: Path, film: Path, run: Run, encoded: list[int]
) -> None:
    sidecar = film.with_suffix(".srt")
    sidecar.write_text(BROKEN)
    report = run(film.parent)
    assert counts(report) == {"added": 1, "failed": 1}
    (failure,) = report.failures
    assert (failure.uri, failure.stage) == (str(sidecar), "open")
    assert failure.reason == (
        "line 6: expected `00:00:01,000 --> 00:00:02,000`, found '00:00:0x,000 --> 00:00:09,000'; "
        "its 1 good cues are kept; correct the file"
    )
    assert texts(tmp_path, "transcript") == {film.name: ["0.5-1.5 hello there"]}
    encoded.clear()
    before = current(tmp_path)
    assert counts(run(film.parent)) == {"unchanged": 1, "failed": 1}
    assert current(tmp_path) == before
    sidecar.write_text(SRT)
    assert counts(run(film.parent)) == {"updated": 1}
    assert Snapshot.open(tmp_path / "c").failures() == {}
    assert texts(tmp_path, "transcript") == {film.name: ["0.5-1.5 hello there", "2-4 bye"]}
    assert encoded == []


def test_changed_captions_and_names_change_their_texts_only(
    tmp_path: Path, media: Path, run: Run, encoded: list[int]
) -> None:
    (media / "red.txt").write_text("first")
    run(media)
    encoded.clear()
    (media / "red.txt").write_text("second\nthird")
    assert counts(run(media)) == {"updated": 1, "unchanged": 3}
    assert texts(tmp_path)["red.png"] == ["red", "second", "third"]
    (media / "warm").mkdir()
    os.rename(media / "red.png", media / "warm/a_rose.png")
    os.rename(media / "red.txt", media / "warm/a_rose.txt")
    assert counts(run(media)) == {"renamed": 1, "unchanged": 3}
    assert sorted(texts(tmp_path)["a_rose.png"]) == ["second", "third", "warm / a rose"]
    assert items(tmp_path)["media/warm/a_rose.png"]["folder"] == f"{media}/warm/"
    assert encoded == []


def test_a_renamed_video_with_its_transcript_keeps_its_id(
    tmp_path: Path, film: Path, run: Run, encoded: list[int]
) -> None:
    film.with_suffix(".srt").write_text(SRT)
    run(film.parent)
    encoded.clear()
    for suffix in (".mp4", ".srt"):
        os.rename(film.with_suffix(suffix), film.with_name(f"harbour{suffix}"))
    assert counts(run(film.parent)) == {"renamed": 1}
    assert sorted(texts(tmp_path)["harbour.mp4"]) == ["0.5-1.5 hello there", "2-4 bye", "harbour"]
    assert [row["item_id"] for row in items(tmp_path).values()] == [0]
    assert encoded == []
    before = current(tmp_path)
    assert counts(run(film.parent)) == {"unchanged": 1}
    assert current(tmp_path) == before


def test_a_collection_without_texts_gets_them_by_refreshing(
    tmp_path: Path, media: Path, film: Path, run: Run, encoded: list[int]
) -> None:
    film.with_suffix(".srt").write_text(SRT)
    (media / "red.txt").write_text("a rose")
    run(media, film, texts=())
    assert Snapshot.open(tmp_path / "c").text_counts() == {}
    assert "folder" not in items(tmp_path)["media/red.png"]
    assert run(media, texts=()).without_texts == 0
    report = run(media)
    assert (report.unchanged, report.without_texts) == (4, 4)
    encoded.clear()
    report = run(media, film.parent, refresh=True)
    assert counts(report) == {"updated": 5}
    assert report.without_texts == 0
    assert encoded == []
    assert Snapshot.open(tmp_path / "c").text_counts() == {
        "caption": 1, "name": 5, "transcript": 2,
    }  # fmt: skip
    assert items(tmp_path)["media/red.png"]["folder"] == f"{media}/"
    before = current(tmp_path)
    assert counts(run(media, film.parent, refresh=True)) == {"unchanged": 5}
    assert counts(run(media, film.parent)) == {"unchanged": 5}
    assert current(tmp_path) == before


def test_refreshing_keeps_texts_of_other_sources_and_captions_of_lists(
    tmp_path: Path, media: Path, run: Run
) -> None:
    (tmp_path / "list.csv").write_text("path,caption\nmedia/red.png,a rose\n")
    run(tmp_path / "list.csv")
    run(media, refresh=True)
    run(media, refresh=True, texts=("name",))
    assert sorted(texts(tmp_path)["red.png"]) == ["a rose", "red"]
    run(media, refresh=True, texts="none")
    assert sorted(texts(tmp_path)["red.png"]) == ["a rose", "red"]


def test_members_of_tars_have_transcripts_that_change_without_embedding(
    tmp_path: Path, film: Path, run: Run, encoded: list[int]
) -> None:
    tar = tmp_path / "films.tar"
    members = {"a/x.mp4": film.read_bytes(), "a/x.en.srt": SRT.encode(), "a/y.png": picture_bytes()}
    write_tar(tar, members)
    assert counts(run(tar)) == {"added": 2}
    assert texts(tmp_path, "transcript", "name") == {
        "x.mp4": ["films / a / x", "0.5-1.5 hello there", "2-4 bye"], "y.png": ["films / a / y"],
    }  # fmt: skip
    encoded.clear()
    before = current(tmp_path)
    assert counts(run(tar)) == {"unchanged": 2}
    assert current(tmp_path) == before
    members["a/x.en.srt"] = SRT.replace("bye", "end").encode()
    write_tar(tar, members)
    assert counts(run(tar)) == {"unchanged": 1, "updated": 1}
    assert texts(tmp_path, "transcript")["x.mp4"] == ["0.5-1.5 hello there", "2-4 end"]
    members["a/x.en.srt"] = BROKEN.encode()
    write_tar(tar, members)
    report = run(tar)
    assert [failure.uri for failure in report.failures] == [f"{tar}!a/x.en.srt"]
    del members["a/x.en.srt"]
    write_tar(tar, members)
    assert counts(run(tar)) == {"unchanged": 1, "updated": 1}
    assert texts(tmp_path, "transcript") == {}
    assert encoded == []


def test_a_changed_file_has_the_texts_of_its_new_content(
    tmp_path: Path, film: Path, run: Run
) -> None:
    film.with_suffix(".srt").write_text(SRT)
    run(film.parent)
    write_video(film, range(0, 100, 5))
    film.with_suffix(".srt").write_text(SRT.replace("hello", "good morning"))
    assert counts(run(film.parent)) == {"added": 1, "replaced": 1}
    assert texts(tmp_path, "transcript") == {film.name: ["0.5-1.5 good morning there"]}
    assert np.array_equal(Snapshot.open(tmp_path / "c").item_ids(), [1])


def test_workers_read_texts_as_this_process_does(tmp_path: Path, film: Path, run: Run) -> None:
    film.with_suffix(".srt").write_text(SRT)
    run(film.parent, workers=1)
    assert texts(tmp_path) == {film.name: ["my film", "0.5-1.5 hello there", "2-4 bye"]}


def test_sources_are_chosen_by_name() -> None:
    assert EmbedOptions(texts=("tag", "name")).texts == (TextSource.TAG, TextSource.NAME)  # type: ignore[arg-type]
    assert EmbedOptions(texts="none").texts == ()  # type: ignore[arg-type]
    with pytest.raises(SourceError, match="no source of texts 'titel'; expected none, or some of"):
        EmbedOptions(texts=("titel",))  # type: ignore[arg-type]
