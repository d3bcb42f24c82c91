"""Clips have exactly the frames that begin in their span, and their sound stays in sync."""

from __future__ import annotations

import io
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from retrieval.types import Medium
from support.exports import cut, export_here, hit_of
from support.media_files import sound_bytes, write_tar
from support.numbered_videos import (
    click_times,
    clicks,
    numbered_frame,
    read_frames,
    read_sound,
    upright,
    write_numbered,
)

CLICKS = (0.5, 1.2, 1.9)
SYNC_SECONDS = 0.010


def check_frames(clip: Path, times: list[float], start: float, end: float) -> None:
    """Compare a clip with the numbers and times of the source's frames, by brute force."""
    wanted = [(time, number) for number, time in enumerate(times) if start <= time < end]
    shown = read_frames(clip)
    assert [number for _, number in shown] == [number for _, number in wanted]
    offsets = [time - wanted[0][0] for time, _ in wanted]
    assert [time for time, _ in shown] == pytest.approx(offsets, abs=0.0006)


def check_sync(clip: Path, first: float, end: float, bursts: tuple[float, ...] = CLICKS) -> None:
    wanted = [time - first for time in bursts if first <= time < end]
    assert click_times(clip) == pytest.approx(wanted, abs=SYNC_SECONDS)


@pytest.mark.parametrize("gop", [1, 30, 250])
@pytest.mark.parametrize(("start", "end"), [(1.0, 2.2), (1.03, 1.51), (0.0, 0.4), (2.36, 9.0)])
def test_frames_are_exact_whatever_the_keyframes(
    tmp_path: Path, gop: int, start: float, end: float
) -> None:
    sound = clicks(CLICKS, 2.4)
    path = write_numbered(tmp_path / "v.mp4", 60, gop=gop, sound=sound)
    clip = cut(path, start, end, tmp_path / "clips")
    times = [number / 25 for number in range(60)]
    check_frames(clip, times, start, end)
    check_sync(clip, next(time for time in times if time >= start), end)


VARIABLE = np.cumsum([0, *np.random.default_rng(0).integers(10, 70, 59)]).tolist()


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_rates_keep_every_time(tmp_path: Path, suffix: str) -> None:
    path = write_numbered(
        tmp_path / f"v.{suffix}", 60, times_ms=VARIABLE, sound=clicks(CLICKS, 2.4)
    )
    times = [time / 1_000 for time in VARIABLE]
    clip = cut(path, 0.6, 2.0, tmp_path / "clips")
    check_frames(clip, times, 0.6, 2.0)
    check_sync(clip, next(time for time in times if time >= 0.6), 2.0)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_turned_videos_play_upright(tmp_path: Path, turn: int) -> None:
    path = write_numbered(tmp_path / "v.mp4", 30, size=(64, 48), turn=turn)
    clip = cut(path, 0.4, 1.0, tmp_path / "clips")
    check_frames(clip, [number / 25 for number in range(30)], 0.4, 1.0)
    with av.open(str(clip)) as container:
        assert next(container.decode(video=0)).rotation == 0


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_times_count_from_the_first_time_stamp(tmp_path: Path, suffix: str) -> None:
    late = [5_000 + 40 * number for number in range(40)]
    path = write_numbered(tmp_path / f"v.{suffix}", 40, times_ms=late)
    clip = cut(path, 0.4, 1.0, tmp_path / "clips")
    check_frames(clip, [number / 25 for number in range(40)], 0.4, 1.0)


