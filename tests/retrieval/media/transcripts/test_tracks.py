"""Subtitle tracks inside videos."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval.media.containers.reading import open_container
from retrieval.media.damage import Damage
from retrieval.media.transcripts.tracks import read_tracks
from retrieval.types import TextSource, TimedText
from support.media_files import write_video
from support.subtitled import SRT, add_subtitles


@pytest.mark.parametrize("suffix", ["srt", "vtt"])
def test_a_track_gives_its_cues_with_times_and_language(tmp_path: Path, suffix: str) -> None:
    video = write_video(tmp_path / "plain.mkv", range(0, 200, 5))
    path = add_subtitles(video, tmp_path / "film.mkv", suffix=suffix, language="ger")
    with open_container(path) as container:
        texts = read_tracks(container, Damage())
    assert texts == [
        TimedText(TextSource.TRANSCRIPT, "Hallo Welt", 0.0, 1.5, "de"),
        TimedText(TextSource.TRANSCRIPT, "zwei Zeilen, ja", 1.5, 3.0, "de"),
    ]
    assert "Hallo" in SRT
    with open_container(video) as container:
        assert read_tracks(container, Damage()) == []
