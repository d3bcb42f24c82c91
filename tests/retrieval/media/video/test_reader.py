import io
from pathlib import Path

import numpy as np
import pytest

from retrieval.errors import DamagedMediaError, MediaTooLargeError, UnsupportedMediaError
from retrieval.media.images import limits
from retrieval.media.video import frames as frames_module
from retrieval.media.video.reader import frames_at, open_video, sample_frames
from support.media_files import (
    damage,
    grey_frame,
    make_tone,
    rotate_mp4,
    write_m4a,
    write_video,
)


def levels(frames: object) -> list[tuple[float, int]]:
    """Reduce (seconds, picture) pairs to (seconds, mean grey level in steps of 4)."""
    return [(seconds, round(float(np.asarray(p).mean()) / 4)) for seconds, p in frames]


def steps(count: int) -> list[int]:
    """Grey levels that `levels` reads as 0, 1, 2, …"""
    return [4 * number for number in range(count)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
@pytest.mark.parametrize("gop", [1, 5, 50])
def test_samples_are_the_frames_shown(tmp_path: Path, suffix: str, gop: int) -> None:
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    path = write_video(tmp_path / f"a{suffix}", steps(50), gop=gop, codec=codec)
    expected = [(number / 2, 5 * number) for number in range(10)]
    assert levels(sample_frames(str(path), 2.0)) == expected
    assert levels(frames_at(str(path), [4.9, 0.3, 3.05])) == [(0.3, 3), (3.05, 30), (4.9, 49)]


def test_an_open_file_is_read_like_a_path(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", steps(10))
    assert levels(sample_frames(io.BytesIO(path.read_bytes()), 2.0)) == [(0.0, 0), (0.5, 5)]


@pytest.mark.parametrize("threads", [0, 1])
def test_repeated_times_and_times_past_the_end(tmp_path: Path, threads: int) -> None:
    path = write_video(tmp_path / "a.mp4", steps(20), gop=5)
    found = levels(frames_at(str(path), [0.5, 0.5, 99.0], threads=threads))
    assert found == [(0.5, 5), (0.5, 5), (99.0, 19)]
    assert levels(frames_at(str(path), [])) == []


def test_seeking_decodes_only_the_needed_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4", steps(60), gop=10)
    decoded = 0
    real = frames_module.decode_packet

    def counting(*arguments: object) -> list[object]:
        nonlocal decoded
        frames = real(*arguments)
        decoded += len(frames)
        return frames

    monkeypatch.setattr(frames_module, "decode_packet", counting)
    assert levels(frames_at(str(path), [0.0, 5.0], threads=1)) == [(0.0, 0), (5.0, 50)]
    assert decoded <= 6


def test_real_videos_match_decoding_every_frame(real_data: Path) -> None:
    import av

    for path in sorted((real_data / "videos").glob("*.m[pk][4v]")):
        with av.open(path) as container:
            frames = list(container.decode(video=0))
            origin = (container.start_time or 0) / av.time_base
            times = np.array([frame.time - origin for frame in frames])
            for seconds, picture in sample_frames(str(path), 2.0):
                shown = frames[int(np.searchsorted(times, seconds + 1e-4, side="right")) - 1]
                np.testing.assert_array_equal(picture, shown.to_ndarray(format="rgb24"))


# ---------------------------------------------------------------- odd and bad videos


def test_fault_23_variable_frame_rate(tmp_path: Path) -> None:
    times = [0, 100, 2000, 2040, 2080, 3900]
    path = write_video(tmp_path / "a.mkv", steps(6), times_ms=times)
    shown = [level for _, level in levels(sample_frames(str(path), 2.0))]
    assert shown == [0, 1, 1, 1, 2, 4, 4, 4]


@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
def test_fault_23_start_time_not_zero(tmp_path: Path, suffix: str) -> None:
    times = [5000 + 100 * number for number in range(30)]
    path = write_video(tmp_path / f"a{suffix}", steps(30), times_ms=times)
    with open_video(str(path)) as video:
        found = levels(video.sample(2.0))
    assert found == [(number / 2, 5 * number) for number in range(6)]


def test_fault_23_rotated(tmp_path: Path) -> None:
    frame = grey_frame(0, width=64, height=48)
    frame[:, :32] = 255  # the left half is white
    path = rotate_mp4(write_video(tmp_path / "a.mp4", [frame] * 3))
    with open_video(str(path)) as video:
        ((_, picture),) = video.frames_at([0.0])
        assert (video.width, video.height) == (48, 64)
    pixels = np.asarray(picture)
    assert pixels.shape == (64, 48, 3)
    assert pixels[:28].mean() > 240  # turned clockwise, left is up
    assert pixels[36:].mean() < 15


def test_fault_23_one_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [80])
    assert levels(sample_frames(str(path), 2.0)) == [(0.0, 20)]


def test_fault_23_unknown_duration(tmp_path: Path) -> None:
    import av

    target = io.BytesIO()
    target.seekable = lambda: False  # type: ignore[method-assign]
    with av.open(target, "w", format="matroska", options={"live": "1"}) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in steps(20):
            frame = av.VideoFrame.from_ndarray(grey_frame(level), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path = tmp_path / "a.mkv"
    path.write_bytes(target.getvalue())
    with open_video(str(path)) as video:
        assert video.duration_seconds is None
        assert levels(video.sample(2.0)) == [(number / 2, 5 * number) for number in range(4)]
        assert video.duration_seconds == pytest.approx(2.0, abs=0.05)


def test_fault_23_damaged_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    noise = [generator.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(60)]
    path = damage(write_video(tmp_path / "a.mp4", noise, gop=10, codec="mpeg4"), 0.4, 0.5)
    with open_video(str(path)) as video:
        found = list(video.sample(2.0))
    assert [seconds for seconds, _ in found] == [number / 2 for number in range(12)]
    assert video.damage.packets > 0


def test_fault_23_no_decodable_frame_fails(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", steps(20))
    content = bytearray(path.read_bytes())
    start = content.index(b"\x1f\x43\xb6\x75") + 40  # the first cluster's blocks
    content[start:] = bytes(len(content) - start)
    with pytest.raises((DamagedMediaError, UnsupportedMediaError)):
        list(sample_frames(io.BytesIO(bytes(content)), 2.0))


def test_fault_23_no_moov_fails(tmp_path: Path) -> None:
    content = write_video(tmp_path / "a.mp4", steps(20)).read_bytes()
    with pytest.raises(UnsupportedMediaError, match="no recording or video that can be opened"):
        list(sample_frames(io.BytesIO(content[: len(content) // 2]), 2.0))


def test_fault_23_sound_only_fails(tmp_path: Path) -> None:
    path = write_m4a(tmp_path / "a.mp4", make_tone(1.0))
    with pytest.raises(UnsupportedMediaError, match="no video stream"):
        list(sample_frames(str(path), 2.0))


def test_frames_over_the_pixel_cap_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "a.mp4", [0])
    monkeypatch.setattr(limits, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(MediaTooLargeError, match="64 × 48 pixels"):
        list(sample_frames(str(path), 2.0))


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ffconcat", ".sdp"])
def test_fault_24_playlists_and_scripts_fail(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(UnsupportedMediaError, match="no recording or video that can be opened"):
        list(sample_frames(str(path), 2.0))
