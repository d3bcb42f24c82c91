"""BLIP's image-text matching (2201.12086) by transformers, as a re-ranker of real photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, BlipForImageTextRetrieval, BlipImageProcessor
from transformers.utils import logging as transformers_logging

from retrieval.encoders.batching import Batcher, choose_device, compute_dtype
from retrieval.encoders.hub import model_folder
from retrieval.encoders.tokens import clean_texts
from retrieval.encoders.weights import MISMATCHES_SHOWN, list_mismatches, safetensors_of
from retrieval.errors import WeightsFormatError, WeightsNotAvailableError
from retrieval.types import ImageGeometry

WEIGHTS = "model.safetensors"
PICTURES_AT_ONCE = 10
INTERPOLATIONS = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of the ways of resizing, as preprocessor_config.json gives them."""

MATCH = 1
"""Of the two outputs of the matching head, the one that says yes."""


class BlipReranker:
    """Implements `retrieval.search.rerank.Reranker` with the matching head of a BLIP."""

    def __init__(
        self, model: Any, tokenizer: Any, processor: Any, *, spec: str, device: torch.device
    ) -> None:
        self.spec = spec
        self._dtype = compute_dtype(device)
        self._model = model.to(device, self._dtype).eval()
        self._tokenizer = tokenizer
        self._processor = processor
        self._device = device
        self._batcher = Batcher(device, spec)
        self._batcher.size = min(self._batcher.size, PICTURES_AT_ONCE)

    @classmethod
    def load(cls, location: str, *, spec: str, device: str = "auto") -> BlipReranker:
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
            processor = BlipImageProcessor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise WeightsNotAvailableError(
                f"{spec}: {folder} lacks a readable tokenizer or preprocessor_config.json; "
                "get the whole model again"
            ) from error
        return cls(_load_model(folder, spec), tokenizer, processor, spec=spec, device=chosen)

    @property
    def geometry(self) -> ImageGeometry:
        """The size that the model's preprocessor asks for; BLIP ignores a picture's proportions."""
        size = self._processor.size
        interpolation = INTERPOLATIONS.get(int(self._processor.resample), "bicubic")
        return ImageGeometry(int(size["height"]), int(size["width"]), interpolation, "squash")

    def probabilities(self, text: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Judge pictures; see `Reranker.probabilities`."""
        config = self._model.config.text_config
        tokens = self._tokenizer(
            clean_texts([text]),
            truncation=True,
            max_length=min(config.max_position_embeddings, self._tokenizer.model_max_length),
            return_tensors="pt",
        ).to(self._device)

        @torch.inference_mode()
        def judge(part: slice) -> torch.Tensor:
            pictures = self.prepare(pixels[part])
            places = self._model.vision_model(pixel_values=pictures).last_hidden_state
            words = self._model.text_encoder(
                input_ids=tokens.input_ids.expand(len(places), -1),
                attention_mask=tokens.attention_mask.expand(len(places), -1),
                encoder_hidden_states=places,
                encoder_attention_mask=torch.ones(places.shape[:2], device=self._device),
            ).last_hidden_state
            logits: torch.Tensor = self._model.itm_head(words[:, 0]).float()
            return logits.softmax(dim=1)[:, MATCH:]

        return self._batcher.run(len(pixels), 1, judge)[:, 0]

    def prepare(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        """Scale and normalise (n, height, width, 3) uint8 pictures as the preprocessor does."""
        mean = np.asarray(self._processor.image_mean, np.float32)
        deviation = np.asarray(self._processor.image_std, np.float32)
        scaled = (pixels.astype(np.float32) / 255 - mean) / deviation
        return torch.from_numpy(scaled.transpose(0, 3, 1, 2).copy()).to(self._device, self._dtype)


def _load_model(folder: Path, spec: str) -> Any:
    """Fill the architecture; every tensor must be in the file, in its shape."""
    factory: Any = BlipForImageTextRetrieval  # its types know nothing of the report
    tell: Any = transformers_logging
    level, shown = tell.get_verbosity(), tell.is_progress_bar_enabled()
    tell.set_verbosity_error()
    tell.disable_progress_bar()
    try:
        model, report = factory.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # reported, and refused below
            output_loading_info=True,
        )
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise WeightsFormatError(
            f"{spec}: {folder} does not load as a BLIP for matching: {list_mismatches(error)}"
        ) from error
    finally:
        tell.set_verbosity(level)
        if shown:
            tell.enable_progress_bar()
    faults = [f"{name} is missing" for name in sorted(report["missing_keys"])]
    faults += [f"{name} has another shape" for name, *_ in report["mismatched_keys"]]
    if faults:
        raise WeightsFormatError(
            f"{spec}: {folder / WEIGHTS} does not fit config.json in {len(faults)} tensors: "
            f"{'; '.join(faults[:MISMATCHES_SHOWN])}"
        )
    return model
