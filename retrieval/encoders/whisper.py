"""Whisper models in the format of CTranslate2, which read speech."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.catalogue import resolve
from retrieval.encoders.hub.cache import missing_files, model_folder
from retrieval.encoders.hub.repositories import REQUIRED_FILES, HubSource
from retrieval.encoders.names import DEFAULT_SPEECH_MODEL
from retrieval.encoders.weights import CTRANSLATE2_WEIGHTS, check_ctranslate2
from retrieval.errors import (
    DeviceError,
    UnknownModelError,
    WeightsFormatError,
    WeightsNotAvailableError,
)
from retrieval.media.audio.speech import Stretch, require_speech
from retrieval.types import TextSource, TimedText

SURE_SECONDS, SURE_PROBABILITY = 5.0, 0.8
"""A stretch decides the language of shorter and doubtful ones after it if it is at least that long
and that certain."""

Samples = NDArray[np.float32]


def resolve_speech_model(model: str) -> str:
    """Resolve the name of a speech model to its specification.

    Raises:
        UnknownModelError: There is no such model, or it reads no speech.
        WeightsNotAvailableError: Only its files can identify a repository that is not cached.
    """
    spec, *others = resolve(model)
    if others or not spec.startswith("whisper:"):
        raise UnknownModelError(
            f"{model} reads no speech; choose a Whisper model such as {DEFAULT_SPEECH_MODEL}"
        )
    return spec


def find_whisper(model: str) -> Path:
    """Return the folder of a speech model after checking its files.

    Args:
        model: Name of the catalogue, `whisper:FOLDER`, or a repository.

    Raises:
        MissingExtraError: The package for speech is not installed.
        UnknownModelError: There is no such model, or it reads no speech.
        WeightsNotAvailableError: The model is not on this machine.
        WeightsFormatError: The weights have another format.
    """
    require_speech()
    spec = resolve_speech_model(model)
    folder = model_folder(spec.partition(":")[2], spec=spec)
    check_ctranslate2(folder / CTRANSLATE2_WEIGHTS)
    missing = missing_files(folder, HubSource("", REQUIRED_FILES["whisper"], CTRANSLATE2_WEIGHTS))
    if missing:  # faster-whisper would download a missing tokenizer
        raise WeightsNotAvailableError(f"{spec}: {folder} lacks its {', '.join(missing)}")
    return folder


class Whisper:
    """A Whisper model that reads one recording after the other.

    Args:
        model: A `faster_whisper.WhisperModel`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._language: str | None = None

    @classmethod
    def load(cls, model: str, *, device: str = "auto") -> Whisper:
        """Load a model from this machine.

        Args:
            model: Name of the catalogue, `whisper:FOLDER`, or a repository.
            device: `auto`, `cpu` or `cuda`.

        Raises:
            DeviceError: The device is not available.
            WeightsFormatError: The files are damaged.
            RetrievalError: As `find_whisper`.
        """
        folder = find_whisper(model)
        import ctranslate2
        from faster_whisper import WhisperModel

        has_gpu = ctranslate2.get_cuda_device_count() > 0
        if device == "cuda" and not has_gpu:
            raise DeviceError("no CUDA device was found; read speech on the CPU")
        on_gpu = has_gpu and device != "cpu"
        try:
            loaded = WhisperModel(
                str(folder),
                device="cuda" if on_gpu else "cpu",
                compute_type="float16" if on_gpu else "int8",
                local_files_only=True,
            )
        except Exception as error:  # damaged files raise arbitrary exceptions
            reason = " ".join(str(error).split())[:200]
            raise WeightsFormatError(
                f"{model}: {folder} cannot be loaded ({reason}); fetch it again"
            ) from error
        return cls(loaded)

    def start_recording(self) -> None:
        """Forget the language of the recording before."""
        self._language = None

    def read(self, stretch: Stretch) -> Iterator[TimedText]:
        """Yield the cues of one stretch of speech, with times in the recording.

        The language is detected in every stretch. If the stretch is short or the detection is
        doubtful, the language of the recording's last certain stretch is used.
        """
        cues, info = self._transcribe(stretch.samples, None)
        seconds = stretch.end_seconds - stretch.start_seconds
        if seconds >= SURE_SECONDS and info.language_probability >= SURE_PROBABILITY:
            self._language = info.language
        elif self._language not in (None, info.language):
            cues, info = self._transcribe(stretch.samples, self._language)
        for cue in cues:
            text = " ".join(cue.text.split())
            start = min(max(0.0, float(cue.start)), seconds)
            end = min(float(cue.end), seconds)
            if text and start < end:
                offset = stretch.start_seconds
                yield TimedText(
                    TextSource.SPEECH, text, offset + start, offset + end, info.language
                )

    def _transcribe(self, samples: Samples, language: str | None) -> tuple[Any, Any]:
        result: tuple[Any, Any] = self._model.transcribe(
            samples, language=language, condition_on_previous_text=False
        )
        return result
