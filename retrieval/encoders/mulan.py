"""MuLan models (2208.12415) from a folder: music and texts in one space."""

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
from retrieval.encoders.inputs import NoImages, trim_padding
from retrieval.encoders.mulan_sizes import MulanConfig
from retrieval.encoders.spaces import make_slug
from retrieval.encoders.tokens import clean_texts
from retrieval.encoders.towers import Mulan
from retrieval.encoders.weights import MODEL_WEIGHTS as WEIGHTS
from retrieval.encoders.weights import file_digest, find_safetensors, json_digest, load_weights
from retrieval.errors import WeightsNotAvailableError
from retrieval.files.writing import write_text
from retrieval.types import AudioWindows, ImageGeometry, Medium

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
WINDOW_BATCH = 32

__all__ = ["WEIGHTS", "MulanEncoder", "read_config", "read_model", "read_tokenizer", "tokenize",
           "write_config"]  # fmt: skip


class MulanEncoder(NoImages):
    """An Encoder with a MuLan that `retrieval.training` wrote."""

    media: tuple[Medium, ...] = (Medium.AUDIO,)
    geometry: ImageGeometry | None = None

    def __init__(
        self,
        model: Mulan,
        config: MulanConfig,
        tokenizer: Any,
        folder: Path,
        *,
        spec: str,
        device: torch.device,
    ) -> None:
        self.spec = spec
        self.slug = make_slug(spec.rstrip("/").rpartition("/")[2].removeprefix("mulan:"))
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
        """Inverse temperature of training; see `Tempered`."""
        return float(self._model.logit_scale.detach().exp())

    @property
    def windows(self) -> AudioWindows:
        """Windows of the configured length, without overlap."""
        seconds = self._config.window_seconds
        return AudioWindows(self._config.sample_rate_hz, seconds, seconds)

    @property
    def model(self) -> Mulan:
        """The two towers, for training."""
        return self._model

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """Tokenize texts as (n, longest) int64 ids, padded with 0."""
        return tokenize(self._tokenizer, clean_texts(texts))

    def write_configuration(self, folder: Path) -> None:
        """Copy all files but the weights, such that `mulan:FOLDER` loads the folder."""
        for name in (CONFIG, TOKENIZER):
            if folder.resolve() != self._folder.resolve():
                shutil.copyfile(self._folder / name, folder / name)

    @cached_property
    def digest(self) -> str:
        """sha256 of configuration, tokenizer and weights."""
        return json_digest({n: file_digest(self._folder / n) for n in (CONFIG, TOKENIZER, WEIGHTS)})

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the context length."""
        tokens = self.tokenize(texts)

        def encode(part: slice) -> torch.Tensor:
            return self._model.text(tokens[part].to(self._device))  # type: ignore[no-any-return]

        return self._text_batches.embed(len(tokens), self.dim, encode, "text")

    def encode_audio(
        self, windows: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Embed (n, samples) float32 mono windows with `seconds` (n,) of audio in each.

        The audio of a window is repeated until it fills the model's window.

        Raises:
            InvalidVectorError: A window is not finite.
            ValueError: Windows are longer than the model's.
        """
        audio = trim_padding(windows, seconds, self.windows, self.spec)

        def encode(part: slice) -> torch.Tensor:
            repeated = [np.resize(row, self._config.window_samples) for row in audio[part]]
            batch = torch.from_numpy(np.stack(repeated)).to(self._device)
            return self._model.audio(batch)  # type: ignore[no-any-return]

        return self._audio_batches.embed(len(windows), self.dim, encode, "audio")


def read_model(folder: Path, *, spec: str) -> tuple[Mulan, MulanConfig, Any]:
    """Load model, configuration and tokenizer of a folder; errors as `MulanEncoder.load`."""
    for name in (CONFIG, TOKENIZER):
        if not (folder / name).is_file():
            raise WeightsNotAvailableError(
                f"{spec}: {folder / name} is missing; expected the folder of a trained MuLan"
            )
    weights = find_safetensors(folder, WEIGHTS)
    config = read_config(folder / CONFIG)
    model = configuration.build_model(lambda: Mulan(config), [weights], spec=spec)
    load_weights(model, weights, spec=spec)
    return model, config, read_tokenizer(folder / TOKENIZER, config)


def read_config(path: Path) -> MulanConfig:
    """Parse config.json; errors as `configuration.read_config`."""
    return configuration.read_config(MulanConfig, path, "a MuLan configuration")


def write_config(config: MulanConfig, path: Path) -> None:
    """Write config.json, readable by `read_config`.

    Raises:
        StorageError: The file cannot be written.
    """
    raw = {name: value for name, value in asdict(config).items() if value is not None}
    write_text(path, json.dumps(raw, indent=2) + "\n")


def read_tokenizer(path: Path, config: MulanConfig) -> Any:
    """Load tokenizer.json; errors as `configuration.read_tokenizer`."""
    return configuration.read_tokenizer(
        path, context_length=config.context_length, vocabulary=config.vocabulary
    )


def tokenize(tokenizer: Any, texts: Sequence[str]) -> torch.Tensor:
    """Tokenize texts as (n, longest) int64 ids, padded with 0."""
    encodings = tokenizer.encode_batch(list(texts))
    ids = [encoding.ids for encoding in encodings]
    return torch.tensor(ids, dtype=torch.int64).reshape(len(ids), -1)
