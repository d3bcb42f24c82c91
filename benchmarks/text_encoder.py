"""Encoders that encode only texts, for searches and index builds without a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.types import AudioWindows, ImageGeometry, Medium


class TextOnlyEncoder(ABC):
    """An `Encoder` that refuses media."""

    spec = "benchmark:vectors"
    slug = "vectors"
    media: tuple[Medium, ...] = (Medium.IMAGE, Medium.VIDEO)
    geometry: ImageGeometry | None = None
    windows: AudioWindows | None = None

    def __init__(self, dim: int) -> None:
        self.dim = dim

    @property
    def digest(self) -> str:
        """Digest of the dimension, the only property."""
        return f"{self.dim:064x}"

    @abstractmethod
    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Map texts to unit vectors, (n, dim)."""

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Refuse pictures."""
        raise ValueError(f"{self.slug} encodes only texts")

    def encode_audio(
        self, windows: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Refuse sound."""
        raise ValueError(f"{self.slug} encodes only texts")


class FixedTextEncoder(TextOnlyEncoder):
    """Encodes only texts whose vectors are known."""

    def __init__(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        super().__init__(vectors.shape[1])
        self._vectors = dict(zip(texts, vectors, strict=True))

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of texts, (n, dim)."""
        return np.stack([self._vectors[text] for text in texts])
