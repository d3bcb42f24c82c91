"""BLIP's image-text matching (2201.12086) by transformers, as a re-ranker of real photographs."""

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

PICTURES_AT_ONCE = 10
MATCH = 1
"""Of the two outputs of the matching head, the one that says yes."""


class BlipReranker:
    """Implements `Reranker` with the matching head of a BLIP."""

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
        folder = find_checked_folder(location, spec=spec)
        tokenizer = load_tokenizer(folder, spec=spec)
        processor = load_component(
            BlipImageProcessor, folder, spec=spec, name="preprocessor_config.json"
        )
        preprocessing = Preprocessing.of(processor, spec=spec)
        model = load_model(BlipForImageTextRetrieval, folder, spec=spec)
        return cls(model, tokenizer, preprocessing, spec=spec, device=chosen)

    @property
    def geometry(self) -> ImageGeometry:
        """The size that the model's preprocessor asks for; BLIP ignores a picture's proportions."""
        return self._preprocessing.geometry

    def probabilities(self, text: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Judge pictures; see `Reranker.probabilities`."""
        tokens = self._tokens(clean_texts([text]))

        @torch.inference_mode()
        def judge(part: slice) -> torch.Tensor:
            pictures = self._preprocessing.prepare(pixels[part], self._device).to(self._dtype)
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
