from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval.estimate.survey import survey
from retrieval.media.sources.find import find_sources
from retrieval.types import Medium
from support.media_files import (
    make_tone,
    picture_bytes,
    sound_bytes,
    write_tar,
    write_video,
)
from support.timed_media import write_sound, write_with_cover


def write_files(folder: Path) -> Path:
    """Five pictures, three recordings of 3 s, and two videos of 4 s, one of them with sound."""
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.jpg").write_bytes(picture_bytes(seed=number))
    for number in range(3):
        (folder / f"{number}.wav").write_bytes(sound_bytes(make_tone(3.0)))
    write_video(folder / "silent.mp4", [50] * 40)
    write_video(folder / "heard.mp4", [90] * 40, sound=make_tone(4.0))
    return folder


def test_files_are_counted_and_lengths_read(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "m")
    (folder / "notes.txt").write_text("no medium")
    found = survey(find_sources([str(folder)]))
    image, audio, video = (found.totals[m] for m in (Medium.IMAGE, Medium.AUDIO, Medium.VIDEO))
    assert (image.items, round(audio.items), round(video.items)) == (5, 3, 2)
    assert audio.seconds == pytest.approx(9.0, abs=0.1)
    assert video.seconds == pytest.approx(8.0, abs=0.3)
    assert video.with_sound_seconds == pytest.approx(4.0, abs=0.3)
    assert image.bytes == sum(path.stat().st_size for path in folder.glob("*.jpg"))
    assert (found.probed, found.unreadable) == (5, 0)


def test_members_of_a_tar_count_as_files(tmp_path: Path) -> None:
    members = {
        "a/1.jpg": picture_bytes(),
        "a/1.txt": b"caption",
        "b.wav": sound_bytes(make_tone(2.0)),
    }
    write_tar(tmp_path / "t.tar", members)
    found = survey(find_sources([str(tmp_path / "t.tar")]))
    assert found.totals[Medium.IMAGE].items == 1
    assert found.totals[Medium.AUDIO].seconds == pytest.approx(2.0, abs=0.1)


def test_many_files_are_extrapolated_from_a_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.estimate.survey.MAX_PROBED", 10)
    lengths = np.random.default_rng(0).uniform(0.5, 4.0, 60)
    for number, seconds in enumerate(lengths):
        (tmp_path / f"{number:02}.wav").write_bytes(sound_bytes(make_tone(seconds)))
    found = survey(find_sources([str(tmp_path)]))
    assert found.probed == 10
    assert round(found.totals[Medium.AUDIO].items) == 60
    # A WAV's bytes are its length, so the guess is right whichever files were opened.
    assert found.totals[Medium.AUDIO].seconds == pytest.approx(lengths.sum(), rel=0.02)


def test_fault_19_files_that_cannot_be_opened_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"<html>")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "t.tar").write_bytes(b"no tar")
    found = survey(find_sources([str(tmp_path)]))
    assert (found.probed, found.unreadable) == (2, 2)
    assert all(total.items == 0 for total in found.totals.values())


def test_an_ogg_with_sound_is_a_recording(tmp_path: Path) -> None:
    (tmp_path / "a.ogg").write_bytes(sound_bytes(make_tone(1.5), kind="OGG", subtype="VORBIS"))
    found = survey(find_sources([str(tmp_path)]))
    assert found.totals[Medium.AUDIO].seconds == pytest.approx(1.5, abs=0.1)
    assert found.totals[Medium.VIDEO].items == 0


def test_progress_counts_files(tmp_path: Path) -> None:
    counts: list[float] = []

    def progress(task: str, done: float, total: float | None, note: str = "") -> None:
        counts.append(done)

    survey(find_sources([str(write_files(tmp_path / "m"))]), progress)
    assert counts == list(range(1, 11))


def test_field_07_declared_lengths_are_limited_by_the_bytes(
    tmp_path: Path, real_data: Path
) -> None:
    size = (real_data / "field/bomb.mkv").stat().st_size
    found = survey(find_sources([str(real_data / "field/bomb.mkv")]))
    assert found.totals[Medium.VIDEO].seconds == pytest.approx(60 + size / 32)
    write_video(tmp_path / "a.mkv", [0, 4], times_ms=[0, 40_000_000])
    found = survey(find_sources([str(tmp_path)]))
    assert 0 < found.totals[Medium.VIDEO].seconds < 200


def test_field_07_the_sound_of_a_bomb(tmp_path: Path) -> None:
    write_sound(
        tmp_path / "a.mka",
        make_tone(2.0, 48_000),
        codec="libopus",
        move=lambda seconds: seconds if seconds < 1 else seconds + 30_000_000,
    )
    found = survey(find_sources([str(tmp_path)]))
    assert 0 < found.totals[Medium.AUDIO].seconds < 2_000


def test_field_15_a_recording_with_a_cover_counts_as_a_recording(tmp_path: Path) -> None:
    write_with_cover(tmp_path / "a.m4a", make_tone(3.0, 48_000))
    found = survey(find_sources([str(tmp_path)]))
    assert found.totals[Medium.AUDIO].seconds == pytest.approx(3.0, abs=0.1)
    assert found.totals[Medium.VIDEO].items == 0


def test_field_44_animations_count_as_videos_and_pictures_as_pictures(tmp_path: Path) -> None:
    pictures = [Image.new("L", (8, 8), level) for level in (0, 255, 0, 255)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=500)
    pictures[0].save(tmp_path / "b.webp")
    found = survey(find_sources([str(tmp_path)]))
    assert found.totals[Medium.VIDEO].seconds == pytest.approx(2.0)
    assert found.totals[Medium.IMAGE].items == 1
    assert found.unreadable == 0
