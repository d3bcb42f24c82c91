"""MuQ-MuLan (2501.01108) by the optional package `muq`; its weights are CC-BY-NC-4.0."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_model as load_safetensors

from retrieval.encoders.batching import Batcher, choose_device
from retrieval.encoders.hub.cache import find_folders, model_folder
from retrieval.encoders.hub.repositories import MUQ_TOWERS, read_json_object
from retrieval.encoders.inputs import NoImages, trim_padding
from retrieval.encoders.pretrained import load_tokenizer, quiet_transformers
from retrieval.encoders.tokens import SPECIMEN, clean_texts, tokenizer_digest
from retrieval.encoders.weights import (
    MODEL_WEIGHTS,
    file_digest,
    find_safetensors,
    json_digest,
    summarize_error,
)
from retrieval.errors import RetrievalError, WeightsFormatError
from retrieval.types import AudioWindows, ImageGeometry, Medium

CONTEXT_LENGTH = 512
"""Positions of the text tower, an XLM-RoBERTa."""

CONFIG = "config.json"


class MuqMulanEncoder(NoImages):
    """An Encoder that computes in float32, as the model card recommends."""

    slug = "muq-mulan"
    dim = 512
    media: tuple[Medium, ...] = (Medium.AUDIO,)
    geometry: ImageGeometry | None = None
    windows = AudioWindows(24_000, 10.0, 10.0)

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
            WeightsNotAvailableError: The model is not on this machine.
            WeightsFormatError: The weights are a pickle, damaged, or of another architecture.
        """
        torch_device = choose_device(device)
        folder = model_folder(location, spec=spec)
        weights = find_safetensors(folder, MODEL_WEIGHTS)
        model = _build_model(folder, spec)
        _load_weights(model, weights, spec)
        return cls(model, folder, spec=spec, device=torch_device)

    @cached_property
    def digest(self) -> str:
        """sha256 of weights, configuration, and the behaviour of the tokenizer."""
        tokenizer = self._model.mulan.text.tokenizer
        ids = tokenizer(SPECIMEN)["input_ids"]
        return json_digest(
            {name: file_digest(self._folder / name) for name in (MODEL_WEIGHTS, CONFIG)}
            | {"tokenizer": tokenizer_digest(tokenizer.func.get_vocab(), ids)}
        )

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the tokenizer's context length."""
        cleaned = clean_texts(texts)

        def encode(part: slice) -> torch.Tensor:
            # One text at a time: the model averages over padding tokens too, so that a text's
            # vector depends on the longest text of its batch.
            return torch.cat([self._model(texts=[text]) for text in cleaned[part]])

        return self._batcher.embed(len(cleaned), self.dim, encode, "text")

    def encode_audio(
        self, windows: NDArray[np.float32], seconds: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Embed (n, window_samples) float32 mono windows; shorter audio is repeated."""
        audio = trim_padding(windows, seconds, self.windows, self.spec)

        def encode(part: slice) -> torch.Tensor:
            repeated = [np.resize(row, windows.shape[1]) for row in audio[part]]
            rows: torch.Tensor = self._model(
                wavs=torch.from_numpy(np.stack(repeated)).to(self._device)
            )
            return rows

        return self._batcher.embed(len(windows), self.dim, encode, "audio")


def _build_model(folder: Path, spec: str) -> Any:
    """Build the model and its towers from the folders of their repositories.

    Raises:
        WeightsNotAvailableError: A tower's repository is not on this machine.
        WeightsFormatError: The configurations do not describe a MuQ-MuLan.
    """
    config = read_json_object(folder / CONFIG) or {}
    folders = {source.repo: path for source, path in find_folders(spec).items()}
    try:
        for tower in MUQ_TOWERS:
            name = config[tower]["name"]
            config[tower]["name"] = str(folders.get(name, name))
        text_folder = Path(config["text_model"]["name"])
        factory: Any = import_module("muq").MuQMuLan
        with quiet_transformers():
            model = factory(config)
        record_hidden_states(model.mulan.audio.model.model.conformer)
        tokenizer = load_tokenizer(text_folder, spec=spec)
        # The package's own tokenizer would allow code from its folder and does not truncate.
        model.mulan.text._tokenizer = partial(tokenizer, truncation=True, max_length=CONTEXT_LENGTH)
    except RetrievalError:
        raise
    except Exception as error:  # an untrusted configuration fails in any way
        raise WeightsFormatError(
            f"{spec}: {folder} does not load as a MuQ-MuLan: {summarize_error(error)}"
        ) from error
    return model


def record_hidden_states(conformer: Any) -> None:
    """Patch a Conformer of transformers 5 such that its output is what the package expects.

    Since transformers 5 only whole models record hidden states, but the package calls the encoder
    alone. The package also leaves the attention implementation unset.

    Args:
        conformer: A `Wav2Vec2ConformerEncoder`. Its output gets `hidden_states`: the input of each
            layer and the last state.
    """
    states: list[torch.Tensor] = []

    def clear(module: Any, arguments: Any) -> None:
        states.clear()

    def record(module: Any, arguments: Any) -> None:
        states.append(arguments[0])

    def add_states(module: Any, arguments: Any, output: Any) -> Any:
        output["hidden_states"] = (*states, output["last_hidden_state"])
        states.clear()
        return output

    conformer.config._attn_implementation = "eager"
    conformer.register_forward_pre_hook(clear)
    conformer.register_forward_hook(add_states)
    for layer in conformer.layers:
        layer.register_forward_pre_hook(record)


def _load_weights(model: Any, weights: Path, spec: str) -> None:
    """Load the weights; the file must have all parameters in their shapes."""
    try:
        missing, _ = load_safetensors(model, weights, strict=False)
    except (RuntimeError, ValueError) as error:
        raise WeightsFormatError(
            f"{spec}: {weights} does not fit its config.json: {summarize_error(error)}"
        ) from error
    absent = sorted(set(missing) & {name for name, _ in model.named_parameters()})
    if absent:
        raise WeightsFormatError(
            f"{spec}: {weights} lacks {len(absent)} tensors: {', '.join(absent[:6])}"
        )
