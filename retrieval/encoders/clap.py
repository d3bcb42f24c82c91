"""CLAP models (2211.06687) by transformers: sound and texts in one space."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import ClapFeatureExtractor, ClapModel

from retrieval.encoders.batching import Batcher, choose_device
from retrieval.encoders.pooling import unit_rows
from retrieval.encoders.pretrained import (
    Tokens,
    autocast,
    checked_folder,
    folder_digest,
    load_model,
    load_part,
    load_tokenizer,
    tensor_of,
)
from retrieval.encoders.spaces import slug_of
from retrieval.encoders.tokens import clean_texts
from retrieval.errors import InvalidVectorError
from retrieval.types import AudioWindows, ImageGeometry, Medium

WINDOW_BATCH = 16
"""Windows at once on any device: each is 10 s of sound and a log-mel picture."""


class ClapEncoder:
    """Implements retrieval.protocols.Encoder with a CLAP of transformers.

    Windows are never longer than the model's 10 s: beyond them its feature extractor would embed a
    random crop, another vector each time. Shorter ones are repeated as in its training.
    """

    media: tuple[Medium, ...] = (Medium.AUDIO,)
    geometry: ImageGeometry | None = None

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        extractor: Any,
        folder: Path,
        *,
        spec: str,
        device: torch.device,
    ) -> None:
        self.spec = spec
        self.slug = slug_of(spec.rstrip("/").rpartition("/")[2].removeprefix("clap:"))
        self._model = model.to(device).eval()
        text = model.config.text_config
        # Roberta's positions start behind the padding's.
        context = text.max_position_embeddings - text.pad_token_id - 1
        self._tokens = Tokens(tokenizer, context, device)
        self._extractor = extractor
        self._folder = folder
        self._device = device
        self._text_batches = Batcher(device, spec)
        self._audio_batches = Batcher(device, spec)
        self._audio_batches.size = WINDOW_BATCH

    @classmethod
    def load(cls, location: str, *, spec: str, device: str = "auto") -> ClapEncoder:
        """Load a model from a folder or from the hub's cache.

        Args:
            location: A folder as `save_pretrained` writes it, or a name on the hub.
            spec: The specification it came from.
            device: `auto`, `cpu` or `cuda`.

        Raises:
            WeightsNotAvailableError: It is not on this machine.
            WeightsFormatError: Its weights are a pickle, damaged, or of another architecture.
        """
        chosen = choose_device(device)
        folder = checked_folder(location, spec=spec)
        tokenizer = load_tokenizer(folder, spec=spec)
        extractor = load_part(
            ClapFeatureExtractor, folder, spec=spec, what="preprocessor_config.json"
        )
        model = load_model(ClapModel, folder, spec=spec)
        return cls(model, tokenizer, extractor, folder, spec=spec, device=chosen)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._model.config.projection_dim)

    @property
    def logit_scale(self) -> float:
        """The inverse temperature of its sound side; see `Tempered`."""
        return float(self._model.logit_scale_a.detach().exp())

    @property
    def windows(self) -> AudioWindows:
        """The sample rate and window that the feature extractor was made for."""
        seconds = float(self._extractor.max_length_s)
        return AudioWindows(int(self._extractor.sampling_rate), seconds, seconds)

    @cached_property
    def digest(self) -> str:
        """sha256 over weights, configuration, preprocessing and tokenizer."""
        return folder_digest(self._folder, self._tokens.tokenizer, self._tokens.specimen_ids())

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the tokenizer's context length."""
        cleaned = clean_texts(texts)

        @torch.inference_mode()
        def encode(part: slice) -> torch.Tensor:
            with autocast(self._device):
                output = self._model.get_text_features(**self._tokens(cleaned[part]))
            return tensor_of(output)

        rows = self._text_batches.run(len(cleaned), self.dim, encode)
        return unit_rows(rows, f"{self.spec}: text")

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Refuse: a CLAP sees nothing."""
        raise ValueError(f"{self.spec} embeds no pictures")

    def encode_audio(
        self, windows: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Embed (n, window_samples) float32 mono windows; `seconds` (n,) is real sound in each.

        Raises:
            InvalidVectorError: A window, or the model's answer to it, is not finite.
            ValueError: Windows are longer than the model hears.
        """
        longest = self.windows.window_samples
        if windows.ndim != 2 or not 0 < windows.shape[1] <= longest:
            raise ValueError(
                f"{self.spec} reads windows of up to {longest} samples, got {windows.shape}"
            )
        if not np.isfinite(windows).all():
            raise InvalidVectorError(f"{self.spec}: sound with NaN or infinite samples")
        real = np.rint(seconds * self.windows.sample_rate_hz).astype(int)
        real = real.clip(1, windows.shape[1])

        @torch.inference_mode()
        def encode(part: slice) -> torch.Tensor:
            sound = [row[:end] for row, end in zip(windows[part], real[part], strict=True)]
            features = self._extractor(
                sound, sampling_rate=self.windows.sample_rate_hz, return_tensors="pt"
            )["input_features"]
            # The extractor marks a random window as long where none is; none is, ever.
            none_longer = torch.zeros((len(sound), 1), dtype=torch.bool, device=self._device)
            with autocast(self._device):
                output = self._model.get_audio_features(
                    input_features=features.to(self._device), is_longer=none_longer
                )
            return tensor_of(output)

        rows = self._audio_batches.run(len(windows), self.dim, encode)
        return unit_rows(rows, f"{self.spec}: sound")
