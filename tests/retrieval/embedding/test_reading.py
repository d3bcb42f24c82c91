from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile

import retrieval.embedding.reading
from retrieval.embedding.missing import missing_encoders
from retrieval.embedding.options import DEFAULT_TEXTS, EmbedOptions, EmbedReport
from retrieval.embedding.run import embed
from retrieval.encoders.whisper import Whisper
from retrieval.errors import DamagedMediaError, MissingExtraError, UnknownModelError
from retrieval.media.audio.speech import speech_stretches
from retrieval.media.ocr.engine import Line
from retrieval.store.reader import Snapshot
from retrieval.types import TextSource, TimedText
from support.voices import RATE_HZ, silence, voice

OCR, SPEECH = TextSource.OCR, TextSource.SPEECH
WITH_OCR = (*DEFAULT_TEXTS, OCR)

Run = Callable[..., EmbedReport]


class FakeEngine:
    """Reads the brightest channel of a picture as its name; blue pictures are empty."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.broken: set[str] = set()

    def __call__(self, pixels: np.ndarray) -> list[Line]:
        mean = pixels.mean(axis=(0, 1))
        name = (
            "yellow" if mean[0] > 200 and mean[1] > 200 else ("red", "green", "blue")[mean.argmax()]
        )
        self.read.append(name)
        if name in self.broken:
            raise ValueError(f"cannot read {name}")
        return [] if name == "blue" else [Line(f"sign {name}", 1.0, 1.0, 1.0)]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr("retrieval.media.words.load_engine", lambda: fake)
    monkeypatch.setattr("retrieval.embedding.reading.require_ocr", lambda: None)
    return fake


def stored(root: Path, source: TextSource) -> dict[str, list[TimedText]]:
    """The texts of a source by file name."""
    snapshot = Snapshot.open(root)
    names = {file.item_id: Path(uri).name for uri, file in snapshot.known_files().items()}
    found: dict[str, list[TimedText]] = {}
    for row in pa.Table.from_batches(snapshot.texts()).to_pylist():
        item_id = row.pop("item_id")
        text = TimedText(**(row | {"source": TextSource(row["source"])}))
        if text.source is source:
            found.setdefault(names[item_id], []).append(text)
    return found


WORDS = {
    "blue.png": [TimedText(OCR, "")],
    "green.png": [TimedText(OCR, "sign green")],
    "red.png": [TimedText(OCR, "sign red")],
    "yellow.png": [TimedText(OCR, "sign yellow")],
}


def test_writing_is_read_once_also_in_items_that_were_embedded_before(
    run: Run, media: Path, tmp_path: Path, engine: FakeEngine, encoded: list[int]
) -> None:
    run(media)
    assert engine.read == []
    calls = len(encoded)
    report = run(media, texts=WITH_OCR)
    assert (report.read[OCR], report.unread, report.unchanged) == (4, 0, 4)
    assert stored(tmp_path / "c", OCR) == WORDS
    assert len(encoded) == calls  # nothing is embedded again
    again = run(media, texts=WITH_OCR)
    assert (again.read[OCR], len(engine.read)) == (0, 4)
    assert run(media, texts=WITH_OCR, refresh=True).read[OCR] == 4
    assert stored(tmp_path / "c", OCR) == WORDS


def test_only_the_items_of_the_given_sources_are_read(
    run: Run, media: Path, tmp_path: Path, engine: FakeEngine
) -> None:
    run(media)
    run(media / "red.png", texts=WITH_OCR)
    assert engine.read == ["red"]
    assert list(stored(tmp_path / "c", OCR)) == ["red.png"]


def test_an_error_costs_the_text_of_one_item(
    run: Run, media: Path, tmp_path: Path, engine: FakeEngine
) -> None:
    engine.broken = {"green"}
    report = run(media, texts=WITH_OCR)
    assert (sum(report.added.values()), report.failed, report.unread) == (4, 0, 1)
    assert [(f.stage, f.reason) for f in report.failures] == [("ocr", "cannot read green")]
    expected = {name: texts for name, texts in WORDS.items() if name != "green.png"}
    assert stored(tmp_path / "c", OCR) == expected
    assert len(Snapshot.open(tmp_path / "c").item_ids()) == 4
    # The failure stays until the item is read, and is not tried by every run.
    engine.read.clear()
    assert run(media, texts=WITH_OCR).unread == 0
    assert engine.read == []
    failures = Snapshot.open(tmp_path / "c").failures()
    assert [failure.stage for failure in failures.values()] == ["ocr"]
    engine.broken.clear()
    assert run(media, texts=WITH_OCR, retry_failed=True).read[OCR] == 1
    assert stored(tmp_path / "c", OCR) == WORDS
    assert Snapshot.open(tmp_path / "c").failures() == {}


def test_strict_stops_at_an_item_that_cannot_be_read(
    run: Run, media: Path, tmp_path: Path, engine: FakeEngine
) -> None:
    engine.broken = {"green"}
    with pytest.raises(DamagedMediaError, match=r"green.png: cannot read green"):
        run(media, texts=WITH_OCR, strict=True)
    assert len(Snapshot.open(tmp_path / "c").item_ids()) == 4


def test_an_interrupted_run_keeps_what_was_read_and_continues(
    run: Run, media: Path, tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(media)
    reported: list[tuple[str, float, float | None]] = []

    def stop(task: str, done: float, total: float | None, note: str = "") -> None:
        reported.append((task, done, total))
        if task == "reading writing" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed([media], tmp_path / "c", EmbedOptions(workers=0, texts=WITH_OCR), stop)
    assert len(stored(tmp_path / "c", OCR)) == 2
    assert [one for one in dict.fromkeys(reported) if one[0] == "reading writing"] == [
        ("reading writing", done, 4) for done in range(3)
    ]
    engine.read.clear()
    assert run(media, texts=WITH_OCR).read[OCR] == 2
    assert len(engine.read) == 2
    assert stored(tmp_path / "c", OCR) == WORDS


def test_a_changed_picture_is_read_again(
    run: Run, media: Path, tmp_path: Path, engine: FakeEngine
) -> None:
    run(media, texts=WITH_OCR)
    (media / "red.png").write_bytes((media / "yellow.png").read_bytes())
    engine.read.clear()
    run(media, texts=WITH_OCR)
    assert engine.read == ["yellow"]
    assert stored(tmp_path / "c", OCR)["red.png"] == [TimedText(OCR, "sign yellow")]


def test_missing_extras_and_models_are_reported_before_anything_is_embedded(
    run: Run, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.media.ocr.engine.find_spec", lambda name: None)
    monkeypatch.setattr("retrieval.media.audio.speech.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"install retrieval\[ocr\]"):
        run(media, texts=WITH_OCR)
    with pytest.raises(MissingExtraError, match=r"install retrieval\[speech\]"):
        run(media, texts=(SPEECH,))
    assert not (tmp_path / "c").exists()
    options = EmbedOptions(models=("toy:toy",), texts=(SPEECH,), speech_model="tiny")
    with pytest.raises(UnknownModelError, match="tiny reads no speech; choose a Whisper model"):
        missing_encoders(tmp_path / "c", options)


def test_speech_is_read_by_a_real_model_with_times_and_a_language(
    run: Run, tmp_path: Path, small_whisper: Path
) -> None:
    import ctranslate2

    folder = tmp_path / "sounds"
    folder.mkdir()
    sound = np.concatenate([silence(4), voice(6), silence(8), voice(5, seed=1), silence(2)])
    soundfile.write(folder / "voices.wav", sound, RATE_HZ, subtype="FLOAT")
    soundfile.write(folder / "silent.wav", silence(3), RATE_HZ)
    model = f"whisper:{small_whisper}"
    ctranslate2.set_random_seed(1)
    report = run(
        folder, models=("toy:toy-music",), texts=(*DEFAULT_TEXTS, SPEECH), speech_model=model
    )
    assert (report.read[SPEECH], report.unread) == (2, 0)
    cues = stored(tmp_path / "c", SPEECH)
    assert cues["silent.wav"] == [TimedText(SPEECH, "")]
    ctranslate2.set_random_seed(1)
    whisper = Whisper.load(model, device="cpu")
    stretches = [one for found in speech_stretches([sound]) for one in found]
    np.testing.assert_allclose([one.start_seconds for one in stretches], [4, 18], atol=0.6)
    expected = [cue for one in stretches for cue in whisper.read(one)]
    assert expected
    assert cues["voices.wav"] == expected


def test_processes_that_read_writing_are_bounded_by_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pages = {"SC_PHYS_PAGES": 4 << 20, "SC_PAGE_SIZE": 1 << 10}  # 4 GB
    monkeypatch.setattr("os.sysconf", pages.__getitem__)
    workers = retrieval.embedding.reading.WordReader._workers
    reader = retrieval.embedding.reading.WordReader(None, EmbedOptions(workers=8), None, None)  # type: ignore[arg-type]
    assert (workers(reader, OCR), workers(reader, SPEECH)) == (2, 8)
