"""An open_clip model that encodes texts without open_clip and without its image tower."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexes.forking import ForkSafeLock
from retrieval.encoders.batching import Batcher, choose_device
from retrieval.encoders.inputs import NoAudio
from retrieval.encoders.text_record import TextRecord, make_tokenizer, read_record
from retrieval.encoders.text_tower import TextTower
from retrieval.encoders.tokens import clean_texts
from retrieval.protocols import Encoder
from retrieval.types import AudioWindows, ImageGeometry, Medium


class TextFirstEncoder(NoAudio):
    """Implements Encoder on a CPU. Pictures load the complete model at first use.

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
        self._batcher = Batcher(choose_device("cpu"), spec)

    @property
    def complete(self) -> Encoder:
        """The complete model."""
        with self._lock:
            if self._complete is None:
                self._complete = self._load()
            return self._complete

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the tokenizer's context length."""
        cleaned = clean_texts(texts)
        return self._batcher.embed(
            len(cleaned), self.dim, lambda part: self._tower(self._tokenizer(cleaned[part])), "text"
        )

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
    if choose_device(device).type != "cpu":
        return None
    record = read_record(spec)
    return None if record is None else TextFirstEncoder(record, load, spec=spec)
