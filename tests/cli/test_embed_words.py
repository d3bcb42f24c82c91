"""`retrieval embed` reads the words in pictures and recordings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from typer.testing import CliRunner

from cli.main import app
from retrieval.store.reader import Snapshot
from support import embed_process
from support.commands import run
from support.hub.server import Hub
from support.voices import RATE_HZ, silence, voice
from support.writing import page


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A page and a recording of a voice."""
    folder = tmp_path / "media"
    folder.mkdir()
    page("The harbour is closed\nuntil 12 March").save(folder / "page.png")
    sound = np.concatenate([silence(3), voice(6), silence(2)])
    soundfile.write(folder / "voice.wav", sound, RATE_HZ)
    return folder


def texts(root: Path, source: str) -> list[tuple[str, float | None, str]]:
    rows = pa.Table.from_batches(Snapshot.open(root).texts()).to_pylist()
    return [(r["text"], r["start_seconds"], r["language"]) for r in rows if r["source"] == source]


def test_words_are_read_by_processes_and_a_fetched_model(
    real_layout_hub: Hub, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rapidocr")
    pytest.importorskip("faster_whisper")
    embed_process.use_toys(monkeypatch.setattr)
    collection = tmp_path / "c"
    embed = ("embed", media, "-c", collection, "--workers", "1", "--model", "toy:toy")
    assert "1 item added" in run(*embed)
    embed += ("--model", "toy:toy-music", "--ocr", "--speech", "whisper-small")
    # Without a terminal, the message has the command that fetches the model.
    message = str(CliRunner().invoke(app, [*map(str, embed)]).exception)
    assert "Systran/faster-whisper-small, about 486.0 MB" in message
    assert message.endswith("run `retrieval models fetch --yes whisper-small`")
    assert real_layout_hub.requests == []
    run("models", "fetch", "--yes", "whisper-small")
    models = json.loads(run("models", "list", "--format", "json"))
    assert [one["name"] for one in models if one["bytes"] and not one["in_package"]] == [
        "whisper-small"
    ]
    # An untrained model is unsure, so faster-whisper draws words at random.
    ctranslate2 = pytest.importorskip("ctranslate2")
    ctranslate2.set_random_seed(1)
    output = run(*embed)
    assert "1 item added (0 images, 1 recording, 0 videos)" in output
    assert "1 read for words in pictures\n1 read for spoken words" in output
    assert texts(collection, "ocr") == [("The harbour is closed\nuntil 12 March", None, None)]
    speech = texts(collection, "speech")
    assert speech
    assert [cue for cue in speech if not (2.5 <= (cue[1] or 0) <= 9.5 and cue[0] and cue[2])] == []
    again = run(*embed[:-3], "--texts", "ocr,speech")
    assert "2 unchanged" in again
    assert "read for" not in again


def test_a_model_that_reads_no_speech_is_refused(media: Path, tmp_path: Path) -> None:
    arguments = ["embed", str(media), "-c", str(tmp_path / "c"), "--model", "tiny"]
    result = CliRunner().invoke(app, [*arguments, "--speech", "tiny"])
    assert "tiny reads no speech; choose a Whisper model such as whisper-small" in str(
        result.exception
    )
    result = CliRunner().invoke(app, [*arguments[:-1], "whisper-small"])
    assert "is a model for speech, not an encoder" in str(result.exception)
    assert not (tmp_path / "c" / "CURRENT").exists()
