"""After `embed` and `index`, words of each source find their item; vectors count as before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import av
import opentimelineio
import pytest
from PIL import Image

from support.commands import run
from support.writing import page

pytestmark = pytest.mark.long

SUBTITLES = """1
00:00:00,500 --> 00:00:01,500
Nobody is at home.

2
00:00:02,000 --> 00:00:03,500
We sail from the lighthouse tonight.
"""


@pytest.fixture(scope="module")
def library(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real photographs, recordings and videos, a scanned page, subtitles, and a tag."""
    pytest.importorskip("rapidocr")
    media = tmp_path_factory.mktemp("words") / "media"
    for folder in ("photos", "music", "videos"):
        shutil.copytree(real_data / folder, media / folder)
    photos = sorted((media / "photos").glob("*.jpg"))
    photos[0].rename(media / "photos" / "harvest_festival.jpg")
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "1987:06:05 12:00:00"  # DateTimeOriginal
    with Image.open(photos[1]) as photo:
        photo.convert("RGB").save(photos[1], exif=exif)
    page("Timetable of the\nZanzibar ferry").save(media / "scan.png")
    sound = sorted((media / "music").glob("*.*"))
    tagged(next(file for file in sound if file.suffix != ".txt"), media / "music" / "song.flac")
    video = sorted((media / "videos").glob("*.mp4"))[0]
    video.with_suffix(".srt").write_text(SUBTITLES)
    (media.parent / "video").write_text(video.name)
    collection = media.parent / "collection"
    run("embed", media, "-c", collection, "--model", "tiny", "--ocr")
    run("index", collection)
    return collection


def tagged(source: Path, target: Path) -> None:
    """Write the sound of a file again, with an artist."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        written.metadata.update({"artist": "Astrid Lundqvist", "date": "1962"})
        stream = written.add_stream("flac", rate=44_100)
        for frame in read.decode(audio=0):
            written.mux(stream.encode(frame))
        written.mux(stream.encode(None))


def hits(library: Path, query: str, *options: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        run("search", library, query, "--format", "json", *options)
    )["hits"]
    return found


def test_words_of_every_source_rank_their_item_first(library: Path) -> None:
    video = (library.parent / "video").read_text()
    for query, name, source in [
        ("harvest festival", "harvest_festival.jpg", "name"),
        ("Lundqvist", "song.flac", "tag"),
        ("1962", "song.flac", "tag"),
        ("zanzibar", "scan.png", "ocr"),
        ("lighthouse", video, "transcript"),
    ]:
        first = hits(library, query)[0]
        assert first["uri"].endswith("/" + name), query
        assert first["matched"]["source"] == source
        marks = [first["matched"]["text"][slice(*mark)] for mark in first["matched"]["marks"]]
        assert " ".join(marks).casefold() == query.casefold()


def test_a_year_filters(library: Path) -> None:
    (only,) = hits(library, "a photo", "--where", "taken_at < '1990-01-01'")
    assert only["metadata"]["taken_at"].startswith("1987-06-05")


def test_a_spoken_word_is_found_within_its_cue_and_opens_as_a_timeline(
    library: Path, tmp_path: Path
) -> None:
    timeline = tmp_path / "cut.otio"
    first = hits(library, "lighthouse", "--to", "moment", "-k", "1", "--export", timeline)[0]
    assert (first["start_seconds"], first["end_seconds"]) == (2.0, 3.5)
    (clip,) = opentimelineio.adapters.read_from_file(str(timeline)).find_clips()
    rate = clip.source_range.start_time.rate
    start, length = clip.source_range.start_time.value, clip.source_range.duration.value
    with av.open(str(next(library.parent.glob(f"media/videos/{Path(first['uri']).name}")))) as file:
        times = [float(frame.time) for frame in file.decode(video=0)]
    assert rate == pytest.approx((len(times) - 1) / (times[-1] - times[0]), rel=0.01)
    inside = [number for number, time in enumerate(times) if 2.0 <= time - times[0] < 3.5]
    assert (start, length) == pytest.approx((inside[0], len(inside)), abs=1)


@pytest.mark.parametrize("query", ["a dog on the beach", "an animal outdoors", "someone sings"])
def test_queries_by_meaning_return_what_vectors_return(library: Path, query: str) -> None:
    by_vectors = [hit["item_id"] for hit in hits(library, query, "--text", "off")]
    assert [hit["item_id"] for hit in hits(library, query)] == by_vectors


def test_localize_finds_a_spoken_word_in_one_file(library: Path) -> None:
    video = library.parent / "media" / "videos" / (library.parent / "video").read_text()
    document = run("localize", video, "lighthouse", "--model", "tiny", "--format", "json")
    first, *others = json.loads(document)["hits"]
    assert (first["start_seconds"], first["end_seconds"]) == (2.0, 3.5)
    assert first["matched"]["text"] == "We sail from the lighthouse tonight."
    assert all(hit["matched"] is None for hit in others)
    for query, mode, count in [("lighthouse", "only", 1), ("submarine", "only", 0)]:
        words = run("localize", video, query, "--model", "tiny", "--text", mode, "--format", "json")
        hits_of_words = json.loads(words)["hits"]
        assert [hit["score"] for hit in hits_of_words] == [None] * count
    vectors = run("localize", video, "lighthouse", "--model", "tiny", "--text", "off")
    assert "lighthouse tonight" not in vectors


def test_localize_finds_moments_in_several_files(library: Path) -> None:
    folder = library.parent / "media" / "videos"
    video = folder / (library.parent / "video").read_text()
    other = next(path for path in sorted(folder.glob("*.mp4")) if path != video)
    arguments = (video, other, "lighthouse", "--model", "tiny", "--format", "json", "-k", 9)
    first, *others = json.loads(run("localize", *arguments))["hits"]
    assert first["uri"].endswith(video.name)
    assert first["matched"]["text"] == "We sail from the lighthouse tonight."
    assert {Path(hit["uri"]).name for hit in others} == {video.name, other.name}
    assert "collection" not in first