def test_edit_lists_hide_frames_and_shift_sound(tmp_path: Path) -> None:
    """Packets before time 0 become an edit list, which hides them: what is shown counts."""
    source = write_numbered(tmp_path / "s.mp4", 60, gop=10, b_frames=0, sound=clicks(CLICKS, 2.4))
    path = tmp_path / "v.mp4"
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        copies = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        for packet in old.demux():
            if packet.size:
                shift = round(0.4 / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = copies[packet.stream_index]
                new.mux(packet)
    shown = read_frames(path)
    assert shown[0] == (0.0, 10)  # FFmpeg applies the edit list
    clip = cut(path, 0.4, 1.6, tmp_path / "clips")
    assert [number for _, number in read_frames(clip)] == list(range(20, 50))
    check_sync(clip, 0.8, 2.0)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("v.webm", "libvpx-vp9", {"sound": clicks(CLICKS, 2.4), "sound_codec": "libopus"}),
        ("v.mkv", "libvpx-vp9", {}),
        ("v.mp4", "libsvtav1", {}),
        ("v.mkv", "libsvtav1", {}),
        ("v.mkv", "libx264", {"sound": clicks(CLICKS, 2.4)}),
        ("v.mov", "libx264", {"sound": clicks(CLICKS, 2.4), "sound_codec": "pcm_s16le"}),
        ("v.avi", "mpeg4", {}),
        ("v.mp4", "libx264", {"rate": Fraction(30_000, 1_001)}),
        ("v.mp4", "libx264", {"pixels": "yuv420p10le"}),
        ("v.mp4", "libx264", {"pixels": "yuv444p"}),
        ("v.mp4", "libx264", {"pixels": "yuvj420p"}),
        ("v.mp4", "libx264", {"pixels": "yuv444p", "size": (65, 63)}),
        ("v.mov", "qtrle", {"pixels": "argb"}),
        ("v.webm", "libvpx-vp9", {"pixels": "yuva420p"}),
        ("v.mkv", "ffv1", {"pixels": "bgr0"}),
    ],
)
def test_codecs_containers_and_pixels(
    tmp_path: Path, name: str, codec: str, options: dict[str, object]
) -> None:
    path = write_numbered(tmp_path / name, 60, codec=codec, **options)  # type: ignore[arg-type]
    rate = float(options.get("rate", 25))  # type: ignore[arg-type]
    clip = cut(path, 1.0, 2.2, tmp_path / "clips")
    times = [number / rate for number in range(60)]
    check_frames(clip, times, 1.0, 2.2)
    if "sound" in options:
        check_sync(clip, next(time for time in times if time >= 1.0), 2.2)
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        width, height = options.get("size", (64, 64))  # type: ignore[misc]
        assert (stream.width, stream.height) == (width + width % 2, height + height % 2)


@pytest.mark.parametrize("pixels", ["yuv420p", "yuvj420p", "yuv420p10le", "yuv444p"])
def test_colours_stay(tmp_path: Path, pixels: str) -> None:
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width = video.height = 64
        video.pix_fmt = pixels
        for number in range(10):
            colours = np.full((64, 64, 3), (200, 60, 30), np.uint8)
            colours[:, 32:] = (20, 90, 180)
            frame = av.VideoFrame.from_ndarray(colours, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    clip = cut(path, 0.2, 0.8, tmp_path / "clips")
    pictures = []
    for file in (path, clip):
        with av.open(str(file)) as container:
            pictures.append(upright(next(container.decode(video=0))).astype(int))
    assert abs(pictures[0] - pictures[1])[8:-8, 8:24].max() <= 4
    assert abs(pictures[0] - pictures[1])[8:-8, 40:56].max() <= 4


@pytest.mark.parametrize(
    ("rate", "layout"), [(48_000, "5.1"), (44_100, "stereo"), (8_000, "mono"), (96_000, "stereo")]
)
def test_sound_of_any_rate_and_layout_stays_in_sync(tmp_path: Path, rate: int, layout: str) -> None:
    sound = clicks(CLICKS, 2.4, rate)
    path = write_numbered(
        tmp_path / "v.mkv", 60, sound=sound, sound_rate=rate, sound_codec="flac", layout=layout
    )
    clip = cut(path, 1.0, 2.2, tmp_path / "clips")
    check_sync(clip, 1.0, 2.2)
    with av.open(str(clip)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.sample_rate, stream.codec_context.layout.name) == (
            rate,
            layout,
        )


def test_a_video_without_sound_has_a_silent_clip(tmp_path: Path) -> None:
    clip = cut(write_numbered(tmp_path / "v.mp4", 30), 0.2, 0.8, tmp_path / "clips")
    with av.open(str(clip)) as container:
        assert not container.streams.audio


@pytest.mark.parametrize("suffix", ["wav", "mp3", "m4a"])
def test_recordings_become_flac_exact_to_the_sample(tmp_path: Path, suffix: str) -> None:
    rate, sound = 44_100, clicks(CLICKS, 2.4, 44_100)
    path = tmp_path / f"r.{suffix}"
    if suffix == "wav":
        path.write_bytes(sound_bytes(sound, rate))
    else:
        with av.open(str(path), "w", format="mp4" if suffix == "m4a" else suffix) as container:
            stream = container.add_stream("aac" if suffix == "m4a" else "libmp3lame", rate=rate,
                                          layout="mono")  # fmt: skip
            frame = av.AudioFrame.from_ndarray(sound[np.newaxis], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    report = export_here([hit_of(path, 1.0, 2.2, modality=Medium.AUDIO)], tmp_path / "clips")
    clip = report.files[0].path
    assert clip.suffix == ".flac"
    samples, clip_rate, first = read_sound(clip)
    assert (clip_rate, first, samples.shape) == (rate, 0.0, (1, round(1.2 * rate)))
    check_sync(clip, 1.0, 2.2)
    if suffix == "wav":
        wanted = sound[rate : rate + samples.shape[1]]
        assert samples[0] == pytest.approx(wanted, abs=2 / 32_768)


def test_animations_and_members_of_tars(tmp_path: Path) -> None:
    frames = [Image.fromarray(numbered_frame(number)) for number in range(20)]
    gif = io.BytesIO()
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:], duration=100)
    video = write_numbered(tmp_path / "v.mp4", 30, sound=clicks((0.5,), 1.2))
    tar = write_tar(tmp_path / "a.tar", {"x/a.gif": gif.getvalue(), "v.mp4": video.read_bytes()})
    hits = [hit_of(f"{tar}!x/a.gif", 0.5, 1.2), hit_of(f"{tar}!v.mp4", 0.2, 0.8, rank=2)]
    report = export_here(hits, tmp_path / "clips")
    assert report.failures == ()
    check_frames(report.files[0].path, [number / 10 for number in range(20)], 0.5, 1.2)
    check_frames(report.files[1].path, [number / 25 for number in range(30)], 0.2, 0.8)
    check_sync(report.files[1].path, 0.2, 0.8, (0.5,))


