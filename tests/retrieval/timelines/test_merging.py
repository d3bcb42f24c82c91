"""A merged video shows all hits one after the other."""

from __future__ import annotations

import os
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from retrieval.errors import QueryError
from retrieval.media.names import path_to_uri
from retrieval.types import Medium
from support.exports import export_here, hit_of
from support.media_files import sound_bytes
from support.numbered_videos import click_times, clicks, read_frames, read_number, write_numbered


def test_parts_of_any_size_and_rate_follow_each_other(tmp_path: Path) -> None:
    first = write_numbered(tmp_path / "a.mp4", 50, gop=250, sound=clicks((0.6, 1.2), 2))
    second = write_numbered(tmp_path / "b.mp4", 40, rate=Fraction(30_000, 1_001), size=(128, 128))
    third = write_numbered(tmp_path / "c.mp4", 40, sound=clicks((0.3,), 1.6))
    hits = [
        hit_of(first, 0.4, 1.4),
        hit_of(tmp_path / "gone.mp4", 0, 1, rank=2),
        hit_of(second, 0.5, 1.0, rank=3),
        hit_of(third, 0.2, 0.8, rank=4),
    ]
    report = export_here(hits, tmp_path / "all.mp4")
    assert [failure.rank for failure in report.failures] == [2]
    assert [file.path for file in report.files] == [tmp_path / "all.mp4"]
    frames = read_frames(tmp_path / "all.mp4")
    ntsc = [n for n in range(40) if 0.5 <= n * 1_001 / 30_000 < 1.0]
    assert [n for _, n in frames] == [*range(10, 35), *ntsc, *range(5, 20)]
    middle = 1.0 + len(ntsc) * 1_001 / 30_000
    times = [*(n / 25 for n in range(25)), *(1.0 + n * 1_001 / 30_000 for n in range(len(ntsc))),
             *(middle + n / 25 for n in range(15))]  # fmt: skip
    assert [time for time, _ in frames] == pytest.approx(times, abs=1e-4)
    wanted = [0.2, 0.8, middle + 0.1]
    assert click_times(tmp_path / "all.mp4") == pytest.approx(wanted, abs=0.010)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.mp4",
        "all.mp4",
        "b.mp4",
        "c.mp4",
    ]


def test_images_and_recordings_are_parts_too(tmp_path: Path) -> None:
    picture = tmp_path / "p.png"
    Image.new("RGB", (200, 50), (250, 0, 0)).save(picture)
    recording = tmp_path / "r.wav"
    recording.write_bytes(sound_bytes(clicks((0.7,), 2.0), 48_000))
    video = write_numbered(tmp_path / "v.mp4", 30)
    hits = [
        hit_of(picture, modality=Medium.IMAGE),
        hit_of(recording, 0.5, 1.5, rank=2, modality=Medium.AUDIO),
        hit_of(video, 0.2, 0.4, rank=3),
    ]
    report = export_here(hits, tmp_path / "all.mp4")
    assert report.failures == ()
    with av.open(str(tmp_path / "all.mp4")) as container:
        frames = [
            (float(f.pts * f.time_base), f.to_ndarray(format="rgb24"))
            for f in container.decode(video=0)
        ]
    assert len(frames) == 75 + 25 + 5
    red = frames[10][1][28:36, 8:56].reshape(-1, 3).mean(axis=0)
    assert red[0] > 200 > 60 > red[1]
    assert np.all(frames[10][1][:16] < 30)  # a border above the wide picture
    assert [read_number(pixels) for _, pixels in frames[100:]] == [5, 6, 7, 8, 9]
    assert click_times(tmp_path / "all.mp4") == pytest.approx([3.2], abs=0.010)


def test_copied_streams_cannot_be_merged(tmp_path: Path) -> None:
    video = write_numbered(tmp_path / "v.mp4", 10)
    with pytest.raises(QueryError, match="encoded again"):
        export_here([hit_of(video, 0.0, 0.2)], tmp_path / "all.mp4", copy=True)
    report = export_here([hit_of(tmp_path / "gone.mp4", 0, 1)], tmp_path / "all.mp4")
    assert (report.files, len(report.failures)) == ((), 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.mp4"]


def test_folders_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"http:a\xff b'")
    folder.mkdir()
    video = write_numbered(tmp_path / "v.mp4", 20)
    for name in ("all.mp4", "clips", "t.otio", "t.edl", "t.fcpxml", "s.jpg", "p.webp", "t.csv"):
        moved = shutil.copy(video, folder / f"file:{name}.mp4")
        report = export_here([hit_of(path_to_uri(moved), 0.2, 0.4)], folder / name)
        assert (len(report.files), report.failures) == (1, ()), name
    assert [number for _, number in read_frames(folder / "all.mp4")] == [5, 6, 7, 8, 9]
