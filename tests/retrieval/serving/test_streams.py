"""Converted videos: the frames and the sound of the requested span."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest

from retrieval.serving import transcodes
from support import served_toys
from support.media_files import make_tone, write_video
from support.timed_media import write_constant_rate, write_hevc_avi, write_mpeg2


def decoded(content: bytes) -> tuple[list[float], list[float], float]:
    """Times and levels of the frames, and seconds of sound."""
    times, levels, samples = [], [], 0
    with av.open(io.BytesIO(content)) as container:
        assert container.format.name.startswith("mov,mp4")
        assert [stream.codec_context.name for stream in container.streams.video] in (["h264"], [])
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                times.append(frame.time)
                levels.append(float(frame.to_ndarray(format="gray").mean()))
            else:
                samples += frame.samples
    return times, levels, samples / 48_000


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An MPEG-2 with sound, and an HEVC; both get lighter with every frame."""
    media = tmp_path / "media"
    media.mkdir()
    levels = list(range(0, 250, 5))
    sound = make_tone(len(levels) / 25, 48_000)
    write_mpeg2(media / "old.mpg", levels, sound=sound)
    write_video(media / "new.mkv", levels, rate=25, codec="libx265")
    served_toys.embed_toys(media, tmp_path / "c", monkeypatch.setattr)
    served_toys.use_toys_for_searching(monkeypatch.setattr)
    ids = served_toys.ids_by_name(tmp_path / "c")
    with served_toys.served(tmp_path / "c", cache=tmp_path / "cache") as (client, services):
        yield client, services, ids


def test_what_browsers_cannot_play_is_converted_from_a_time_on(films) -> None:
    client, services, ids = films
    for name, start, shown in (("old.mpg", 0.0, 50), ("old.mpg", 1.0, 25), ("new.mkv", 1.0, 25)):
        assert client.get(f"/api/items/c/{ids[name]}").json()["playable"] is False
        answer = client.get(f"/media/c/{ids[name]}?play={start}")
        assert answer.headers["content-type"] == "video/mp4"
        times, levels, _ = decoded(answer.content)
        assert len(times) == pytest.approx(shown, abs=1)
        assert times[0] == pytest.approx(0, abs=0.05)
        assert levels[0] == pytest.approx(start * 25 * 5, abs=12)
        assert np.all(np.diff(levels) > 0)
    assert services.transcodes.running == 0


@dataclass(frozen=True)
class Unplayable:
    """A kind of file that browsers cannot play.

    Attributes:
        inexact_frames: Frames by which a jump can miss its time. Several small frames share the
            time stamp of one packet in a program stream.
    """

    name: str
    container: str
    video: str
    options: dict[str, str]
    inexact_frames: int = 0


HEVC_IN_AVI = Unplayable("hevc.avi", "avi", "hevc", {})
MPEG2 = Unplayable("dvd.mpg", "mpeg", "mpeg2video", {"codec": "mpeg2video"}, 3)
PRORES = Unplayable(
    "edit.mov", "mov,mp4,m4a,3gp,3g2,mj2", "prores",
    {"codec": "prores_ks", "pixels": "yuv422p10le", "sound_codec": "pcm_s16le"},
)  # fmt: skip


def frames_of(source) -> tuple[np.ndarray, np.ndarray]:
    """Times and levels of the frames of a file or of bytes."""
    with av.open(source) as container:
        frames = [
            (frame.time, frame.to_ndarray(format="gray").mean())
            for frame in container.decode(video=0)
        ]
        origin = (container.start_time or 0) / av.time_base
    times, levels = np.array(frames).T
    return times - origin, levels


