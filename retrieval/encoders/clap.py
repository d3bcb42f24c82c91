"""CLAP models (2211.06687) by transformers: audio and texts in one space."""

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
from retrieval.encoders.inputs import NoImages, trim_padding
from retrieval.encoders.pretrained import (
    TextTokenizer,
    autocast,
    find_checked_folder,
    folder_digest,
    load_component,
    load_model,
    load_tokenizer,
    pooled_output,
)
from retrieval.encoders.spaces import make_slug
from retrieval.encoders.tokens import clean_texts
from retrieval.types import AudioWindows, ImageGeometry, Medium

WINDOW_BATCH = 16
"""Windows per batch on any device: each is 10 s of audio and a log-mel spectrogram."""


class ClapEncoder(NoImages):
    """An Encoder with a CLAP of transformers.

    Windows are at most the model's 10 s: its feature extractor crops longer ones at random, so
    that their vectors differ from call to call. Shorter ones are repeated, as in its training.
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
        self.slug = make_slug(spec.rstrip("/").rpartition("/")[2].removeprefix("clap:"))
        self._model = model.to(device).eval()
        text = model.config.text_config
        # Roberta's positions start after that of the padding.
        context = text.max_position_embeddings - text.pad_token_id - 1
        self._tokenizer = TextTokenizer(tokenizer, context, device)
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
            location: A folder as `save_pretrained` writes it, or a repository of the hub.
            spec: Specification of the model.
            device: `auto`, `cpu` or `cuda`.

        Raises:
            WeightsNotAvailableError: The model is not on this machine.
            WeightsFormatError: Its weights are a pickle, damaged, or of another architecture.
        """
        torch_device = choose_device(device)
        folder = find_checked_folder(location, spec=spec)
        tokenizer = load_tokenizer(folder, spec=spec)
        extractor = load_component(
            ClapFeatureExtractor, folder, spec=spec, name="preprocessor_config.json"
        )
        model = load_model(ClapModel, folder, spec=spec)
        return cls(model, tokenizer, extractor, folder, spec=spec, device=torch_device)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._model.config.projection_dim)

    @property
    def logit_scale(self) -> float:
        """Inverse temperature of the audio side; see `Tempered`."""
        return float(self._model.logit_scale_a.detach().exp())

    @property
    def windows(self) -> AudioWindows:
        """Sample rate and window of the feature extractor."""
        seconds = float(self._extractor.max_length_s)
        return AudioWindows(int(self._extractor.sampling_rate), seconds, seconds)

    @cached_property
    def digest(self) -> str:
        """sha256 of weights, configuration, preprocessing and tokenizer."""
        return folder_digest(self._folder, self._tokenizer)

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the tokenizer's context length."""
        cleaned = clean_texts(texts)

        def encode(part: slice) -> torch.Tensor:
            with autocast(self._device):
                output = self._model.get_text_features(**self._tokenizer(cleaned[part]))
            return pooled_output(output)

        return self._text_batches.embed(len(cleaned), self.dim, encode, "text")

    def encode_audio(
        self, windows: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Embed (n, window_samples) float32 mono windows with `seconds` (n,) of audio in each.

        Raises:
            InvalidVectorError: A window, or the model's output for it, is not finite.
            ValueError: Windows are longer than the model's.
        """
        audio = trim_padding(windows, seconds, self.windows, self.spec)

        def encode(part: slice) -> torch.Tensor:
            features = self._extractor(
                audio[part], sampling_rate=self.windows.sample_rate_hz, return_tensors="pt"
            )["input_features"]
            # The extractor marks one window at random as longer if none is.
            is_longer = torch.zeros((len(features), 1), dtype=torch.bool, device=self._device)
            with autocast(self._device):
                output = self._model.get_audio_features(
                    input_features=features.to(self._device), is_longer=is_longer
                )
            return pooled_output(output)

        return self._audio_batches.embed(len(windows), self.dim, encode, "audio")
