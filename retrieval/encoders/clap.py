"""CLAP models (2211.06687) by transformers: sound and texts in one space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel
from transformers.utils import logging as transformers_logging

from retrieval.encoders.batching import Batcher, choose_device, compute_dtype
from retrieval.encoders.hub import model_folder
from retrieval.encoders.pooling import unit_rows
from retrieval.encoders.spaces import slug_of
from retrieval.encoders.tokens import SPECIMEN, clean_texts, tokenizer_digest
from retrieval.encoders.weights import (
    MISMATCHES_SHOWN,
    digest_of,
    file_digest,
    list_mismatches,
    safetensors_of,
)
from retrieval.errors import InvalidVectorError, WeightsFormatError, WeightsNotAvailableError
from retrieval.types import AudioWindows, ImageGeometry, Medium

tell: Any = transformers_logging  # only half of it is typed

WEIGHTS = "model.safetensors"
CONFIGURATION = ("config.json", "preprocessor_config.json")
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
        self._tokenizer = tokenizer
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
        folder = model_folder(location, spec=spec)
        safetensors_of(folder, WEIGHTS)
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            extractor = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise WeightsNotAvailableError(
                f"{spec}: {folder} lacks a readable tokenizer or preprocessor_config.json; "
                "get the whole model again"
            ) from error
        model = _load_model(folder, spec)
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
        ids = self._tokens([SPECIMEN])["input_ids"][0].tolist()
        return digest_of(
            {name: file_digest(self._folder / name) for name in (WEIGHTS, *CONFIGURATION)}
            | {"tokenizer": tokenizer_digest(self._tokenizer.get_vocab(), ids)}
        )

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the tokenizer's context length."""
        cleaned = clean_texts(texts)

        @torch.inference_mode()
        def encode(part: slice) -> torch.Tensor:
            with self._autocast():
                output = self._model.get_text_features(**self._tokens(cleaned[part]))
            return _tensor(output)

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
            with self._autocast():
                output = self._model.get_audio_features(
                    input_features=features.to(self._device), is_longer=none_longer
                )
            return _tensor(output)

        rows = self._audio_batches.run(len(windows), self.dim, encode)
        return unit_rows(rows, f"{self.spec}: sound")

    def _tokens(self, texts: list[str]) -> Any:
        config = self._model.config.text_config
        # Roberta's positions start behind the padding's.
        context = config.max_position_embeddings - config.pad_token_id - 1
        return self._tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=min(context, self._tokenizer.model_max_length),
            return_tensors="pt",
        ).to(self._device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self._device.type,
            dtype=compute_dtype(self._device),
            enabled=self._device.type == "cuda",
        )


def _tensor(output: Any) -> torch.Tensor:
    """The vectors; transformers 5 wraps them in an object."""
    tensor: torch.Tensor = getattr(output, "pooler_output", output)
    return tensor


def _load_model(folder: Path, spec: str) -> Any:
    """Fill the architecture; every tensor must be in the file, in its shape."""
    factory: Any = ClapModel  # its types know nothing of the report
    try:
        with _quiet():
            model, report = factory.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # reported, and refused below
                output_loading_info=True,
            )
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise WeightsFormatError(
            f"{spec}: {folder} does not load as a CLAP model: {list_mismatches(error)}"
        ) from error
    faults = [f"{name} is missing" for name in sorted(report["missing_keys"])]
    faults += [
        f"{name} is {tuple(found)}, expected {tuple(wanted)}"
        for name, found, wanted in report["mismatched_keys"]
    ]
    if faults:
        raise WeightsFormatError(
            f"{spec}: {folder / WEIGHTS} does not fit config.json in {len(faults)} tensors: "
            f"{'; '.join(faults[:MISMATCHES_SHOWN])}"
        )
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bar and table of tensors off the user's screen."""
    shown, level = tell.is_progress_bar_enabled(), tell.get_verbosity()
    tell.disable_progress_bar()
    tell.set_verbosity_error()
    try:
        yield
    finally:
        tell.set_verbosity(level)
        if shown:
            tell.enable_progress_bar()
