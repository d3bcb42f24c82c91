"""Copied clips begin at the keyframe before their moment, and say so."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from retrieval.media.containers.reading import open_container
from retrieval.types import Medium
from support.exports import export_here, hit_of
from support.media_files import make_tone, sound_bytes
from support.numbered_videos import click_times, clicks, read_frames, write_numbered

START, END = 1.3, 2.2


@pytest.mark.parametrize(
    ("name", "codec", "gop", "suffix", "options"),
    [
        ("v.mp4", "libx264", 1, "mp4", {}),
        ("v.mp4", "libx264", 30, "mp4", {}),
        ("v.mp4", "libx264", 250, "mp4", {}),
        ("v.mkv", "libx264", 30, "mkv", {}),
        ("v.mov", "libx264", 30, "mov", {"sound_codec": "pcm_s16le"}),
        ("v.ts", "libx264", 30, "mkv", {}),
        ("v.webm", "libvpx-vp9", 30, "mkv", {"sound_codec": "libopus"}),
        ("v.mkv", "libsvtav1", 30, "mkv", {}),
    ],
)
def test_copies_hold_every_frame_from_the_keyframe_on(
    tmp_path: Path, name: str, codec: str, gop: int, suffix: str, options: dict[str, str]
) -> None:
    path = write_numbered(
        tmp_path / name, 75, codec=codec, gop=gop, sound=clicks((1.26, 2.0), 3), **options
    )
    report = export_here([hit_of(path, START, END)], tmp_path / "clips", copy=True)
    assert report.failures == ()
    file = report.files[0]
    assert file.path.suffix == f".{suffix}"
    first = int(START * 25) // gop * gop
    shown = read_frames(file.path)
    assert [number for _, number in shown] == list(range(first, 55))
    assert [time for time, _ in shown] == pytest.approx(
        [number / 25 for number in range(55 - first)], abs=0.0006
    )
    origin = 1_024 / 48_000 if name == "v.ts" else 0.0  # its sound begins before its pictures
    assert file.start_seconds == pytest.approx(first / 25 + origin, abs=0.001)
    assert file.end_seconds == pytest.approx(2.2 + origin, abs=0.001)
    # The first burst may begin before the keyframe.
    assert click_times(file.path)[-1] == pytest.approx(2.0 - first / 25, abs=0.010)
    with av.open(str(path)) as old, av.open(str(file.path)) as new:
        names = [stream.codec_context.name for stream in old.streams]
        assert [stream.codec_context.name for stream in new.streams] == names


def test_turned_videos_keep_their_display_matrix(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "v.mp4", 40, size=(64, 48), turn=90)
    report = export_here([hit_of(path, 0.4, 1.0)], tmp_path / "clips", copy=True)
    shown = read_frames(report.files[0].path)  # reads only upright frames
    assert [number for _, number in shown] == list(range(25))


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_recordings_keep_their_codec(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"r.{suffix}"
    path.write_bytes(sound_bytes(make_tone(6.0), kind=suffix.upper()))
    report = export_here(
        [hit_of(path, 1.0, 2.0, modality=Medium.AUDIO)], tmp_path / "clips", copy=True
    )
    file = report.files[0]
    assert file.path.suffix == f".{suffix}"
    with open_container(path) as container:
        starts = [float(p.pts * p.time_base) for p in container.demux() if p.size]
    assert file.start_seconds == max(start for start in starts if start <= 1.0)
    assert file.end_seconds == pytest.approx(min(start for start in starts if start >= 2.0))
    with av.open(str(file.path)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples / 16_000 == pytest.approx(file.end_seconds - file.start_seconds)


def test_what_cannot_be_copied_is_a_failure(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "v.mov", 30, codec="qtrle", pixels="rgb24")
    renamed = path.rename(tmp_path / "v.mp4")
    report = export_here([hit_of(renamed, 0.2, 0.8)], tmp_path / "clips", copy=True)
    assert "encode the clip instead" in report.failures[0].reason
    assert list((tmp_path / "clips").iterdir()) == []
