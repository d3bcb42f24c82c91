"""A re-ranker of less than 1 MB, trained on the demo world or loaded from a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.encoders.batching import Batcher, choose_device
from retrieval.encoders.tokens import clean_texts
from retrieval.encoders.weights import find_safetensors, load_weights
from retrieval.errors import WeightsFormatError, WeightsNotAvailableError
from retrieval.files.documents import parse_json
from retrieval.files.reading import read_regular
from retrieval.files.writing import write_text
from retrieval.search.reranking.cross_modal import PAD, CrossModal, CrossModalConfig
from retrieval.types import ImageGeometry

CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", "model.safetensors"
BUNDLED = Path(__file__).parents[2] / "weights" / "tiny-rerank"


class TinyReranker:
    """Implements `Reranker` with a `CrossModal` model from a folder."""

    def __init__(
        self,
        model: CrossModal,
        config: CrossModalConfig,
        tokenizer: Any,
        *,
        spec: str,
        device: torch.device,
    ) -> None:
        self.spec = spec
        self._model = model.to(device).eval()
        self._side = config.side
        self._tokenizer = tokenizer
        self._device = device
        self._batcher = Batcher(device, spec)

    @classmethod
    def load(cls, location: str, *, spec: str, device: str = "auto") -> TinyReranker:
        """Load a trained model from a folder; "" loads the bundled one.

        Raises:
            WeightsNotAvailableError: A file is missing.
            WeightsFormatError: A file is damaged or belongs to another model.
        """
        folder = Path(location).expanduser() if location else BUNDLED
        for name in (CONFIG, TOKENIZER):
            if not (folder / name).is_file():
                raise WeightsNotAvailableError(
                    f"{spec}: {folder / name} is missing; train a re-ranker into this folder"
                )
        weights = find_safetensors(folder, WEIGHTS)
        config = read_config(folder / CONFIG)
        tokenizer = read_tokenizer(folder / TOKENIZER, config)
        model = CrossModal(config)
        load_weights(model, weights, spec=spec)
        return cls(model, config, tokenizer, spec=spec, device=choose_device(device))

    @property
    def geometry(self) -> ImageGeometry:
        """Square pictures of the detector's input size."""
        return ImageGeometry(self._side, self._side, "bicubic", "shortest")

    def probabilities(self, text: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute probabilities of a match; see `Reranker.probabilities`."""
        tokens = tokenize(self._tokenizer, clean_texts([text])).to(self._device)

        @torch.inference_mode()
        def predict(part: slice) -> torch.Tensor:
            pictures = torch.from_numpy(np.ascontiguousarray(pixels[part])).to(self._device)
            regions = self._model.relate(self._model.see(pictures))
            words = self._model.read(tokens).expand(len(pictures), -1, -1)
            logits: torch.Tensor = self._model(words, tokens != PAD, regions)
            return logits.sigmoid()[:, None]

        return self._batcher.run(len(pixels), 1, predict)[:, 0]


def write_config(config: CrossModalConfig, path: Path) -> None:
    """Write config.json."""
    write_text(path, json.dumps(asdict(config), indent=2) + "\n")


def read_config(path: Path) -> CrossModalConfig:
    """Parse config.json.

    Raises:
        WeightsFormatError: The file is not JSON, or a key or size is invalid.
    """
    try:
        return parse_json(CrossModalConfig, read_regular(path))
    except ValueError as error:
        raise WeightsFormatError(f"{path} is not a re-ranker's configuration: {error}") from error


def read_tokenizer(path: Path, config: CrossModalConfig) -> Any:
    """Read a tokenizer that truncates to the context and pads to the longest text.

    Raises:
        WeightsFormatError: The file is not a tokenizer, or has more tokens than the model.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer: Any = Tokenizer.from_file(str(path))
    except Exception as error:  # The library raises no specific type.
        raise WeightsFormatError(f"{path} is not a tokenizer: {error}") from error
    if tokenizer.get_vocab_size() > config.vocabulary:
        raise WeightsFormatError(
            f"{path} has {tokenizer.get_vocab_size()} tokens, the model {config.vocabulary}; "
            "use both from one folder"
        )
    tokenizer.enable_truncation(config.context)
    tokenizer.enable_padding(pad_id=PAD, pad_token="<pad>")
    return tokenizer


def tokenize(tokenizer: Any, texts: Sequence[str]) -> torch.Tensor:
    """Convert texts to (n, longest) int64 token ids, padded with PAD."""
    return torch.tensor([encoding.ids for encoding in tokenizer.encode_batch(list(texts))])
