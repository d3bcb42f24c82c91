"""MuQ-MuLan (2501.01108) by the optional package `muq`; its weights are CC-BY-NC-4.0."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.encoders.batching import Batcher, choose_device
from retrieval.encoders.hub import model_folder
from retrieval.encoders.pooling import unit_rows
from retrieval.encoders.tokens import clean_texts
from retrieval.encoders.weights import digest_of, file_digest, safetensors_of
from retrieval.errors import InvalidVectorError
from retrieval.types import AudioWindows, ImageGeometry, Medium

FILES = ("model.safetensors", "config.json")


class MuqMulanEncoder:
    """Implements retrieval.protocols.Encoder; computes in float32, as its model card asks."""

    slug = "muq-mulan"
    dim = 512
    media: tuple[Medium, ...] = (Medium.AUDIO,)
    geometry: ImageGeometry | None = None
    windows: AudioWindows | None = AudioWindows(24_000, 10.0, 10.0)

    def __init__(self, model: Any, folder: Path, *, spec: str, device: torch.device) -> None:
        self.spec = spec
        self._model = model.to(device).eval()
        self._folder = folder
        self._device = device
        self._batcher = Batcher(device, spec)

    @classmethod
    def load(cls, location: str, *, spec: str, device: str = "auto") -> MuqMulanEncoder:
        """Load a model from a folder or from the hub's cache.

        Raises:
            WeightsNotAvailableError: It is not on this machine.
            WeightsFormatError: The folder holds a pickle only.
        """
        chosen = choose_device(device)
        folder = model_folder(location, spec=spec)
        safetensors_of(folder, FILES[0])
        factory: Any = import_module("muq").MuQMuLan
        return cls(factory.from_pretrained(str(folder)), folder, spec=spec, device=chosen)

    @cached_property
    def digest(self) -> str:
        """sha256 over weights and configuration; the tokenizer is part of the package."""
        return digest_of({name: file_digest(self._folder / name) for name in FILES})

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the tokenizer's context length."""
        cleaned = clean_texts(texts)

        @torch.inference_mode()
        def encode(part: slice) -> torch.Tensor:
            rows: torch.Tensor = self._model(texts=cleaned[part])
            return rows

        return unit_rows(self._batcher.run(len(cleaned), self.dim, encode), f"{self.spec}: text")

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Refuse: it sees nothing."""
        raise ValueError(f"{self.spec} embeds no pictures")

    def encode_audio(
        self, windows: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Embed (n, window_samples) float32 mono windows; a short one's sound is repeated."""
        if not np.isfinite(windows).all():
            raise InvalidVectorError(f"{self.spec}: sound with NaN or infinite samples")
        real = np.rint(seconds * 24_000).astype(int).clip(1, windows.shape[1])

        @torch.inference_mode()
        def encode(part: slice) -> torch.Tensor:
            filled = [
                np.resize(row[:end], len(row))
                for row, end in zip(windows[part], real[part], strict=True)
            ]
            rows: torch.Tensor = self._model(
                wavs=torch.from_numpy(np.stack(filled)).to(self._device)
            )
            return rows

        return unit_rows(self._batcher.run(len(windows), self.dim, encode), f"{self.spec}: sound")
