"""A re-ranker of photographs: image-text matching of BLIP (2201.12086) from transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import BlipForImageTextRetrieval, BlipImageProcessor

from retrieval.encoders.batching import Batcher, choose_device, compute_dtype
from retrieval.encoders.preprocessing import Preprocessing
from retrieval.encoders.pretrained import (
    TextTokenizer,
    find_checked_folder,
    load_component,
    load_model,
    load_tokenizer,
)
from retrieval.encoders.tokens import clean_texts
from retrieval.types import ImageGeometry

MAX_BATCH = 10
MATCH = 1
"""Index of the positive class among the two outputs of the matching head."""


class BlipReranker:
    """Implements `Reranker` with the matching head of BLIP."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        preprocessing: Preprocessing,
        *,
        spec: str,
        device: torch.device,
    ) -> None:
        self.spec = spec
        self._dtype = compute_dtype(device)
        self._model = model.to(device, self._dtype).eval()
        context = model.config.text_config.max_position_embeddings
        self._tokens = TextTokenizer(tokenizer, context, device)
        self._preprocessing = preprocessing
        self._device = device
        self._batcher = Batcher(device, spec)
        self._batcher.size = min(self._batcher.size, MAX_BATCH)

    @classmethod
    def load(cls, location: str, *, spec: str, device: str = "auto") -> BlipReranker:
        """Load a model from a folder or from the hub's cache.

        Args:
            location: A folder written by `save_pretrained`, or a name on the hub.
            spec: The specification, for messages.
            device: `auto`, `cpu` or `cuda`.

        Raises:
            WeightsNotAvailableError: The model is not on this machine.
            WeightsFormatError: The weights are a pickle, damaged, or of another architecture.
        """
        folder = find_checked_folder(location, spec=spec)
        tokenizer = load_tokenizer(folder, spec=spec)
        processor = load_component(
            BlipImageProcessor, folder, spec=spec, name="preprocessor_config.json"
        )
        preprocessing = Preprocessing.of(processor, spec=spec)
        model = load_model(BlipForImageTextRetrieval, folder, spec=spec)
        return cls(model, tokenizer, preprocessing, spec=spec, device=choose_device(device))

    @property
    def geometry(self) -> ImageGeometry:
        """Input size of the model's preprocessor, which ignores the aspect ratio."""
        return self._preprocessing.geometry

    def probabilities(self, text: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute probabilities of a match; see `Reranker.probabilities`."""
        tokens = self._tokens(clean_texts([text]))

        @torch.inference_mode()
        def predict(part: slice) -> torch.Tensor:
            pictures = self._preprocessing.prepare(pixels[part], self._device).to(self._dtype)
            patches = self._model.vision_model(pixel_values=pictures).last_hidden_state
            words = self._model.text_encoder(
                input_ids=tokens.input_ids.expand(len(patches), -1),
                attention_mask=tokens.attention_mask.expand(len(patches), -1),
                encoder_hidden_states=patches,
                encoder_attention_mask=torch.ones(patches.shape[:2], device=self._device),
            ).last_hidden_state
            logits: torch.Tensor = self._model.itm_head(words[:, 0]).float()
            return logits.softmax(dim=1)[:, MATCH:]

        return self._batcher.run(len(pixels), 1, predict)[:, 0]
