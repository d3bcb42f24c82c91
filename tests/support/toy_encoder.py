"""A small real encoder without weights: words, colours and pitches meet in one space.

"red" is near a red picture, "high" near a high tone; other words only find themselves. It is
deterministic, so that tests can state what must be found.
"""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from indexes.errors import InvalidVectorError
from retrieval.types import AudioWindows, ImageGeometry, Medium

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
}
PITCHES_HZ = {"low": 110.0, "middle": 440.0, "high": 1760.0}
CONCEPTS = [*COLOURS, *PITCHES_HZ, "silence"]


@dataclass(frozen=True)
class ToyEncoder:
    """Implements retrieval.protocols.Encoder.

    A vector has one axis per colour and pitch, and hashed axes for every other word and for the
    detail that tells two red pictures apart.
    """

    media: tuple[Medium, ...] = (Medium.IMAGE, Medium.VIDEO)
    dim: int = 32
    name: str = "toy"
    geometry: ImageGeometry | None = field(default=None)
    windows: AudioWindows | None = field(default=None)

    def __post_init__(self) -> None:
        if self.dim < len(CONCEPTS) + 4:
            raise ValueError(f"dim must be at least {len(CONCEPTS) + 4}, got {self.dim}")
        if self.geometry is None and {Medium.IMAGE, Medium.VIDEO} & set(self.media):
            object.__setattr__(self, "geometry", ImageGeometry(16, 16, "bilinear", "squash"))
        if self.windows is None and Medium.AUDIO in self.media:
            object.__setattr__(self, "windows", AudioWindows(8000, 2.0, 2.0))

    @classmethod
    def music(cls, name: str = "toy-music", dim: int = 32) -> ToyEncoder:
        """The encoder of sound: 2-s windows at 8 kHz."""
        return cls(media=(Medium.AUDIO,), dim=dim, name=name)

    @property
    def spec(self) -> str:
        return f"toy:{self.name}"

    @property
    def slug(self) -> str:
        return self.name

    @property
    def digest(self) -> str:
        text = f"{self.name} {self.dim} {self.media} {self.geometry} {self.windows}"
        return hashlib.sha256(text.encode()).hexdigest()

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return _unit(np.array([self._text(text) for text in texts]).reshape(-1, self.dim))

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self.geometry is None:
            raise ValueError(f"{self.spec} embeds no pictures")
        grey_levels = pixels.astype(np.float64)
        mean = grey_levels.mean(axis=(1, 2))
        colours = np.array(list(COLOURS.values()), float)
        distance = np.linalg.norm(mean[:, None] - colours[None], axis=2) / 255
        rows = np.zeros((len(pixels), self.dim))
        rows[:, : len(COLOURS)] = np.exp(-((distance / 0.4) ** 2))
        # Thumbnails of 4 x 4, projected: what tells two pictures of one colour apart.
        thumbnails = grey_levels[:, ::4, ::4] / 255
        return _unit(
            rows
            + 0.02 * self._detail(thumbnails.reshape(len(pixels), math.prod(thumbnails.shape[1:])))
        )

    def encode_audio(
        self, windows: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        if self.windows is None:
            raise ValueError(f"{self.spec} embeds no sound")
        if not np.isfinite(windows).all():
            raise InvalidVectorError(f"{self.spec}: sound with NaN or infinite samples")
        spectra = np.abs(np.fft.rfft(windows, axis=1)) / max(1, windows.shape[1])
        hz = np.fft.rfftfreq(windows.shape[1], 1 / self.windows.sample_rate_hz)
        loudest = np.maximum(hz[spectra[:, 1:].argmax(axis=1) + 1], 1.0)
        octaves = np.log2(loudest[:, None] / np.array(list(PITCHES_HZ.values()))[None])
        rows = np.zeros((len(windows), self.dim))
        rows[:, len(COLOURS) : len(COLOURS) + len(PITCHES_HZ)] = np.exp(-(octaves**2))
        silent = np.abs(windows).max(axis=1, initial=0.0) < 1e-4
        rows[silent, : len(CONCEPTS)] = np.eye(len(CONCEPTS))[CONCEPTS.index("silence")]
        bands = np.stack(
            [band.mean(axis=1) for band in np.array_split(spectra, 48, axis=1)], axis=1
        )
        return _unit(rows + 0.02 * self._detail(bands / (bands.max(axis=1, keepdims=True) + 1e-9)))

    def _text(self, text: str) -> NDArray[np.float64]:
        row = np.zeros(self.dim)
        row[-1] = 0.05  # so that a text without words is no zero vector
        for word in re.findall(r"\w+", text.lower()):
            if word in CONCEPTS:
                row[CONCEPTS.index(word)] += 1
                continue
            code = zlib.crc32(word.encode())
            rng = np.random.default_rng(code)
            row[len(CONCEPTS) :] += 0.3 * rng.standard_normal(self.dim - len(CONCEPTS))
        return row

    def _detail(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        rng = np.random.default_rng(features.shape[1])
        return features @ rng.standard_normal((features.shape[1], self.dim))


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    if not len(rows):
        return rows.astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
