"""Lengths and times of videos: what headers declare, and what the time stamps say."""

import io
import struct
import time
from pathlib import Path

import av
import numpy as np
import pytest

from retrieval.errors import DamagedMediaError
from retrieval.media.audio.reader import open_sound
from retrieval.media.decode import decode
from retrieval.media.sources.find import find_sources
from retrieval.media.video.frames import FrameReader
from retrieval.media.video.reader import VideoReader, frames_at, open_video
from retrieval.types import (
    AudioWindows,
    DecodedChunk,
    DecodePlan,
    ImageGeometry,
    ItemDecoded,
    Medium,
)
from support.media_files import make_tone, write_video
from support.timed_media import move_clusters, noise_frames, write_mpeg2, write_webm

Levels = list[tuple[float, float]]


def sample(path: Path, rate: float = 2.0) -> tuple[Levels, VideoReader]:
    """Give (seconds, mean grey level), and the reader at its end."""
    with open_video(str(path)) as video:
        found = [(s, float(np.asarray(p).mean())) for s, p in video.sample(rate)]
    return found, video


def assert_levels(found: Levels, expected: Levels, tolerance: float = 3.0) -> None:
    assert [seconds for seconds, _ in found] == [seconds for seconds, _ in expected]
    np.testing.assert_allclose(
        [level for _, level in found], [level for _, level in expected], atol=tolerance
    )


def steps(count: int) -> list[int]:
    return [4 * number for number in range(count)]


# ---------------------------------------------------------------- bombs


def test_field_07_a_bomb_is_read_in_bounded_work(real_data: Path) -> None:
    began = time.process_time()
    found, video = sample(real_data / "field/bomb.mkv")
    assert time.process_time() - began < 20
    assert [seconds for seconds, _ in found[:3]] == [0, 0.5, 1]
    assert found[-1][0] == pytest.approx(30_000_000, abs=1)
    assert len(found) < 400
    (note,) = video.damage.notes
    assert note.startswith("frames are repeated for 29,999,9")


@pytest.mark.parametrize("kind", ["mkv", "mp4", "mov"])
def test_field_07_a_picture_that_lasts_for_hours(tmp_path: Path, kind: str) -> None:
    path = write_video(tmp_path / f"a.{kind}", steps(3), times_ms=[0, 500, 20_000_000])
    found, video = sample(path)
    assert len(found) < 600
    assert found[-1] == (pytest.approx(20_000, abs=1), pytest.approx(8, abs=3))
    assert video.damage.notes != []


@pytest.mark.parametrize("kind", ["ts", "flv"])
def test_field_12_a_leap_of_a_day_is_another_clock(tmp_path: Path, kind: str) -> None:
    codec = "flv" if kind == "flv" else "mpeg4"
    times = [0, 500, 80_000_000, 80_000_500]
    path = write_video(tmp_path / f"a.{kind}", steps(4), times_ms=times, codec=codec)
    found, video = sample(path)
    assert len(found) < 8
    assert found[-1] == (pytest.approx(1.5, abs=0.6), pytest.approx(12, abs=3))
    assert "the clock of the file restarts; time goes on from there" in video.damage.notes


def test_field_07_repeated_pictures_are_limited_by_the_bytes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", steps(3), times_ms=[0, 1_000, 40_000])
    found, video = sample(path)
    assert_levels(found, [(n / 2, 0 if n < 2 else 4 if n < 80 else 8) for n in range(len(found))])
    assert len(found) in (81, 82)
    assert video.damage.notes == []


def test_field_07_requested_times_are_returned_across_any_gap(real_data: Path) -> None:
    path = str(real_data / "field/bomb.mkv")
    assert [s for s, _ in frames_at(path, [0, 1.5, 20_000_000])] == [0, 1.5, 20_000_000]


# ---------------------------------------------------------------- indexes that lie


