"""PE-AV models (2512.19687) by transformers: clips of a video and texts in one space."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PeAudioVideoModel, PeVideoVideoProcessor

from retrieval.encoders.batching import choose_device
from retrieval.encoders.clip_models import ClipModelEncoder
from retrieval.encoders.preprocessing import Preprocessing
from retrieval.encoders.pretrained import (
    Tokens,
    checked_folder,
    load_model,
    load_part,
    load_tokenizer,
    tensor_of,
)
from retrieval.types import ClipFrames

FRAMES = 16
"""Frames of a clip for the models that take any number."""


class PeAvEncoder(ClipModelEncoder):
    """The video half of a PE-AV: every frame by an image tower, then a transformer over frames.

    The model has a text head for each of video, sound, and both; a space has one, here video's. Its
    other towers are read from the file, as the architecture asks, and let go.
    """

    @classmethod
    def load(cls, location: str, *, spec: str, device: str = "auto") -> PeAvEncoder:
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
        folder = checked_folder(location, spec=spec)
        tokenizer = load_tokenizer(folder, spec=spec)
        processor = load_part(
            PeVideoVideoProcessor, folder, spec=spec, what="video_preprocessor_config.json"
        )
        whole = load_model(PeAudioVideoModel, folder, spec=spec)
        text = whole.config.text_config
        return cls(
            whole.video_model,
            folder,
            Tokens(tokenizer, int(text.max_position_embeddings), chosen),
            Preprocessing.of(processor, spec=spec),
            ClipFrames(int(getattr(processor, "num_frames", None) or FRAMES)),
            dim=int(text.hidden_size),
            spec=spec,
            device=chosen,
        )

    def _embed_text(self, tokens: Any) -> torch.Tensor:
        output = self._model.text_model(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            output_hidden_states=True,
        )
        vectors: torch.Tensor = self._model.text_video_head(output.hidden_states[-1][:, 0])
        return vectors

    def _embed_clips(self, clips: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self._model.video_head(
            tensor_of(self._model.video_encoder(pixel_values_videos=clips))
        )
        return vectors
