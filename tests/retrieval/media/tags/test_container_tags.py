"""Metadata and chapters of recordings and videos."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from retrieval.media.containers.reading import open_container
from retrieval.media.tags.container_tags import read_container_tags
from retrieval.media.tags.values import Tags
from retrieval.types import TextSource, TimedText
from support.media_files import make_tone, sound_bytes, write_m4a, write_video
from support.subtitled import copy_with_tags

MUSIC = {
    "artist": "Erik Satie", "album": "Gymnopédies", "title": "No. 1", "genre": "Classical",
    "date": "1888-04-01", "comment": "slow and painful",
}  # fmt: skip


def read(path: Path, *, is_video: bool) -> Tags:
    with open_container(path, metadata_errors="surrogateescape") as container:
        return read_container_tags(container, is_video=is_video)


def tone(path: Path) -> Path:
    path.write_bytes(sound_bytes(make_tone(4.0)))
    return path


@pytest.mark.parametrize("suffix", ["mp3", "flac", "m4a", "ogg"])
def test_a_recording_names_artist_album_title_genre_and_year(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"plain.{suffix}"
    if suffix == "m4a":
        write_m4a(source, make_tone(4.0))
    else:
        kind = {"ogg": "OGG", "mp3": "MP3", "flac": "FLAC"}[suffix]
        source.write_bytes(sound_bytes(make_tone(4.0), 44_100, kind))
    path = copy_with_tags(source, tmp_path / f"song.{suffix}", MUSIC)
    tags = read(path, is_video=False)
    assert tags.facts == {
        "artist": "Erik Satie", "album": "Gymnopédies", "title": "No. 1", "genre": "Classical",
        "year": 1888,
    }  # fmt: skip
    assert [text.text for text in tags.timed_texts()] == [
        "No. 1 · Erik Satie · Gymnopédies · Classical · 1888", "slow and painful",
    ]  # fmt: skip


def test_a_video_names_time_place_and_chapters(tmp_path: Path) -> None:
    source = write_video(tmp_path / "plain.mp4", range(0, 200, 5))
    path = copy_with_tags(
        source, tmp_path / "film.mkv",
        {"creation_time": "2024-06-01T12:30:00.000000Z", "location": "+59.9139+010.7522/",
         "title": "Harbour"},
        {"start": (0, 1500), "the ship": (1500, 4000)},
    )  # fmt: skip
    tags = read(path, is_video=True)
    assert tags.facts == {
        "taken_at": datetime(2024, 6, 1, 12, 30, tzinfo=UTC), "year": 2024, "title": "Harbour",
        "latitude": 59.9139, "longitude": 10.7522,
    }  # fmt: skip
    assert tags.chapters == [
        TimedText(TextSource.TAG, "start", 0.0, 1.5),
        TimedText(TextSource.TAG, "the ship", 1.5, 4.0),
    ]


def test_field_62_latin_1_in_an_old_tag_is_read(tmp_path: Path) -> None:
    song = sound_bytes(make_tone(2.0), 44_100, "MP3")
    tag = b"TAG" + "Café".encode("latin-1").ljust(30, b"\0") + b"Noir\0".ljust(30, b"\0")
    path = tmp_path / "song.mp3"
    path.write_bytes(song + tag.ljust(127, b"\0") + b"\xff")
    assert read(path, is_video=False).facts == {"title": "Café", "artist": "Noir"}
