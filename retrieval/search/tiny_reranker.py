"""A re-ranker of a few MB, as `retrieval train rerank` trains it on the demo world."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.encoders.batching import Batcher, choose_device
from retrieval.encoders.tokens import clean_texts
from retrieval.encoders.weights import fill, safetensors_of
from retrieval.errors import WeightsFormatError, WeightsNotAvailableError
from retrieval.search.cross_modal import CrossModal, CrossModalConfig, FirstStage, Read
from retrieval.types import ImageGeometry

IMAGE_MODEL = Path(__file__).parents[1] / "weights" / "tiny-image"
CONFIG, WEIGHTS = "config.json", "model.safetensors"


class TinyReranker:
    """Implements `retrieval.search.rerank.Reranker` with a `CrossModal` in a folder."""

    def __init__(
        self, model: CrossModal, first_stage: FirstStage, *, spec: str, device: torch.device
    ) -> None:
        self.spec = spec
        self._model = model.to(device).eval()
        self._first_stage = first_stage
        self._device = device
        self._batcher = Batcher(device, spec)

    @classmethod
    def load(cls, location: str, *, spec: str, device: str = "auto") -> TinyReranker:
        """Load a model that `retrieval train rerank` wrote into a folder.

        Raises:
            WeightsNotAvailableError: The folder lacks a file.
            WeightsFormatError: A file is damaged, or made for another bundled image model.
        """
        folder = Path(location).expanduser()
        if not (folder / CONFIG).is_file():
            raise WeightsNotAvailableError(
                f"{spec}: {folder / CONFIG} is missing; `retrieval train rerank` writes it"
            )
        weights = safetensors_of(folder, WEIGHTS)
        config = read_config(folder / CONFIG)
        chosen = choose_device(device)
        first_stage = FirstStage(IMAGE_MODEL, chosen)
        if first_stage.digest != config.first_stage:
            raise WeightsFormatError(
                f"{spec}: trained on an image model of digest {config.first_stage[:8]}, but the "
                f"bundled one is {first_stage.digest[:8]}; run `retrieval train rerank` again"
            )
        model = CrossModal(config, first_stage)
        fill(model, weights, spec=spec)
        return cls(model, first_stage, spec=spec, device=chosen)

    @property
    def geometry(self) -> ImageGeometry:
        """Square pictures of the size that the image model reads."""
        side = self._first_stage.side
        return ImageGeometry(side, side, "bicubic", "shortest")

    def probabilities(self, text: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Judge pictures; see `Reranker.probabilities`."""
        stage = self._first_stage

        @torch.inference_mode()
        def judge(part: slice) -> torch.Tensor:
            seen = stage.see(torch.from_numpy(np.ascontiguousarray(pixels[part])))
            seen = self._model.survey(seen)
            count = len(seen.vectors)
            each = Read(*(part.expand(count, *part.shape[1:]).contiguous() for part in one))
            logits: torch.Tensor = self._model(each, seen, captions=1)
            return logits.sigmoid()

        with torch.inference_mode():
            read = self._model.understand(stage.read(stage.tokenizer(clean_texts([text]))))
        one = (read.words, read.real, read.vectors)
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
        return CrossModalConfig(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise WeightsFormatError(f"{path} is not a re-ranker's configuration: {error}") from error
