"""X-CLIP models (2208.02816) by transformers: video clips and texts in one space.

They are trained to recognize actions, such as the 400 of Kinetics, by their names, not to match
captions of whole sentences.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoImageProcessor, XCLIPModel

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
from retrieval.types import ClipFrames


class XClipEncoder(VideoClipEncoder):
    """Frames attend to each other inside the image tower, then over the clip.

    The model's prompts, which adapt a text to the video it is compared with, are not used: with
    them each text has another vector for each video, which an index cannot hold.
    """

    @classmethod
    def load(cls, location: str, *, spec: str, device: str = "auto") -> XClipEncoder:
        """Load a model; arguments and errors as `ClapEncoder.load`."""
        torch_device = choose_device(device)
        folder = find_checked_folder(location, spec=spec)
        tokenizer = load_tokenizer(folder, spec=spec)
        processor = load_component(
            AutoImageProcessor, folder, spec=spec, name="preprocessor_config.json"
        )
        model = load_model(XCLIPModel, folder, spec=spec)
        config = model.config
        loaded = VideoClipModel(
            model=model,
            folder=folder,
            tokenizer=TextTokenizer(
                tokenizer, config.text_config.max_position_embeddings, torch_device
            ),
            preprocessing=Preprocessing.of(processor, spec=spec),
            # Learned positions in time fix the number of frames.
            clip_frames=ClipFrames(int(config.vision_config.num_frames)),
            dim=int(config.projection_dim),
        )
        return cls(loaded, spec=spec, device=torch_device)

    def _embed_text(self, tokens: Any) -> torch.Tensor:
        return pooled_output(
            self._model.get_text_features(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            )
        )

    def _embed_clips(self, clips: torch.Tensor) -> torch.Tensor:
        return pooled_output(self._model.get_video_features(pixel_values=clips))