@pytest.mark.parametrize("kind", [HEVC_IN_AVI, MPEG2, PRORES], ids=lambda kind: kind.name)
def test_a_video_that_browsers_cannot_play_is_converted_frame_by_frame(
    kind: Unplayable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = tmp_path / "media"
    media.mkdir()
    levels = list(range(20, 220, 4))
    if kind is HEVC_IN_AVI:
        sound, path = None, write_hevc_avi(media / kind.name, levels)
    else:
        sound = make_tone(2, 48_000)
        path = write_constant_rate(media / kind.name, levels, sound=sound, **kind.options)
    times, shown = frames_of(str(path))
    assert shown == pytest.approx(levels, abs=4)
    served_toys.embed_toys(media, tmp_path / "c", monkeypatch.setattr)
    served_toys.use_toys_for_searching(monkeypatch.setattr)
    with served_toys.served(tmp_path / "c", cache=tmp_path / "cache") as (client, _):
        details = client.get("/api/items/c/0").json()
        assert (details["container"], details["video"]) == (kind.container, kind.video)
        assert details["playable"] is False
        for first in (0, 11, 12, 30):  # also between keyframes
            content = client.get(f"/media/c/0?play={times[first]:.2f}").content
            played, levels_played = frames_of(io.BytesIO(content))
            assert abs(len(played) - (50 - first)) <= kind.inexact_frames
            same = min(len(played), 50 - first)
            assert levels_played[-same:] == pytest.approx(shown[-same:], abs=3)
            # The times of the last frames of the MPEG-2 file go back.
            steps = np.diff(times[-same:])[1:-6]
            assert np.diff(played[-same:])[1:-6] == pytest.approx(steps, abs=0.005)
            # AAC begins with 1,024 samples of silence, by which the pictures are delayed as well.
            assert played[1] - played[0] == pytest.approx(0.04, abs=0.022)
            _, _, seconds = decoded(content)  # also checks the codec
            expected = 0 if sound is None else 2 - first / 25
            assert seconds == pytest.approx(expected, abs=0.1)


def test_a_clip_has_the_frames_and_the_sound_of_its_span(films) -> None:
    client, _, ids = films
    answer = client.get(f"/clips/c/{ids['old.mpg']}?start=0.4&end=1.2")
    times, levels, seconds = decoded(answer.content)
    assert len(times) == pytest.approx(20, abs=1)
    assert levels[0] == pytest.approx(50, abs=12)
    assert seconds == pytest.approx(0.8, abs=0.1)
    assert answer.headers["content-disposition"] == ("attachment; filename*=utf-8''old-0.4-1.2.mp4")


def test_a_clip_of_a_recording_is_sound(shared) -> None:
    answer = shared.client.get(shared.url("clips", "low.wav", "?start=1&end=3"))
    times, _, seconds = decoded(answer.content)
    assert (times, seconds) == ([], pytest.approx(2, abs=0.1))


@pytest.mark.parametrize(
    "query",
    ["?start=1", "?start=2&end=1", "?start=0&end=9999", "?start=x&end=1", "?start=-1&end=1"],
)
def test_invalid_spans_are_refused(shared, query: str) -> None:
    assert shared.client.get(shared.url("clips", "film.mp4", query)).status_code == 422


@pytest.mark.parametrize(
    ("route", "query"), [("media", "?play=9999"), ("clips", "?start=1000&end=1010")]
)
@pytest.mark.parametrize("name", ["film.mp4", "low.wav"])
def test_a_time_after_the_end_is_said(shared, route: str, query: str, name: str) -> None:
    answer = shared.client.get(shared.url(route, name, query))
    assert (answer.status_code, answer.json()["error"]) == (
        422, "the video cannot be converted: it ends before the requested time",
    )  # fmt: skip


def test_an_image_has_no_clip(shared) -> None:
    answer = shared.client.get(shared.url("clips", "red.png", "?start=0&end=1"))
    assert answer.status_code == 422
    assert "is an image" in answer.json()["error"]


def test_too_many_streams_are_busy(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcodes, "MAX_TRANSCODES", 0)
    answer = shared.client.get(shared.url("media", "film.mp4", "?play=0"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_common_files_are_playable_as_they_are(shared) -> None:
    probe = shared.client.get(shared.url("api/items", "film.mp4")).json()
    assert (probe["video"], probe["playable"]) == ("h264", probe["audio"] in ("aac", None))
    sound = shared.client.get(shared.url("api/items", "low.wav")).json()
    assert (sound["container"], sound["playable"]) == ("wav", True)
    image = shared.client.get(shared.url("api/items", "red.png")).json()
    assert (image["type"], image["playable"]) == ("image/png", True)


def test_a_stream_that_is_not_read_is_ended(shared, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    from retrieval.serving.item_files import item_record

    monkeypatch.setattr(transcodes, "STALL_SECONDS", 0.1)
    record = item_record(next(iter(shared.services.library)).current, shared.ids["film.mp4"])

    async def start_and_leave() -> list[int]:
        running = transcodes.Transcodes()
        stream = await running.start(shared.services.files.open(record), 0.0, 4.0)
        counts = [running.running]
        while running.running:
            await asyncio.sleep(0.01)
        del stream
        return [*counts, running.running]

    assert asyncio.run(asyncio.wait_for(start_and_leave(), 60)) == [1, 0]
