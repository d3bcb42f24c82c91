"""Every suite of rankings on a miniature in the official format, and on real annotations."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.ranking.suite import Caption, Gallery, RankingSuite
from benchmarks.suites import SUITES
from retrieval.errors import SourceError
from retrieval.types import TextSource, TimedText
from tests.support.small_data_sets import WRITERS, write_table

RANKINGS = [name for name, suite in SUITES.items() if isinstance(suite, RankingSuite)]


@dataclass(frozen=True)
class Expected:
    """What a miniature holds: where files lie, and some of the captions."""

    files: dict[str, str]
    captions: int
    some: list[tuple[str, str, tuple[str, ...]]]


EXPECTED = {
    "flickr30k": Expected(
        {"11.jpg": "flickr30k-images/11.jpg", "13.jpg": "flickr30k-images/13.jpg"}, 4,
        [("0", "A red kite.", ("11.jpg",)), ("11", "Boats at rest.", ("13.jpg",))],
    ),
    "coco": Expected(
        {name: f"val2014/{name}" for name in
         ("COCO_val2014_000000000007.jpg", "COCO_val2014_000000000009.jpg")}, 6,
        [("4", "A green door, number 4.", ("COCO_val2014_000000000007.jpg",)),
         ("12", "A bench.", ("COCO_val2014_000000000009.jpg",))],
    ),
    "msrvtt": Expected(
        {"video71": "MSRVTT_Videos/video71.mp4", "video72": "MSRVTT_Videos/video72.mp4"}, 2,
        [("ret0", "a man paints", ("video71",))],
    ),
    "msvd": Expected(
        {"aB-_1x_5_9": "YouTubeClips/aB-_1x_5_9.avi", "cD2_0_12": "YouTubeClips/cD2_0_12.avi"}, 3,
        [("0", "a cat  sleeps", ("aB-_1x_5_9",)), ("2", "somebody naps", ("aB-_1x_5_9",))],
    ),
    "didemo": Expected(
        {"1@N0_2.mov": "videos/1@N0_2.mov.mp4", "3@N0_4.avi": "videos/3@N0_4.avi"}, 2,
        [("1@N0_2.mov", "a bird lands it flies off", ("1@N0_2.mov",))],
    ),
    "activitynet": Expected(
        {"v_one": "videos/v_one.mp4", "v_two": "videos/v_two.mkv"}, 2,
        [("v_one", "First. Then.", ("v_one",))],
    ),
    "vatex": Expected(
        {name: f"videos/{name}.mp4" for name in ("swim_000001_000011", "dance_000001_000011")}, 20,
        [("dance_000001_000011#9", "dance 9", ("dance_000001_000011",))],
    ),
    "musiccaps": Expected(
        {"-0Gj8": "audio/-0Gj8.wav", "zzz_1": "audio/zzz_1.mp3"}, 2,
        [("-0Gj8", 'A "slow" tune, low.', ("-0Gj8",))],
    ),
    "songdescriber": Expected(
        {"18500": "audio/00/18500.2min.mp3", "133601": "audio/01/133601.2min.mp3"}, 3,
        [("3", "piano, quiet", ("18500",))],
    ),
    "clotho": Expected(
        {name: f"evaluation/{name}" for name in ("a door, slowly.wav", "Rain 3.wav", "bells.wav")},
        15, [("Rain 3.wav#5", "Rain 3, said 5", ("Rain 3.wav",))],
    ),
    "audiocaps": Expected(
        {"7fmO": "audio/7fmO.wav", "-GOD": "audio/-GOD.flac"}, 10,
        [("103", "a horn, 1", ("-GOD",)), ("108", "rattling, 4", ("7fmO",))],
    ),
    "esc50": Expected(
        {name: f"audio/{name}" for name in ("1-1-A-0.wav", "1-2-A-36.wav", "2-3-A-0.wav")}, 2,
        [("dog", "the sound of dog", ("1-1-A-0.wav", "2-3-A-0.wav")),
         ("vacuum_cleaner", "the sound of vacuum cleaner", ("1-2-A-36.wav",))],
    ),
}  # fmt: skip


def suite_of(name: str) -> RankingSuite:
    suite = SUITES[name]
    assert isinstance(suite, RankingSuite)
    return suite


@pytest.mark.parametrize("name", RANKINGS)
def test_a_miniature_in_the_official_format(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    suite, expected = suite_of(name), EXPECTED[name]
    assert suite.name == name
    assert suite.data_set.missing(tmp_path) == []
    gallery = suite.gallery(tmp_path)
    assert gallery.files == {key: tmp_path / path for key, path in expected.files.items()}
    assert all(path.is_file() for path in gallery.files.values())
    assert len(gallery.captions) == expected.captions
    for one in expected.some:
        assert Caption(*one) in gallery.captions


@pytest.mark.parametrize("name", RANKINGS)
def test_missing_files_are_listed_in_one_message(name: str, tmp_path: Path) -> None:
    suite = suite_of(name)
    with pytest.raises(SourceError) as error:
        suite.gallery(tmp_path)
    message = str(error.value)
    assert "\n" not in message
    for file in suite.data_set.files:
        assert file in message
    assert suite.data_set.source in message


@pytest.mark.parametrize("name", RANKINGS)
@pytest.mark.parametrize("content", ["", "{}", '[{"a": 1}]', "one,two\n1,2\n", "\x00\udce4"])
def test_another_format_fails_with_the_names_of_the_files(
    name: str, content: str, tmp_path: Path
) -> None:
    WRITERS[name](tmp_path)
    suite = suite_of(name)
    first = next(file for file in suite.data_set.files if not file.endswith("/"))
    (tmp_path / first).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(SourceError) as error:
        suite.gallery(tmp_path)
    assert Path(first).name in str(error.value)


def test_a_row_without_its_caption_fails_with_its_line(tmp_path: Path) -> None:
    WRITERS["clotho"](tmp_path)
    columns = ("file_name", *(f"caption_{number}" for number in range(1, 6)))
    rows = [("bells.wav", *"abcde"), ("Rain 3.wav", "a", "b", "", "d", "e")]
    write_table(tmp_path / "clotho_captions_evaluation.csv", columns, rows)
    with pytest.raises(SourceError, match=r"evaluation\.csv, line 3: no value for caption_3;"):
        suite_of("clotho").gallery(tmp_path)


def test_every_second_clip_of_musiccaps_has_its_aspects(tmp_path: Path) -> None:
    WRITERS["musiccaps"](tmp_path)
    gallery = suite_of("musiccaps").gallery(tmp_path)
    assert gallery.texts == {"zzz_1": [TimedText(TextSource.TAG, "fast")]}
    assert gallery.only(["-0Gj8"]).texts == {}


@pytest.mark.parametrize("aspects", ["slow", "['slow", "{}", "[1]", "[" * 300])
def test_aspects_that_are_no_list_fail_with_their_line(tmp_path: Path, aspects: str) -> None:
    WRITERS["musiccaps"](tmp_path)
    rows = [("a", "slow\n and low", "['slow']"), ("b", "fast", aspects)]
    write_table(tmp_path / "musiccaps-public.csv", ("ytid", "caption", "aspect_list"), rows)
    with pytest.raises(SourceError, match=r"csv, line 4: aspect_list is .*, expected a list"):
        suite_of("musiccaps").gallery(tmp_path)


@pytest.mark.parametrize("name", RANKINGS)
def test_published_figures_are_of_rows_that_are_printed(name: str) -> None:
    data = suite_of(name).data_set
    back = " to ".join(reversed(data.task.split(" to ")))
    assert data.task.startswith("text to ")
    for figures in data.reported.values():
        for (task, metric), value in figures.items():
            assert task in {data.task, back}
            assert metric in {"R@1", "R@5", "R@10"}
            assert 0 < value < 1


def test_models_with_published_figures_exist() -> None:
    open_clip = pytest.importorskip("open_clip")
    known = {f"open_clip:{name}/{tag}" for name, tag in open_clip.list_pretrained()}
    reported = {model for name in RANKINGS for model in suite_of(name).data_set.reported}
    named = {model for model in reported if model.startswith("open_clip:")}
    assert len(named) == 7
    assert named <= known


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        ([], "2 items and 0 captions"),
        ([Caption("1", "a", ("x",)), Caption("1", "b", ("y",))], "two captions have the same id"),
        ([Caption("1", " ", ("x",))], "caption 1 is empty"),
        ([Caption("1", "a", ())], "caption 1 is of items that are not listed"),
        ([Caption("1", "a", ("z",))], "caption 1 is of items that are not listed"),
    ],
)
def test_a_gallery_that_makes_no_sense_fails(captions: list[Caption], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gallery({"x": Path("x"), "y": Path("y")}, captions)


def test_two_items_of_one_file_fail() -> None:
    with pytest.raises(ValueError, match="two items have the same file"):
        Gallery({"x": Path("x"), "y": Path("x")}, [Caption("1", "a", ("x",))])


def test_a_gallery_is_restricted_to_some_items() -> None:
    gallery = Gallery(
        {name: Path(name) for name in "xyz"},
        [Caption("1", "a", ("x", "y")), Caption("2", "b", ("z",)), Caption("3", "c", ("y",))],
    )
    left = gallery.only(["z", "x", "unknown"])
    assert list(left.files) == ["x", "z"]
    assert left.captions == [Caption("1", "a", ("x",)), Caption("2", "b", ("z",))]


# ---------------------------------------------------------------- real annotations


def test_real_musiccaps(real_data: Path, tmp_path: Path) -> None:
    """5,521 clips, as Agostinelli et al. publish them."""
    annotations = real_data / "annotations" / "musiccaps"
    gallery = without_media("musiccaps", annotations, tmp_path)
    assert (len(gallery.files), len(gallery.captions)) == (5_521, 5_521)
    assert {len(caption.caption_id) for caption in gallery.captions} == {11}
    assert len(gallery.texts) == 2_760


def test_real_didemo(real_data: Path, tmp_path: Path) -> None:
    """4,021 descriptions of the official test file, in paragraphs of 1,037 videos."""
    annotations = real_data / "annotations" / "didemo"
    gallery = without_media("didemo", annotations, tmp_path)
    assert (len(gallery.files), len(gallery.captions)) == (1_037, 1_037)
    moments = json.loads((annotations / "test_data.json").read_bytes())
    assert len(moments) == 4_021
    words = Counter(word for moment in moments for word in moment["description"].split())
    assert Counter(word for one in gallery.captions for word in one.text.split()) == words


def without_media(name: str, annotations: Path, data: Path) -> Gallery:
    """Read annotations whose media files are not there, through links to them."""
    suite = suite_of(name)
    for file in suite.data_set.files:
        if file.endswith("/"):
            (data / file).mkdir()
        else:
            (data / file).symlink_to(annotations / file)
    return suite.gallery(data)
