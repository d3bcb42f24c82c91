from pathlib import Path

import numpy as np
import pytest

from retrieval.estimate.survey import survey
from retrieval.media.files import find_sources
from retrieval.types import Medium
from support.media_files import (
    make_tone,
    picture_bytes,
    sound_bytes,
    write_tar,
    write_video,
)


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


def test_many_files_are_told_from_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.estimate.survey.PROBED", 10)
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


def test_an_ogg_is_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a.ogg").write_bytes(sound_bytes(make_tone(1.5), kind="OGG", subtype="VORBIS"))
    found = survey(find_sources([str(tmp_path)]))
    assert found.totals[Medium.AUDIO].seconds == pytest.approx(1.5, abs=0.1)
    assert found.totals[Medium.VIDEO].items == 0


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[int] = []
    survey(find_sources([str(write_files(tmp_path / "m"))]), told.append)
    assert told == list(range(1, 11))
