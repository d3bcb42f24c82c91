"""Converted videos: the frames and the sound of the requested span."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest

from retrieval.serving import transcodes
from support import served_toys
from support.media_files import make_tone, write_video
from support.timed_media import write_mpeg2


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
