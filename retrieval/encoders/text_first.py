"""An open_clip model that encodes texts without torch and without its image tower."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.forking import ForkSafeLock
from retrieval.encoders.inputs import NoAudio
from retrieval.encoders.pooling import unit_rows
from retrieval.encoders.text_record import (
    TextRecord,
    encode,
    make_tokenizer,
    read_record,
    write_record,
)
from retrieval.encoders.text_tower import TextTower
from retrieval.encoders.tokens import clean_texts
from retrieval.protocols import Encoder
from retrieval.types import AudioWindows, ImageGeometry, Medium

MAX_TEXTS = 128
"""The complete model encodes more texts at once, so that calibrations are the same to the bit."""

GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""Devices of the drivers that torch uses on Linux. Without them, `auto` is the CPU."""


class TextFirstEncoder(NoAudio):
    """Implements Encoder on a CPU. Pictures and many texts load the complete model at first use.

    Args:
        record: Description of the model.
        load: Loads the complete model.
        spec: Specification of the model.
    """

    media: tuple[Medium, ...] = (Medium.IMAGE, Medium.VIDEO)
    windows: AudioWindows | None = None

    def __init__(self, record: TextRecord, load: Callable[[], Encoder], *, spec: str) -> None:
        self.spec = spec
        self.slug = record.slug
        self.dim = record.dim
        self.digest = record.digest
        self.geometry: ImageGeometry = record.geometry
        self.logit_scale = record.logit_scale
        self._load = load
        self._lock = ForkSafeLock()
        self._complete: Encoder | None = None
        self._tower = TextTower.load(record.tower, Path(record.weights))
        self._tokenizer = make_tokenizer(record.tokenizer)

    @property
    def complete(self) -> Encoder:
        """The complete model."""
        with self._lock:
            if self._complete is None:
                self._complete = self._load()
            return self._complete

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the tokenizer's context length."""
        if len(texts) > MAX_TEXTS:
            return self.complete.encode_text(texts)
        if not texts:
            return np.empty((0, self.dim), np.float32)
        return encode(self._tower, self._tokenizer(clean_texts(texts)), f"{self.spec}: text")

    def word_states(
        self, text: str
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
        """Return the states of a text's tokens, which of them are not padding, and its vector.

        Returns:
            (tokens, width); (tokens,), where the last is True; and (dim,) of unit length.
        """
        tokens, empty = self._tokenizer(clean_texts([text, ""]))
        is_word = tokens != empty[-1]
        is_word[0] = True  # an empty text is all padding
        length = int(np.flatnonzero(is_word)[-1]) + 1
        states = self._tower.states(tokens)
        vector = unit_rows(self._tower.pool(states, tokens)[None], f"{self.spec}: text")[0]
        return states[:length], is_word[:length], vector

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed (n, height, width, 3) uint8 RGB pictures; see `OpenClipEncoder`."""
        return self.complete.encode_images(pixels)


def load_known(
    spec: str, load: Callable[[], Encoder], device: str = "auto"
) -> TextFirstEncoder | None:
    """Load the text tower of a model that was loaded before; None of others, and on a GPU.

    Args:
        spec: Specification of the model, as collections store it.
        load: Loads the complete model.
        device: `auto`, `cpu` or `cuda`.
    """
    if not _is_cpu(device):
        return None
    record = read_record(spec)
    return None if record is None else TextFirstEncoder(record, load, spec=spec)


def remember(encoder: Any, device: str = "auto") -> Encoder:
    """Remember the text tower of a loaded `OpenClipEncoder`, and return the model with this tower.

    Texts thus have the same vectors as in later processes. Models with another tower, and those on
    a GPU, are returned unchanged.

    Args:
        encoder: The model.
        device: The device that it was loaded for.
    """
    record = write_record(encoder) if _is_cpu(device) else None
    if record is None:
        complete: Encoder = encoder
        return complete
    return TextFirstEncoder(record, lambda: encoder, spec=encoder.spec)


def _is_cpu(device: str) -> bool:
    """Whether a model is loaded on the CPU; torch is imported only where a GPU may exist."""
    if device == "cpu":
        return True
    if device == "auto" and sys.platform != "win32" and not any(map(os.path.exists, GPU_FILES)):
        return True
    from retrieval.encoders.batching import choose_device

    return choose_device(device).type == "cpu"
