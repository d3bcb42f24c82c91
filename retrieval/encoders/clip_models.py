"""What X-CLIP and PE-AV share: video models of transformers that read the frames of a clip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.encoders.batching import Batcher
from retrieval.encoders.pooling import unit_rows
from retrieval.encoders.preprocessing import Preprocessing
from retrieval.encoders.pretrained import Tokens, autocast, folder_digest
from retrieval.encoders.spaces import slug_of
from retrieval.encoders.tokens import clean_texts
from retrieval.types import AudioWindows, ClipFrames, ImageGeometry, Medium

CLIP_BATCH = 4
"""Clips at once on a CPU: each is 8 to 32 pictures."""


class ClipModelEncoder(ABC):
    """Implements retrieval.protocols.ClipEncoder; a subclass loads it and says how it embeds."""

    media: tuple[Medium, ...] = (Medium.VIDEO,)
    windows: AudioWindows | None = None

    def __init__(
        self,
        model: Any,
        folder: Path,
        tokens: Tokens,
        preprocessing: Preprocessing,
        clip_frames: ClipFrames,
        *,
        dim: int,
        spec: str,
        device: torch.device,
    ) -> None:
        self.spec = spec
        self.slug = slug_of(spec.rstrip("/").rpartition("/")[2].rpartition(":")[2])
        self.dim = dim
        self.clip_frames = clip_frames
        self._model = model.to(device).eval()
        self._folder = folder
        self._tokens = tokens
        self._preprocessing = preprocessing
        self._device = device
        self._text_batches = Batcher(device, spec)
        self._clip_batches = Batcher(device, spec)
        if device.type == "cpu":
            self._clip_batches.size = CLIP_BATCH
        else:
            self._clip_batches.size = max(1, self._clip_batches.size // clip_frames.frames)

    @abstractmethod
    def _embed_text(self, tokens: Any) -> torch.Tensor:
        """Ids and attention mask of n texts → (n, dim)."""

    @abstractmethod
    def _embed_clips(self, clips: torch.Tensor) -> torch.Tensor:
        """(n, frames, 3, height, width) float32 → (n, dim)."""

    @property
    def geometry(self) -> ImageGeometry:
        """The size and cropping that the model's own processor asks for."""
        return self._preprocessing.geometry

    @cached_property
    def digest(self) -> str:
        """sha256 over weights, configuration, preprocessing and tokenizer."""
        return folder_digest(self._folder, self._tokens.tokenizer, self._tokens.specimen_ids())

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the tokenizer's context length."""
        cleaned = clean_texts(texts)
        rows = self._text_batches.run(
            len(cleaned),
            self.dim,
            self._run(lambda part: self._tokens(cleaned[part]), self._embed_text),
        )
        return unit_rows(rows, f"{self.spec}: text")

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Refuse: one picture is no clip."""
        raise ValueError(f"{self.spec} embeds no single pictures")

    def encode_audio(
        self, windows: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Refuse: it reads pictures only."""
        raise ValueError(f"{self.spec} embeds no sound")

    def encode_clips(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed (n, frames, height, width, 3) uint8 RGB clips, each with its frames in order.

        Raises:
            InvalidVectorError: The model answered with NaN, infinity or nothing.
            ValueError: The clips have another shape or type.
        """
        geometry = self.geometry
        wanted = (self.clip_frames.frames, geometry.height, geometry.width, 3)
        if clips.shape[1:] != wanted or clips.dtype != np.uint8:
            raise ValueError(f"{self.spec} reads uint8 {wanted}, got {clips.dtype} {clips.shape}")

        def prepared(part: slice) -> torch.Tensor:
            return self._preprocessing.prepare(clips[part], self._device)

        rows = self._clip_batches.run(len(clips), self.dim, self._run(prepared, self._embed_clips))
        return unit_rows(rows, f"{self.spec}: clip")

    def _run(
        self, prepare: Callable[[slice], Any], embed: Callable[[Any], torch.Tensor]
    ) -> Callable[[slice], torch.Tensor]:
        @torch.inference_mode()
        def encode(part: slice) -> torch.Tensor:
            with autocast(self._device):
                return embed(prepare(part))

        return encode
