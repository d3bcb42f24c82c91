"""Transcript files of every format and encoding."""

from __future__ import annotations

import io
import json

import pytest

from retrieval.errors import DamagedMediaError
from retrieval.media.transcripts import formats
from retrieval.media.transcripts.cues import Transcript
from retrieval.media.transcripts.formats import read_transcript

CUE = "1\n00:00:01,000 --> 00:00:02,000\n{}\n"
ASS = (
    "[Script Info]\nTitle: x\n\n[V4+ Styles]\nFormat: Name, Fontname\n\n[Events]\n"
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    "Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,{\\an8}Hi\\Nyou, there\n"
    "Comment: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,a comment\n"
    "Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,{\\p1}m 0 0 l 1 1{\\p0}\n"
)


def read(text: str | bytes, name: str, encoding: str = "utf-8") -> Transcript | None:
    content = text if isinstance(text, bytes) else text.encode(encoding)
    return read_transcript(io.BytesIO(content), name, len(content))


def texts(transcript: Transcript | None) -> list[str]:
    assert transcript is not None
    return [text for _, _, text in transcript.cues]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Äpfel, Öl und Übermut: größere Bäume säumen die Straße", "latin-1"),
        ("Привет, как дела сегодня? Всё хорошо, спасибо", "cp1251"),
        ("שלום עולם", "utf-16"),
        ("naïve café", "utf-8-sig"),
        ("日本語の字幕です、こんにちは世界", "shift_jis"),
    ],
)
def test_field_62_srt_of_any_encoding_is_read(text: str, encoding: str) -> None:
    transcript = read(CUE.format(text), "film.srt", encoding)
    assert texts(transcript) == [text]
    assert transcript is not None
    assert transcript.problem is None


def test_a_file_without_text_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    transcript = read(b"\xff\xd8\xff\xe0\0\x10JFIF" * 50, "photo.srt")
    assert transcript is not None
    assert (transcript.cues, (transcript.problem or "")[:6]) == ([], "line 1")
    monkeypatch.setattr(formats, "MAX_TRANSCRIPT_BYTES", 10)
    with pytest.raises(DamagedMediaError, match="has 38 bytes, at most 10 are read"):
        read(CUE.format("hello"), "film.srt")


def test_vtt_is_recognized_whatever_it_is_called() -> None:
    vtt = "WEBVTT\n\nNOTE no cue\n\n00:01.000 --> 00:02.000\nFish &amp; chips\n"
    assert texts(read(vtt, "film.srt")) == texts(read(vtt, "film.vtt")) == ["Fish & chips"]


def test_ass_gives_the_dialogue() -> None:
    transcript = read(ASS, "film.ass")
    assert transcript == Transcript([(1.0, 2.5, "Hi you, there")])
    broken = read(ASS + "Dialogue: 0,bad,0:00:02.50,Default,,0,0,0,,x\n", "film.ssa")
    assert broken is not None
    assert (broken.problem or "").startswith("line 12: not a line of ASS (")


def test_whisper_json_gives_its_segments() -> None:
    segments = [{"start": 0.0, "end": 1.5, "text": " Hi"}, {"start": 2, "end": 3, "text": "you"}]
    document = {"text": "Hi you", "language": "en", "segments": segments}
    transcript = read(json.dumps(document), "film.json")
    assert transcript == Transcript([(0.0, 1.5, "Hi"), (2.0, 3.0, "you")], "en")
    assert read(json.dumps(segments), "film.json") == Transcript(transcript.cues)
    segments[1] = {"start": "x", "end": None, "text": "you"}  # type: ignore[dict-item]
    broken = read(json.dumps(document), "film.json")
    assert broken is not None
    assert (broken.cues, broken.problem) == (
        [(0.0, 1.5, "Hi")], "segment 2: expected start, end and text, in seconds",
    )  # fmt: skip


@pytest.mark.parametrize("text", ['{"title": "x"}', "[]", "[1, 2]", "{", '"x"', "[" * 10_000])
def test_other_json_is_no_transcript(text: str) -> None:
    assert read(text, "film.json") is None


def test_cut_whisper_json_is_reported_with_its_line() -> None:
    transcript = read('{\n"segments": [\n{"start": 1,', "film.json")
    assert transcript == Transcript(problem="line 3: its JSON cannot be read")


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_field_62_many_cues_and_a_long_one_are_read(count: int) -> None:
    times = [(n // 3600, n // 60 % 60, n % 60) for n in range(count)]
    content = "".join(
        f"{n}\n{h:02}:{m:02}:{s:02},000 --> {h:02}:{m:02}:{s:02},900\nline {n}\n\n"
        for n, (h, m, s) in enumerate(times)
    ) + CUE.format("x" * 1_000_000)
    transcript = read(content, "film.srt")
    assert transcript is not None
    assert transcript.problem is None
    assert len(transcript.cues) == count + 1
    assert transcript.cues[-1] == (count - 1, count - 0.1, f"line {count - 1}")
    assert len(transcript.cues[2][2]) == 1_000_000
