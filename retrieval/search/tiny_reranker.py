"""The re-ranker that comes with the package: a few MB, trained on the demo world."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.encoders.batching import Batcher, choose_device
from retrieval.encoders.tokens import clean_texts
from retrieval.encoders.weights import list_mismatches, safetensors_of
from retrieval.errors import WeightsFormatError, WeightsNotAvailableError
from retrieval.search.cross_modal import CrossModal, CrossModalConfig
from retrieval.types import ImageGeometry

BUNDLED = Path(__file__).parents[1] / "weights" / "tiny-rerank"
CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", "model.safetensors"


class TinyReranker:
    """Implements `retrieval.search.rerank.Reranker` with a `CrossModal` in a folder."""

    def __init__(
        self, model: CrossModal, tokenizer: Any, *, spec: str, device: torch.device
    ) -> None:
        self.spec = spec
        self._model = model.to(device).eval()
        self._tokenizer = tokenizer
        self._device = device
        self._batcher = Batcher(device, spec)

    @classmethod
    def load(cls, location: str, *, spec: str, device: str = "auto") -> TinyReranker:
        """Load the bundled model, or one that `retrieval train rerank` wrote into a folder.

        Raises:
            WeightsNotAvailableError: The folder lacks a file.
            WeightsFormatError: A file is damaged or does not fit the others.
        """
        folder = Path(location).expanduser() if location else BUNDLED
        for name in (CONFIG, TOKENIZER):
            if not (folder / name).is_file():
                raise WeightsNotAvailableError(
                    f"{spec}: {folder / name} is missing; `retrieval train rerank --out DIR` "
                    "writes it"
                )
        weights = safetensors_of(folder, WEIGHTS)
        config = read_config(folder / CONFIG)
        model = CrossModal(config)
        _fill(model, weights, spec)
        tokenizer = read_tokenizer(folder / TOKENIZER, config.context_length)
        return cls(model, tokenizer, spec=spec, device=choose_device(device))

    @property
    def geometry(self) -> ImageGeometry:
        """Square pictures of the size it was trained on."""
        side = self._model.config.side
        return ImageGeometry(side, side, "bicubic", "shortest")

    def probabilities(self, text: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Judge pictures; see `Reranker.probabilities`."""
        tokens = tokenize(self._tokenizer, clean_texts([text])).to(self._device)

        @torch.inference_mode()
        def judge(part: slice) -> torch.Tensor:
            model = self._model
            batch = torch.from_numpy(np.ascontiguousarray(pixels[part])).to(self._device)
            places = model.pictures(model.prepare(batch))
            words = model.read(tokens).expand(len(batch), 1, -1, -1)
            seen = model.look(words, tokens.expand(len(batch), 1, -1), places)
            return model.logits(seen).sigmoid()

        return self._batcher.run(len(pixels), 1, judge)[:, 0]


def write_config(config: CrossModalConfig, path: Path) -> None:
    """Write config.json."""
    path.write_text(json.dumps(asdict(config), indent=2) + "\n")


def read_config(path: Path) -> CrossModalConfig:
    """Parse config.json.

    Raises:
        WeightsFormatError: Unknown keys, impossible sizes, or no JSON.
    """
    try:
        raw = json.loads(path.read_text())
        return CrossModalConfig(**{**raw, "blocks": tuple(raw["blocks"])})
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsFormatError(f"{path} is not a re-ranker's configuration: {error}") from error


def read_tokenizer(path: Path, context_length: int) -> Any:
    """A fast tokenizer that pads to the longest text of a batch."""
    from tokenizers import Tokenizer

    tokenizer: Any = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(context_length)
    tokenizer.enable_padding()
    return tokenizer


def tokenize(tokenizer: Any, texts: list[str]) -> torch.Tensor:
    """(n, longest) int64 token ids, padded with 0."""
    return torch.tensor([one.ids for one in tokenizer.encode_batch(texts)], dtype=torch.int64)


def _fill(model: CrossModal, weights: Path, spec: str) -> None:
    from safetensors.torch import load_file

    try:
        model.load_state_dict(load_file(weights))
    except RuntimeError as error:
        raise WeightsFormatError(
            f"{spec}: {weights} does not fit its config.json: {list_mismatches(error)}"
        ) from error
