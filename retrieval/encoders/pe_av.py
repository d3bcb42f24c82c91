"""PE-AV models (2512.19687) by transformers: clips of a video and texts in one space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, PeVideoModel, PeVideoVideoProcessor

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
from retrieval.errors import WeightsFormatError
from retrieval.types import ClipFrames

FRAMES = 16
"""Frames of a clip for the models that take any number."""


class PeAvEncoder(ClipModelEncoder):
    """The video half of a PE-AV: every frame by an image tower, then a transformer over frames.

    The whole model has a text head for each of video, sound, and both; a space has one, here that
    of video. So only this part of a checkpoint is loaded. (The whole class does not load anyway:
    transformers 5.23 takes a buffer of timm 1.0.31 for a tied parameter.)
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
        config = _video_part(folder, spec)
        model = load_model(PeVideoModel, folder, spec=spec, config=config)
        text = config.text_config
        return cls(
            model,
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


def _video_part(folder: Path, spec: str) -> Any:
    """The configuration of the video towers, out of that of the whole model."""
    config = load_part(AutoConfig, folder, spec=spec, what="config.json")
    if config.model_type == "pe_audio_video":
        return config.video_config
    if config.model_type == "pe_video":
        return config
    raise WeightsFormatError(
        f"{spec}: {folder / 'config.json'} describes a model of type {config.model_type!r}, "
        "expected 'pe_audio_video'"
    )