@pytest.mark.parametrize("kind", ["mpg", "vob"])
def test_field_11_program_streams_are_read_by_their_stamps(tmp_path: Path, kind: str) -> None:
    levels = [number // 2 for number in range(500)]
    path = write_mpeg2(tmp_path / f"a.{kind}", levels, gop=100, sound=make_tone(20, 48_000))
    wanted = [4.0, 4.5, 5.0, 9.0, 13.0, 18.5]
    found = [(s, float(np.asarray(p).mean())) for s, p in frames_at(str(path), wanted)]
    assert_levels(found, [(seconds, 12.5 * seconds) for seconds in wanted])


@pytest.mark.parametrize("kind", ["mp4", "mov"])
def test_field_11_an_index_that_calls_every_frame_a_keyframe(tmp_path: Path, kind: str) -> None:
    path = write_video(tmp_path / f"a.{kind}", steps(60), gop=30)
    content = path.read_bytes()
    assert content.count(b"stss") == 1
    path.write_bytes(content.replace(b"stss", b"free"))  # without it, all samples are keyframes
    found = [(s, float(np.asarray(p).mean())) for s, p in frames_at(str(path), [0, 2.5, 4.7])]
    assert_levels(found, [(0, 0), (2.5, 100), (4.7, 188)])


def test_field_11_an_index_that_points_elsewhere(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", steps(60), gop=10)
    content = bytearray(path.read_bytes())
    cues = content.rindex(b"\x1c\x53\xbb\x6b")
    places = [at for at in range(cues, len(content)) if content[at] == 0xB3]  # CueTime
    for at in places[1:]:  # each keyframe is said to be four seconds earlier than it is
        count = content[at + 1] & 0x7F
        value = int.from_bytes(content[at + 2 : at + 2 + count], "big")
        content[at + 2 : at + 2 + count] = max(0, value - 4_000).to_bytes(count, "big")
    path.write_bytes(content)
    found = [(s, float(np.asarray(p).mean())) for s, p in frames_at(str(path), [0, 1.5, 3.2])]
    assert_levels(found, [(0, 0), (1.5, 60), (3.2, 128)])


def test_field_11_after_a_wrong_seek_the_file_is_read_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4", steps(60), gop=10)
    monkeypatch.setattr(FrameReader, "_read_keyframes", lambda self: [0.0, 3.3, 4.7])
    found = [(s, float(np.asarray(p).mean())) for s, p in frames_at(str(path), [0, 3.5, 5.2])]
    assert_levels(found, [(0, 0), (3.5, 140), (5.2, 208)])


# ---------------------------------------------------------------- clocks that restart


@pytest.mark.parametrize("kind", ["ts", "mpg", "vob", "mkv", "flv", "mp4", "mov", "wmv"])
@pytest.mark.parametrize("times", [2, 3])
def test_field_12_pictures_continue_after_the_clock_restarts(
    tmp_path: Path, kind: str, times: int
) -> None:
    path = tmp_path / f"a.{kind}"
    if kind not in ("mpg", "vob"):
        write_video(
            path,
            [5 * n for n in range(40)],
            codec={"flv": "flv", "wmv": "wmv2"}.get(kind, "libx264"),
            sound=make_tone(4, 48_000 if kind != "flv" else 44_100),
            sound_rate=48_000 if kind != "flv" else 44_100,
        )
    else:
        write_mpeg2(path, [2 * n for n in range(100)], sound=make_tone(4, 48_000))
    path.write_bytes(times * path.read_bytes())
    found, video = sample(path)
    assert video.duration_seconds == pytest.approx(4 * times, abs=0.1 * times)
    for seconds, level in found:
        behind = seconds - 4 * round(seconds // 4.03)
        assert level == pytest.approx(50 * min(max(behind, 0), 3.9), abs=9), seconds
    assert "the clock of the file restarts; time goes on from there" in video.damage.notes


@pytest.mark.parametrize("kind", ["mkv", "mp4", "flv"])
def test_field_12_joined_videos_may_differ(tmp_path: Path, kind: str) -> None:
    """In size, codec and sound; times go on, and seeks reach every part."""
    path, other = tmp_path / f"a.{kind}", tmp_path / f"b.{kind}"
    codecs = ("flv", "libx264") if kind == "flv" else ("libx264", "mpeg4")
    write_video(path, steps(40), codec=codecs[0], sound=make_tone(4, 44_100), sound_rate=44_100)
    pictures = [np.full((96, 128, 3), 200 - 4 * n, np.uint8) for n in range(40)]
    write_video(other, pictures, codec=codecs[1])
    path.write_bytes(path.read_bytes() + other.read_bytes() + path.read_bytes())
    found, video = sample(path)
    begins = [4.0, 8.0]
    assert video.duration_seconds == pytest.approx(12, abs=0.2)
    levels = dict(found)
    assert [levels[s] for s in (0.5, 3.5)] == pytest.approx([20, 140], abs=5)
    assert [levels[s + begins[0]] for s in (0.5, 3.5)] == pytest.approx([180, 60], abs=8)
    assert [levels[s + begins[1]] for s in (0.5, 3.5)] == pytest.approx([20, 140], abs=8)
    wanted = [1.0, 5.0, 10.5]
    some = [(s, float(np.asarray(p).mean())) for s, p in frames_at(str(path), wanted)]
    assert some == [(s, pytest.approx(levels[s], abs=1)) for s in wanted]
    with open_sound(str(path)) as sound:
        samples = np.concatenate(list(sound.mono(16_000)))
    assert len(samples) / 16_000 == pytest.approx(12, abs=0.3)
    seconds = [float(np.abs(samples[s * 16_000 + 4_000 :][:8_000]).max()) for s in range(12)]
    assert [level > 0.1 for level in seconds] == [s < 4 or s >= 8 for s in range(12)]


def test_field_12_flv_of_a_recorder_that_stored_no_size(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.flv", steps(40), codec="flv")
    content = path.read_bytes().replace(b"\x00\x08filesize\x00", b"\x00\x08Filesize\x00")
    path.write_bytes(3 * content)
    found, video = sample(path)
    assert len(found) == 24
    assert video.duration_seconds == pytest.approx(12, abs=0.3)  # last frames have no duration


def test_field_12_what_cannot_be_read_of_a_joined_video_is_reported(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", steps(40))
    content = path.read_bytes()
    path.write_bytes(content + content.replace(b"moov", b"junk") + content)
    found, video = sample(path)
    assert len(found) == 16
    assert video.damage.notes[0].startswith(f"part 2, {len(content):,} bytes, is left out (")
    path.write_bytes(content + 9_000 * b"-")
    assert sample(path)[1].damage.notes == [
        "9,000 bytes follow the end of the recording or video; left out"
    ]
    path.write_bytes(content + content[:-500])  # its index is cut
    (note,) = sample(path)[1].damage.notes
    assert note.startswith(f"part 2, {len(content) - 500:,} bytes, is left out (")
    path.write_bytes(content + content)
    _copy(path, tmp_path / "b.mp4", movflags="faststart")
    content = (tmp_path / "b.mp4").read_bytes()
    path.write_bytes(content + content[: len(content) * 7 // 8])
    with pytest.raises(DamagedMediaError, match="ends early"):
        sample(path)


def test_field_12_sound_and_pictures_stay_together(tmp_path: Path) -> None:
    """The sound of each part is longer than its pictures: both go on where the longer one ends."""
    path = write_video(
        tmp_path / "a.ts", [40] * 5 + [200] * 15, sound=make_tone(3, 48_000), sound_rate=48_000
    )
    path.write_bytes(2 * path.read_bytes())
    found, _ = sample(path, 10.0)
    with open_sound(str(path)) as sound:
        length = sum(len(block) for block in sound.mono(16_000)) / 16_000
    dark = [seconds for seconds, level in found if level < 100]
    assert length == pytest.approx(6, abs=0.15)
    assert dark[:5] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert dark[5] == pytest.approx(3, abs=0.15)


def test_field_12_frames_before_those_already_shown_are_reported(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", steps(50), gop=1, codec="mpeg4")
    whole, _ = sample(path)
    _copy(path, tmp_path / "b.mkv", cluster_time_limit="900")
    path = move_clusters(tmp_path / "b.mkv", lambda ms: ms if ms < 3_000 else ms - 1_000)
    found, video = sample(path)
    assert found[:6] == whole[:6]
    assert video.duration_seconds == pytest.approx(4, abs=0.2)
    assert video.damage.notes[0].endswith("frames begin before an earlier one; left out")


# ---------------------------------------------------------------- ends


@pytest.mark.parametrize("kind", ["mp4", "mkv", "mov", "avi", "ts"])
@pytest.mark.parametrize("pictures", [1, 20])
def test_field_13_the_last_picture_stays_until_the_sound_ends(
    tmp_path: Path, kind: str, pictures: int
) -> None:
    path = write_video(
        tmp_path / f"a.{kind}",
        [40] * (pictures - 1) + [200],
        codec="mpeg4" if kind == "avi" else "libx264",
        sound=make_tone(12, 48_000),
        sound_rate=48_000,
    )
    found, video = sample(path)
    assert video.duration_seconds == pytest.approx(12, abs=0.1)
    times = [seconds for seconds, _ in found]
    assert times[:24] == [number / 2 for number in range(24)]
    assert len(times) in (24, 25)
    assert [level for s, level in found if s >= 2] == pytest.approx([200] * (len(found) - 4), abs=4)


def test_field_13_segments_of_a_still_reach_the_end(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [90], sound=make_tone(12, 48_000), sound_rate=48_000)
    plan = DecodePlan(
        frames={"s": ImageGeometry(32, 32)}, audio={"a": AudioWindows(16_000, 1.0, 1.0)}
    )
    (source,) = find_sources([str(path)])
    *chunks, end = decode(source, plan, {})
    assert isinstance(end, ItemDecoded)
    assert end.info.duration_seconds == pytest.approx(12, abs=0.1)
    times = [
        float(chunk.start_seconds[-1])
        for chunk in chunks
        if isinstance(chunk, DecodedChunk) and chunk.medium is Medium.VIDEO
    ]
    assert times[-1] in (11.5, 12.0)


@pytest.mark.parametrize("kind", ["webm", "mkv", "avi", "flv", "mp4"])
def test_field_14_videos_cut_in_half_fail(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "webm":
        write_webm(path, 24)
    else:
        codec = {"avi": "mpeg4", "flv": "flv"}.get(kind, "libx264")
        write_video(path, noise_frames(240), codec=codec)
    if kind == "mp4":
        _copy(path.rename(tmp_path / "b.mp4"), path, movflags="faststart")
    assert sample(path)[1].damage.notes == []
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DamagedMediaError, match=r"ends early .* of 2[34]\.\d seconds can be read"):
        sample(path)


def _copy(path: Path, target: Path, **options: str) -> None:
    """Write the pictures of a video into another container as they are."""
    with av.open(str(path)) as source, av.open(str(target), "w", options=options) as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)


@pytest.mark.parametrize("kind", ["mkv", "webm"])
def test_field_14_a_whole_file_whose_header_declares_too_much(tmp_path: Path, kind: str) -> None:
    if kind == "webm":
        path = write_webm(tmp_path / "a.webm", 4)
    else:
        path = write_video(tmp_path / "a.mkv", steps(40))
    content = bytearray(path.read_bytes())
    at = content.index(b"\x44\x89\x88") + 3  # Duration, a double of milliseconds
    content[at : at + 8] = struct.pack(">d", 20_000.0)
    path.write_bytes(content)
    found, video = sample(path)
    assert len(found) == 8
    assert video.duration_seconds == pytest.approx(4, abs=0.1)
    (note,) = video.damage.notes
    assert note.startswith("the header declares 20.0 s, the file holds 4.0 s")


def test_field_09_a_header_that_declares_too_little_is_no_limit(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", steps(40))
    content = bytearray(path.read_bytes())
    at = content.index(b"\x44\x89\x88") + 3
    content[at : at + 8] = struct.pack(">d", 1_000.0)
    with open_video(io.BytesIO(bytes(content))) as video:
        assert len(list(video.sample(2.0))) == 8
        assert video.duration_seconds == pytest.approx(4, abs=0.1)
