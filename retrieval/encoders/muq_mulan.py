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
from retrieval.encoders.hub.cache import folders_of, model_folder
from retrieval.encoders.hub.repositories import MUQ_TOWERS, read_json
from retrieval.encoders.pooling import unit_rows
from retrieval.encoders.pretrained import load_tokenizer, quiet
from retrieval.encoders.tokens import SPECIMEN, clean_texts, tokenizer_digest
from retrieval.encoders.weights import digest_of, file_digest, list_mismatches, safetensors_of
from retrieval.errors import InvalidVectorError, RetrievalError, WeightsFormatError
from retrieval.types import AudioWindows, ImageGeometry, Medium

CONTEXT_LENGTH = 512
"""Tokens that the text tower, an XLM-RoBERTa, has positions for."""

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
        weights = safetensors_of(folder, FILES[0])
        model = _build(folder, spec)
        _fill(model, weights, spec)
        return cls(model, folder, spec=spec, device=chosen)

    @cached_property
    def digest(self) -> str:
        """sha256 over weights, configuration and what the tokenizer does."""
        tokenizer = self._model.mulan.text.tokenizer
        ids = tokenizer(SPECIMEN)["input_ids"]
        return digest_of(
            {name: file_digest(self._folder / name) for name in FILES}
            | {"tokenizer": tokenizer_digest(tokenizer.func.get_vocab(), ids)}
        )

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; longer ones are cut at the tokenizer's context length."""
        cleaned = clean_texts(texts)

        @torch.inference_mode()
        def encode(part: slice) -> torch.Tensor:
            # One by one: the model's mean over tokens includes padding, so that in a batch a text
            # has another vector beside a longer one.
            return torch.cat([self._model(texts=[text]) for text in cleaned[part]])

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


def _build(folder: Path, spec: str) -> Any:
    """Build the model, its towers from the folders of their repositories.

    Raises:
        WeightsNotAvailableError: A tower's repository is not on this machine.
        WeightsFormatError: The configurations describe no MuQ-MuLan.
    """
    config = read_json(folder / "config.json") or {}
    folders = {source.repo: path for source, path in folders_of(spec).items()}
    try:
        for tower in MUQ_TOWERS:
            name = config[tower]["name"]
            config[tower]["name"] = str(folders.get(name, name))
        text_folder = Path(config["text_model"]["name"])
        factory: Any = import_module("muq").MuQMuLan
        with quiet():
            model = factory(config)
        record_hidden_states(model.mulan.audio.model.model.conformer)
        tokenizer = load_tokenizer(text_folder, spec=spec)
        # The package's own loading of the tokenizer would allow code from its folder, and its texts
        # have no limit, although the tower's positions do.
        model.mulan.text._tokenizer = partial(tokenizer, truncation=True, max_length=CONTEXT_LENGTH)
    except RetrievalError:
        raise
    except Exception as error:  # a foreign configuration fails in any way
        raise WeightsFormatError(
            f"{spec}: {folder} does not load as a MuQ-MuLan: {list_mismatches(error)}"
        ) from error
    return model


def record_hidden_states(conformer: Any) -> None:
    """Make transformers' Conformer answer as the package expects.

    Since transformers 5 a model as a whole records the hidden states of its layers; the package
    takes the encoder alone, and asks it for them. It also gives it a configuration that does not
    say how attention is computed.

    Args:
        conformer: A `Wav2Vec2ConformerEncoder`. Its output then holds the input of every layer,
            and the last state, as `hidden_states`.
    """
    states: list[torch.Tensor] = []

    def begin(module: Any, given: Any) -> None:
        states.clear()

    def note(module: Any, given: Any) -> None:
        states.append(given[0])

    def answer(module: Any, given: Any, output: Any) -> Any:
        output["hidden_states"] = (*states, output["last_hidden_state"])
        states.clear()
        return output

    conformer.config._attn_implementation = "eager"
    conformer.register_forward_pre_hook(begin)
    conformer.register_forward_hook(answer)
    for layer in conformer.layers:
        layer.register_forward_pre_hook(note)


def _fill(model: Any, weights: Path, spec: str) -> None:
    """Load the weights; every parameter must be in the file, in its shape."""
    try:
        missing, _ = load_safetensors(model, weights, strict=False)
    except (RuntimeError, ValueError) as error:
        raise WeightsFormatError(
            f"{spec}: {weights} does not fit its config.json: {list_mismatches(error)}"
        ) from error
    lacking = sorted(set(missing) & {name for name, _ in model.named_parameters()})
    if lacking:
        raise WeightsFormatError(
            f"{spec}: {weights} lacks {len(lacking)} tensors: {', '.join(lacking[:6])}"
        )
