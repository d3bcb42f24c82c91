"""Transcript files beside media."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from retrieval.media.languages import language_code
from retrieval.media.transcripts.sidecars import SidecarFinder, is_sidecar, language_of
from retrieval.types import Sidecar


def test_transcripts_of_a_file_are_found_by_its_name(tmp_path: Path) -> None:
    belonging = [
        "film.srt", "film.en.srt", "film.en.forced.srt", "film.pt-BR.vtt", "film.mp4.srt",
        "film.json", "film.lrc", "film.ass", "film.mp4.deu.srt",
    ]  # fmt: skip
    others = ["film2.srt", "fil.srt", "film.director.srt", "film.txt", "film.mkv.srt", "film.mp4"]
    for name in belonging + others:
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (5.5, 5.5))
    expected = tuple(Sidecar(name, len(name), 5.5) for name in sorted(belonging))
    assert SidecarFinder().find(str(tmp_path / "film.mp4")) == expected
    assert SidecarFinder().find(str(tmp_path / "film.jpg")) == ()
    assert SidecarFinder().find(str(tmp_path / "gone/film.mp4")) == ()
    media = frozenset(("film.mp4", "film"))
    assert [name for name in belonging + others if is_sidecar(name, media)] == belonging


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("film.en.srt", "en"), ("film.ger.srt", "de"), ("film.pt-BR.srt", "pt"),
        ("film.en.forced.srt", "en"), ("film.srt", None), ("film.director.srt", None),
    ],
)  # fmt: skip
def test_the_name_tells_the_language(name: str, language: str | None) -> None:
    assert language_of(name) == language


def test_languages_have_two_letters() -> None:
    codes = [language_code(text) for text in ("eng", "zh-Hans", "ZHO", "und", "xx", "", None, 3)]
    assert codes == ["en", "zh", "zh", None, None, None, None, None]
