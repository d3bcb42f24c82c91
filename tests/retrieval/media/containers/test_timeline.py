from pathlib import Path

import av
import pytest

from retrieval.media.containers.reading import open_container, possible_seconds
from retrieval.media.containers.timeline import Timeline
from retrieval.media.damage import Damage
from support.media_files import make_tone, write_video
from support.timed_media import write_sound


def stamps(path: Path, kind: str) -> tuple[list[float], Timeline, Damage]:
    damage = Damage()
    with open_container(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        timeline = Timeline(container, damage)
        stamps_read = [
            float(packet.pts * packet.time_base) - timeline.origin_seconds
            for packet in timeline.packets(stream)
            if packet.pts is not None
        ]
    return stamps_read, timeline, damage


def test_field_12_timestamps_of_all_streams_continue_by_the_same_amount(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.ts", [40] * 20, gop=1, codec="mpeg4",
        sound=make_tone(3, 48_000), sound_rate=48_000,
    )  # fmt: skip
    once, _, _ = stamps(path, "video")
    content = path.read_bytes()
    path.write_bytes(3 * content)
    video, timeline, damage = stamps(path, "video")
    audio, _, _ = stamps(path, "audio")
    assert timeline.restarts == 2
    assert damage.notes == ["the clock of the file restarts; time goes on from there"]
    assert video == sorted(video)
    assert audio == sorted(audio)
    count = len(once)
    for part in range(3):
        begins = video[part * count] - audio[part * len(audio) // 3]
        assert begins == pytest.approx(0, abs=0.1)
        assert video[part * count] == pytest.approx(3 * part, abs=0.2)
    assert timeline.end_seconds == pytest.approx(9, abs=0.3)


def test_a_seek_is_not_a_restart(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [40] * 50, gop=5)
    damage = Damage()
    with open_container(str(path)) as container:
        stream = container.streams.video[0]
        timeline = Timeline(container, damage)
        assert sum(1 for _ in timeline.packets(stream)) > 50
        container.seek(0)
        timeline.after_seek()
        assert next(timeline.packets(stream)).pts == 0
    assert (timeline.restarts, damage.notes) == (0, [])


@pytest.mark.parametrize("kind", ["mka", "mp4", "ts"])
def test_an_uncut_file_has_one_clock(tmp_path: Path, kind: str) -> None:
    path = write_sound(tmp_path / f"a.{kind}", make_tone(3, 48_000))
    stamps_read, timeline, _ = stamps(path, "audio")
    with av.open(str(path)) as container:
        plain = [
            float(packet.pts * packet.time_base) - timeline.origin_seconds
            for packet in container.demux(audio=0)
            if packet.pts is not None
        ]
    assert stamps_read == plain
    assert timeline.restarts == 0


def test_the_possible_duration_grows_with_the_size() -> None:
    assert possible_seconds(0) == 60
    assert possible_seconds(3_200_000) == 100_060