def test_held_frames_and_spans_between_frames(tmp_path: Path) -> None:
    """Slides: frame 1 is shown from 1 to 3 s."""
    path = write_numbered(tmp_path / "v.mp4", 4, times_ms=[0, 1_000, 3_000, 4_000])
    for start, end, numbers, times in (
        (1.5, 4.0, [1, 2], [0.0, 1.5]),  # the slide is still shown for long
        (2.9, 4.0, [2], [0.0]),  # not for long: the clip begins with the next frame
        (1.5, 2.0, [1], [0.0]),  # no frame begins here
        (3.0, 3.01, [2], [0.0]),
    ):
        clip = cut(path, start, end, f"{tmp_path}/{start}-{end}/")
        shown = read_frames(clip)
        assert [number for _, number in shown] == numbers
        assert [time for time, _ in shown] == pytest.approx(times, abs=1e-3)


def test_whole_files_and_padding(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "v.mp4", 30)
    report = export_here([hit_of(path)], tmp_path / "whole")
    check_frames(report.files[0].path, [number / 25 for number in range(30)], 0, 9)
    clip = cut(path, 0.4, 0.6, tmp_path / "padded", pad_seconds=0.2)
    check_frames(clip, [number / 25 for number in range(30)], 0.2, 0.8)
    clip = cut(path, 0.1, 0.2, tmp_path / "clamped", pad_seconds=60.0)
    check_frames(clip, [number / 25 for number in range(30)], 0.0, 9)


def test_cut_files_are_reported_and_leave_nothing(tmp_path: Path) -> None:
    good = write_numbered(tmp_path / "good.mkv", 60, gop=1)
    short = tmp_path / "short.mkv"
    short.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(write_numbered(tmp_path / "g.mp4", 60).read_bytes()[:1_000])
    hits = [
        hit_of(broken, 0.2, 0.8),
        hit_of(tmp_path / "gone.mp4", 0, 1, rank=2),
        hit_of("https://example.org/v.mp4", 0, 1, rank=3),
        hit_of(short, 0.2, 0.6, rank=4),
        hit_of(short, 0.2, 2.2, rank=5),
        hit_of(short, 2.0, 2.2, rank=6),
        hit_of(tmp_path / "no.tar!a.mp4", 0, 1, rank=7),
        hit_of(good, 0.2, 0.4, rank=8),
    ]
    report = export_here(hits, tmp_path / "clips")
    reasons = {failure.rank: failure.reason for failure in report.failures}
    assert set(reasons) == {1, 2, 3, 6, 7}
    assert "no frame in this span" in reasons[6]
    assert "No such file" in reasons[2]
    assert "an address" in reasons[3]
    assert all("\n" not in reason for reason in reasons.values())
    notes = {file.moment.hit.rank: file.notes for file in report.files if file.moment}
    assert notes[4] == notes[8] == ()
    assert "before the end of the span" in notes[5][0]
    names = sorted(os.listdir(tmp_path / "clips"))
    assert len(names) == 3
    assert not any(name.startswith(".") for name in names)
