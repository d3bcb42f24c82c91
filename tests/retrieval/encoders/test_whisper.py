import shutil
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from retrieval.encoders.catalogue import load_encoder
from retrieval.encoders.hub.cache import availability
from retrieval.encoders.hub.fetch import fetch
from retrieval.encoders.whisper import Whisper, find_whisper
from retrieval.errors import UnknownModelError, WeightsFormatError, WeightsNotAvailableError
from retrieval.media.audio.speech import RATE_HZ, Stretch
from retrieval.types import TextSource, TimedText
from support.hub.client import use
from support.hub.layouts import RealLayouts
from support.hub.server import Hub, serve
from support.voices import voice

SPEECH = TextSource.SPEECH
REPO = "Systran/faster-whisper-small"

Cue = namedtuple("Cue", "start end text")


class FakeModel:
    """Detects the language and its probability from the first samples."""

    def __init__(self) -> None:
        self.calls: list[str | None] = []

    def transcribe(self, samples: Any, *, language: str | None, **options: Any) -> Any:
        self.calls.append(language)
        detected = ("en", "de", "fr")[int(samples[0])]
        info = SimpleNamespace(
            language=language or detected, language_probability=1 if language else float(samples[1])
        )
        return iter(
            [Cue(0.5, 99.0, "  two \n words "), Cue(3.0, 3.0, "empty"), Cue(0, 1, " ")]
        ), info


def stretch(start: float, seconds: float, language: int, probability: float) -> Stretch:
    samples = np.zeros(round(seconds * RATE_HZ), np.float32)
    samples[:2] = language, probability
    return Stretch(start, samples)


def test_cues_have_the_times_of_the_recording_and_no_empty_text() -> None:
    whisper = Whisper(FakeModel())
    assert list(whisper.read(stretch(100.0, 8.0, 1, 0.9))) == [
        TimedText(SPEECH, "two words", 100.5, 108.0, "de")
    ]


def test_a_doubtful_stretch_has_the_language_of_the_last_certain_one() -> None:
    model = FakeModel()
    whisper = Whisper(model)

    def languages(*stretches: Stretch) -> list[str | None]:
        return [cue.language for one in stretches for cue in whisper.read(one)]

    doubtful, short, certain = (
        stretch(0, 8, 0, 0.5), stretch(0, 2, 0, 0.99), stretch(0, 8, 1, 0.9)
    )  # fmt: skip
    assert languages(doubtful) == ["en"]  # nothing better is known
    assert languages(certain, doubtful, short) == ["de", "de", "de"]
    assert languages(stretch(0, 8, 2, 0.95), doubtful) == ["fr", "fr"]
    whisper.start_recording()
    assert languages(short) == ["en"]


def test_the_cues_are_those_of_faster_whisper(small_whisper: Path) -> None:
    import ctranslate2

    samples = voice(9.0)
    whisper = Whisper.load(f"whisper:{small_whisper}", device="cpu")
    ctranslate2.set_random_seed(3)
    found = list(whisper.read(Stretch(50.0, samples)))
    ctranslate2.set_random_seed(3)
    cues, info = whisper._model.transcribe(samples, condition_on_previous_text=False)
    expected = [
        (" ".join(cue.text.split()), 50 + cue.start, 50 + min(cue.end, 9.0), info.language)
        for cue in cues
        if cue.start < 9
    ]
    assert expected
    assert [(c.text, c.start_seconds, c.end_seconds, c.language) for c in found] == expected


def test_a_model_is_fetched_checked_and_used_without_a_connection(
    real_layouts: RealLayouts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(Hub({REPO: real_layouts[REPO]})) as hub:
        use(hub, tmp_path / "cache", monkeypatch)
        with pytest.raises(WeightsNotAvailableError, match="fetch the model first") as error:
            find_whisper("whisper-small")
        fetched = fetch(error.value.fetchable or "")
        names = {"model.bin", "config.json", "tokenizer.json", "vocabulary.txt"}
        assert {file.path.name for file in fetched} == names
        assert {path.rpartition("/")[2] for path in hub.downloaded} == names
    assert availability(f"whisper:{REPO}").usable
    monkeypatch.setattr("socket.socket.connect", None)
    folder = find_whisper("Whisper-Small")
    assert {path.name for path in folder.iterdir()} == names
    assert list(Whisper.load("whisper-small", device="cpu").read(Stretch(0.0, voice(6.0))))
    assert availability(f"whisper:{REPO}").bytes == sum(file.bytes for file in fetched)


@pytest.mark.parametrize("missing", ["tokenizer.json", "vocabulary.txt", "model.bin"])
def test_an_incomplete_folder_is_refused(small_whisper: Path, tmp_path: Path, missing: str) -> None:
    folder = Path(shutil.copytree(small_whisper, tmp_path / "copy"))
    (folder / missing).unlink()
    with pytest.raises(WeightsNotAvailableError, match=missing.partition(".")[0]):
        find_whisper(f"whisper:{folder}")


def test_damaged_and_foreign_weights_are_refused(small_whisper: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_whisper, tmp_path / "copy"))
    weights = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(WeightsFormatError, match="cannot be loaded"):
        Whisper.load(f"whisper:{folder}", device="cpu")
    (folder / "model.bin").write_bytes(b"\x80\x04pickle")
    with pytest.raises(
        WeightsFormatError, match="not a Whisper model in the format of CTranslate2"
    ):
        find_whisper(f"whisper:{folder}")


@pytest.mark.parametrize("model", ["small", "tiny", "clap:laion/larger_clap_general"])
def test_other_models_read_no_speech(model: str) -> None:
    with pytest.raises(UnknownModelError, match=r"reads no speech; .* such as whisper-small"):
        find_whisper(model)


def test_a_speech_model_embeds_nothing() -> None:
    with pytest.raises(UnknownModelError, match="is a model for speech, not an encoder"):
        load_encoder("whisper-small")
