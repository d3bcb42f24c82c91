"""X-CLIP models (2208.02816) by transformers: clips of a video and texts in one space.

They were trained to recognise actions, such as the 400 of Kinetics, by their names. Captions of
whole sentences are not what they know; a space of images beside this one finds those.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoImageProcessor, XCLIPModel

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


class XClipEncoder(ClipModelEncoder):
    """Frames attend to each other inside the image tower, then over the clip.

    The model's prompts, which adapt a text to the video it is compared with, are left out: with
    them every text would have another vector for every video, and no index could hold the videos.
    """

    @classmethod
    def load(cls, location: str, *, spec: str, device: str = "auto") -> XClipEncoder:
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
            AutoImageProcessor, folder, spec=spec, what="preprocessor_config.json"
        )
        model = load_model(XCLIPModel, folder, spec=spec)
        config = model.config
        return cls(
            model,
            folder,
            Tokens(tokenizer, config.text_config.max_position_embeddings, chosen),
            Preprocessing.of(processor, spec=spec),
            # Its positions in time are learned: it reads this many frames, no more and no fewer.
            ClipFrames(int(config.vision_config.num_frames)),
            dim=int(config.projection_dim),
            spec=spec,
            device=chosen,
        )

    def _embed_text(self, tokens: Any) -> torch.Tensor:
        return tensor_of(
            self._model.get_text_features(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            )
        )

    def _embed_clips(self, clips: torch.Tensor) -> torch.Tensor:
        return tensor_of(self._model.get_video_features(pixel_values=clips))
