"""Base class of X-CLIP and PE-AV: transformers models that read the frames of a clip together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.encoders.batching import Batcher
from retrieval.encoders.inputs import NoAudio, NoImages, check_pixels
from retrieval.encoders.preprocessing import Preprocessing
from retrieval.encoders.pretrained import TextTokenizer, autocast, folder_digest
from retrieval.encoders.spaces import make_slug
from retrieval.encoders.tokens import clean_texts
from retrieval.types import AudioWindows, ClipFrames, ImageGeometry, Medium

CLIP_BATCH = 4
"""Clips per batch on a CPU: each has 8 to 32 frames."""


@dataclass(frozen=True, slots=True)
class VideoClipModel:
    """A loaded model with everything that prepares its inputs.

    Attributes:
        model: The torch module.
        folder: Folder that it was loaded from.
        tokenizer: Its tokenizer.
        preprocessing: Its image preprocessing.
        clip_frames: How it reads clips.
        dim: Length of a vector.
    """

    model: Any
    folder: Path
    tokenizer: TextTokenizer
    preprocessing: Preprocessing
    clip_frames: ClipFrames
    dim: int


class VideoClipEncoder(NoImages, NoAudio, ABC):
    """A ClipEncoder; subclasses load the model and call its towers."""

    media: tuple[Medium, ...] = (Medium.VIDEO,)
    windows: AudioWindows | None = None

    def __init__(self, loaded: VideoClipModel, *, spec: str, device: torch.device) -> None:
        self.spec = spec
        self.slug = make_slug(spec.rstrip("/").rpartition("/")[2].rpartition(":")[2])
        self.dim = loaded.dim
        self.clip_frames = loaded.clip_frames
        self._model = loaded.model.to(device).eval()
        self._folder = loaded.folder
        self._tokenizer = loaded.tokenizer
        self._preprocessing = loaded.preprocessing
        self._device = device
        self._text_batches = Batcher(device, spec)
        self._clip_batches = Batcher(device, spec)
        if device.type == "cpu":
            self._clip_batches.size = CLIP_BATCH
        else:
            self._clip_batches.size = max(1, self._clip_batches.size // self.clip_frames.frames)

    @abstractmethod
    def _embed_text(self, tokens: Any) -> torch.Tensor:
        """Embed ids and attention mask of n texts as (n, dim)."""

    @abstractmethod
    def _embed_clips(self, clips: torch.Tensor) -> torch.Tensor:
        """Embed (n, frames, 3, height, width) float32 as (n, dim)."""

    @property
    def geometry(self) -> ImageGeometry:
        """Size and cropping of the model's processor."""
        return self._preprocessing.geometry

    @cached_property
    def digest(self) -> str:
        """sha256 of weights, configuration, preprocessing and tokenizer."""
        return folder_digest(self._folder, self._tokenizer)

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the tokenizer's context length."""
        cleaned = clean_texts(texts)

        def encode(part: slice) -> torch.Tensor:
            with autocast(self._device):
                return self._embed_text(self._tokenizer(cleaned[part]))

        return self._text_batches.embed(len(cleaned), self.dim, encode, "text")

    def encode_clips(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed (n, frames, height, width, 3) uint8 RGB clips with their frames in order.

        Raises:
            InvalidVectorError: An output is not finite or has length zero.
            ValueError: The clips have another shape or type.
        """
        geometry = self.geometry
        shape = (self.clip_frames.frames, geometry.height, geometry.width, 3)
        check_pixels(clips, shape, self.spec)

        def encode(part: slice) -> torch.Tensor:
            with autocast(self._device):
                return self._embed_clips(self._preprocessing.prepare(clips[part], self._device))

        return self._clip_batches.embed(len(clips), self.dim, encode, "clip")
