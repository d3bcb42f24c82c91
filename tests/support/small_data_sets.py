"""Miniatures of data sets, with made-up content in the official formats; media files are empty."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

WRITERS: dict[str, Callable[[Path], None]] = {}
"""By the suite's name: writes what the suite reads into a folder."""


def _writer(function: Callable[[Path], None]) -> Callable[[Path], None]:
    WRITERS[function.__name__] = function
    return function


def touch(folder: Path, names: Iterable[str]) -> None:
    """Make empty files."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file with a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def karpathy(image: str, split: str, captions: Sequence[str], first: int, **more: str) -> dict:
    """One image of Karpathy's JSON."""
    sentences = [
        {"raw": text, "tokens": text.lower().split(), "imgid": 0, "sentid": first + number}
        for number, text in enumerate(captions)
    ]
    return {"filename": image, "split": split, "sentences": sentences, "imgid": 0, **more}


@_writer
def flickr30k(folder: Path) -> None:
    images = [
        karpathy("11.jpg", "test", ["A red kite.", "A kite in the wind."], 0),
        karpathy("12.jpg", "train", ["Nobody asks for this."], 5),
        karpathy("13.jpg", "test", ["Two boats.", "Boats at rest."], 10),
    ]
    text = json.dumps({"images": images, "dataset": "flickr30k"})
    (folder / "dataset_flickr30k.json").write_text(text)
    touch(folder / "flickr30k-images", ["11.jpg", "12.jpg", "13.jpg"])


@_writer
def coco(folder: Path) -> None:
    six = [f"A green door, number {number}." for number in range(6)]
    images = [
        karpathy("COCO_val2014_000000000007.jpg", "test", six, 0, filepath="val2014"),
        karpathy("COCO_train2014_000000000008.jpg", "restval", six, 6, filepath="train2014"),
        karpathy("COCO_val2014_000000000009.jpg", "test", ["A bench."], 12, filepath="val2014"),
    ]
    (folder / "dataset_coco.json").write_text(json.dumps({"images": images, "dataset": "coco"}))
    touch(folder / "val2014", [images[0]["filename"], images[2]["filename"]])


@_writer
def msrvtt(folder: Path) -> None:
    rows = [("ret0", "msr71", "video71", "a man paints"), ("ret1", "msr72", "video72", "rain")]
    columns = ("key", "vid_key", "video_id", "sentence")
    write_table(folder / "MSRVTT_JSFUSION_test.csv", columns, rows)
    touch(folder / "MSRVTT_Videos", ["video71.mp4", "video72.mp4", "video9.mp4"])


@_writer
def msvd(folder: Path) -> None:
    (folder / "test_list.txt").write_text("aB-_1x_5_9\ncD2_0_12\n")
    (folder / "AllVideoDescriptions.txt").write_text(
        "# a comment\n\naB-_1x_5_9 a cat  sleeps\ntrain_1_2 not asked\ncD2_0_12 a wheel turns\n"
        "aB-_1x_5_9 somebody naps\n"
    )
    touch(folder / "YouTubeClips", ["aB-_1x_5_9.avi", "cD2_0_12.avi", "train_1_2.avi"])


@_writer
def didemo(folder: Path) -> None:
    moments = [
        {"video": "1@N0_2.mov", "description": "a bird lands ", "times": [[0, 0]] * 4},
        {"video": "3@N0_4.avi", "description": "the end", "times": [[1, 2]] * 4},
        {"video": "1@N0_2.mov", "description": "it flies off", "times": [[3, 4]] * 4},
    ]
    (folder / "test_data.json").write_text(json.dumps(moments))
    touch(folder / "videos", ["1@N0_2.mov.mp4", "3@N0_4.avi"])


@_writer
def activitynet(folder: Path) -> None:
    videos = {
        "v_one": {"duration": 9.5, "timestamps": [[0, 2]], "sentences": ["First.", " Then."]},
        "v_two": {"duration": 30, "timestamps": [[0, 30]], "sentences": ["All of it."]},
    }  # fmt: skip
    (folder / "val_1.json").write_text(json.dumps(videos))
    touch(folder / "videos", ["v_one.mp4", "v_two.mkv"])


@_writer
def vatex(folder: Path) -> None:
    entries = [
        {"videoID": f"{name}_000001_000011", "enCap": [f"{name} {n}" for n in range(10)],
         "chCap": ["…"] * 10}
        for name in ("dance", "skipped", "swim")
    ]  # fmt: skip
    (folder / "vatex_validation_v1.0.json").write_text(json.dumps(entries))
    (folder / "test_list.txt").write_text("swim_000001_000011\ndance_000001_000011\n")
    touch(folder / "videos", [f"{entry['videoID']}.mp4" for entry in entries])


@_writer
def musiccaps(folder: Path) -> None:
    columns = ("ytid", "start_s", "end_s", "audioset_positive_labels", "aspect_list", "caption",
               "author_id", "is_balanced_subset", "is_audioset_eval")  # fmt: skip
    rows = [
        ("-0Gj8", 30, 40, "/m/1,/m/2", "['slow']", 'A "slow" tune, low.', 4, False, True),
        ("zzz_1", 0, 10, "/m/1", "['fast']", "A fast tune.", 1, False, False),
    ]
    write_table(folder / "musiccaps-public.csv", columns, rows)
    touch(folder / "audio", ["-0Gj8.wav", "zzz_1.mp3"])


@_writer
def songdescriber(folder: Path) -> None:
    columns = ("caption_id", "track_id", "caption", "is_valid_subset", "familiarity", "artist_id",
               "album_id", "path", "duration")  # fmt: skip
    rows = [
        (1, 18500, "a calm piano", True, 0, "a", "b", "00/18500.mp3", 200.0),
        (2, 133601, "loud drums", False, 0, "a", "b", "01/133601.mp3", 100.0),
        (3, 18500, "piano, quiet", True, 0, "a", "b", "00/18500.mp3", 200.0),
    ]
    write_table(folder / "song_describer.csv", columns, rows)
    touch(folder / "audio", ["00/18500.2min.mp3", "01/133601.2min.mp3"])


@_writer
def clotho(folder: Path) -> None:
    columns = ("file_name", *(f"caption_{number}" for number in range(1, 6)))
    names = ("a door, slowly.wav", "Rain 3.wav", "bells.wav")
    rows = [(name, *(f"{name[:-4]}, said {n}" for n in range(1, 6))) for name in names]
    write_table(folder / "clotho_captions_evaluation.csv", columns, rows)
    touch(folder / "evaluation", names)


@_writer
def audiocaps(folder: Path) -> None:
    columns = ("audiocap_id", "youtube_id", "start_time", "caption")
    rows = [
        (100 + 2 * number + clip, ytid, 30, f"{what}, {number}")
        for number in range(5)
        for clip, (ytid, what) in enumerate([("7fmO", "rattling"), ("-GOD", "a horn")])
    ]
    write_table(folder / "test.csv", columns, rows)
    touch(folder / "audio", ["7fmO.wav", "-GOD.flac"])


@_writer
def esc50(folder: Path) -> None:
    columns = ("filename", "fold", "target", "category", "esc10", "src_file", "take")
    rows = [
        ("1-1-A-0.wav", 1, 0, "dog", True, 1, "A"),
        ("1-2-A-36.wav", 1, 36, "vacuum_cleaner", False, 2, "A"),
        ("2-3-A-0.wav", 2, 0, "dog", True, 3, "A"),
    ]
    write_table(folder / "meta" / "esc50.csv", columns, rows)
    touch(folder / "audio", [row[0] for row in rows])
