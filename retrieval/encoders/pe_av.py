"""PE-AV models (2512.19687) by transformers: video clips and texts in one space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, PeVideoModel, PeVideoVideoProcessor

from retrieval.encoders.batching import choose_device
from retrieval.encoders.preprocessing import Preprocessing
from retrieval.encoders.pretrained import (
    TextTokenizer,
    find_checked_folder,
    load_component,
    load_model,
    load_tokenizer,
    pooled_output,
)
from retrieval.encoders.video_clip_encoder import VideoClipEncoder, VideoClipModel
from retrieval.errors import WeightsFormatError
from retrieval.types import ClipFrames

FRAMES = 16
"""Frames per clip for models that accept any number."""


class PeAvEncoder(VideoClipEncoder):
    """The video half of a PE-AV: an image tower per frame, then a transformer over frames.

    The whole model has text heads for video, audio and both; a space has one text head, here that
    of video, so only this part is loaded. (The whole class does not load: transformers 5.23 takes
    a buffer of timm 1.0.31 for a tied parameter.)
    """

    @classmethod
    def load(cls, location: str, *, spec: str, device: str = "auto") -> PeAvEncoder:
        """Load a model; arguments and errors as `ClapEncoder.load`."""
        torch_device = choose_device(device)
        folder = find_checked_folder(location, spec=spec)
        tokenizer = load_tokenizer(folder, spec=spec)
        processor = load_component(
            PeVideoVideoProcessor, folder, spec=spec, name="video_preprocessor_config.json"
        )
        config = _video_config(folder, spec)
        text = config.text_config
        loaded = VideoClipModel(
            model=load_model(PeVideoModel, folder, spec=spec, config=config),
            folder=folder,
            tokenizer=TextTokenizer(tokenizer, int(text.max_position_embeddings), torch_device),
            preprocessing=Preprocessing.of(processor, spec=spec),
            clip_frames=ClipFrames(int(getattr(processor, "num_frames", None) or FRAMES)),
            dim=int(text.hidden_size),
        )
        return cls(loaded, spec=spec, device=torch_device)

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
            pooled_output(self._model.video_encoder(pixel_values_videos=clips))
        )
        return vectors


def _video_config(folder: Path, spec: str) -> Any:
    """Return the configuration of the video towers out of that of the whole model."""
    config = load_component(AutoConfig, folder, spec=spec, name="config.json")
    if config.model_type == "pe_audio_video":
        return config.video_config
    if config.model_type == "pe_video":
        return config
    raise WeightsFormatError(
        f"{spec}: {folder / 'config.json'} describes a model of type {config.model_type!r}, "
        "expected 'pe_audio_video'"
    )
