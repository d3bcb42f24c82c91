"""MuLan models (2208.12415) from a folder: music and texts in one 128-d space."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.encoders import configuration
from retrieval.encoders.batching import Batcher, choose_device
from retrieval.encoders.pooling import unit_rows
from retrieval.encoders.spaces import slug_of
from retrieval.encoders.tokens import clean_texts
from retrieval.encoders.towers import Mulan, MulanConfig
from retrieval.encoders.weights import digest_of, file_digest, fill, safetensors_of
from retrieval.errors import InvalidVectorError, WeightsNotAvailableError
from retrieval.types import AudioWindows, ImageGeometry, Medium

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
WINDOW_BATCH = 32


class MulanEncoder:
    """Implements retrieval.protocols.Encoder with a MuLan that this repository's trainer wrote."""

    media: tuple[Medium, ...] = (Medium.AUDIO,)
    geometry: ImageGeometry | None = None

    def __init__(
        self, model: Mulan, config: MulanConfig, tokenizer: Any, folder: Path, *, spec: str,
        device: torch.device,
    ) -> None:  # fmt: skip
        self.spec = spec
        self.slug = slug_of(spec.rstrip("/").rpartition("/")[2].removeprefix("mulan:"))
        self._model = model.to(device).eval()
        self._config = config
        self._tokenizer = tokenizer
        self._folder = folder
        self._device = device
        self._text_batches = Batcher(device, spec)
        self._audio_batches = Batcher(device, spec)
        self._audio_batches.size = WINDOW_BATCH

    @classmethod
    def load(cls, location: str | Path, *, spec: str = "", device: str = "auto") -> MulanEncoder:
        """Load config.json, tokenizer.json and model.safetensors from a folder.

        Raises:
            WeightsNotAvailableError: The folder or one of its files is missing.
            WeightsFormatError: The weights are a pickle, damaged, or of another architecture.
        """
        folder = Path(location)
        spec = spec or f"mulan:{folder}"
        model, config, tokenizer = read_model(folder, spec=spec)
        return cls(model, config, tokenizer, folder, spec=spec, device=choose_device(device))

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._config.dim

    @property
    def logit_scale(self) -> float:
        """The inverse temperature that the model was trained to; see `Tempered`."""
        return float(self._model.logit_scale.detach().exp())

    @property
    def windows(self) -> AudioWindows:
        """Windows of 10 s at 16 kHz, unless the configuration says otherwise."""
        seconds = self._config.window_seconds
        return AudioWindows(self._config.sample_rate_hz, seconds, seconds)

    @property
    def model(self) -> Mulan:
        """The two towers, for training."""
        return self._model

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """(n, longest) int64 token ids, padded with 0."""
        return tokenize(self._tokenizer, clean_texts(texts))

    def write_configuration(self, folder: Path) -> None:
        """Write everything but the weights of a folder that `mulan:FOLDER` loads."""
        for name in (CONFIG, TOKENIZER):
            if folder.resolve() != self._folder.resolve():
                shutil.copyfile(self._folder / name, folder / name)

    @cached_property
    def digest(self) -> str:
        """sha256 over configuration, tokenizer and weights."""
        return digest_of({n: file_digest(self._folder / n) for n in (CONFIG, TOKENIZER, WEIGHTS)})

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the context length."""
        tokens = self.tokenize(texts)

        @torch.inference_mode()
        def encode(part: slice) -> torch.Tensor:
            return self._model.text(tokens[part].to(self._device))  # type: ignore[no-any-return]

        return unit_rows(
            self._text_batches.run(len(tokens), self.dim, encode), f"{self.spec}: text"
        )

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Refuse: a MuLan sees nothing."""
        raise ValueError(f"{self.spec} embeds no pictures")

    def encode_audio(
        self, windows: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Embed (n, samples) float32 mono windows; `seconds` (n,) is real sound in each.

        The real part of a window is repeated until it fills the model's window.

        Raises:
            InvalidVectorError: A window is not finite.
            ValueError: Windows are longer than the model's.
        """
        longest = self._config.window_samples
        if windows.ndim != 2 or not 0 < windows.shape[1] <= longest:
            raise ValueError(
                f"{self.spec} reads windows of up to {longest} samples, got {windows.shape}"
            )
        if not np.isfinite(windows).all():
            raise InvalidVectorError(f"{self.spec}: sound with NaN or infinite samples")
        real = np.rint(seconds * self._config.sample_rate_hz).astype(int)
        real = real.clip(1, windows.shape[1])

        @torch.inference_mode()
        def encode(part: slice) -> torch.Tensor:
            sound = [
                np.resize(row[:n], longest)
                for row, n in zip(windows[part], real[part], strict=True)
            ]
            batch = torch.from_numpy(np.stack(sound)).to(self._device)
            return self._model.audio(batch)  # type: ignore[no-any-return]

        rows = self._audio_batches.run(len(windows), self.dim, encode)
        return unit_rows(rows, f"{self.spec}: sound")


def read_model(folder: Path, *, spec: str) -> tuple[Mulan, MulanConfig, Any]:
    """Model, configuration and tokenizer of a folder; errors as `MulanEncoder.load`."""
    for name in (CONFIG, TOKENIZER):
        if not (folder / name).is_file():
            raise WeightsNotAvailableError(
                f"{spec}: {folder / name} is missing; `retrieval train mulan --out DIR` writes it"
            )
    weights = safetensors_of(folder, WEIGHTS)
    config = read_config(folder / CONFIG)
    model = configuration.build(lambda: Mulan(config), [weights], spec=spec)
    fill(model, weights, spec=spec)
    return model, config, read_tokenizer(folder / TOKENIZER, config)


def read_config(path: Path) -> MulanConfig:
    """Parse config.json.

    Raises:
        WeightsFormatError: Unknown or missing keys, wrong types, or no JSON.
    """
    return configuration.read_config(MulanConfig, path, "is not a MuLan configuration")


def write_config(config: MulanConfig, path: Path) -> None:
    """Write config.json as `read_config` reads it."""
    raw = {name: value for name, value in asdict(config).items() if value is not None}
    path.write_text(json.dumps(raw, indent=2) + "\n")


def read_tokenizer(path: Path, config: MulanConfig) -> Any:
    """A fast tokenizer that pads to the longest text of a batch; errors as `configuration`'s."""
    return configuration.read_tokenizer(
        path, context_length=config.context_length, vocabulary=config.vocabulary
    )


def tokenize(tokenizer: Any, texts: Sequence[str]) -> torch.Tensor:
    """(n, longest) int64 token ids, padded with 0."""
    encoded = tokenizer.encode_batch(list(texts))
    return torch.tensor([one.ids for one in encoded], dtype=torch.int64).reshape(len(encoded), -1)
