"""New models with random weights: the bundled models' sizes, a tokenizer trained on the captions.

A new video-text model extends an existing image-text model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from retrieval.encoders import clip_sizes
from retrieval.encoders.mulan import WEIGHTS as MULAN_WEIGHTS
from retrieval.encoders.mulan import write_config
from retrieval.encoders.mulan_sizes import MULAN_SIZES, TransformerSize
from retrieval.encoders.open_clip import OpenClipEncoder
from retrieval.encoders.towers import Mulan
from retrieval.encoders.video_text import WEIGHTS as VIDEO_WEIGHTS
from retrieval.encoders.video_text import load_image_encoder
from retrieval.encoders.video_text import write_config as write_video_config
from retrieval.encoders.video_towers import VideoTextConfig, VideoTextTowers
from retrieval.encoders.weights import OPEN_CLIP_WEIGHTS
from retrieval.files.writing import write_text
from retrieval.training.pairs.manifest import CaptionedSpan
from retrieval.training.pairs.tokenizer import train_tokenizer
from retrieval.training.tensors import half, write_tensors

MAX_SMALL_DIM = 256
"""Image-text models of at most this dimension get a small video-text model."""


def create_model(
    architecture: str, folder: Path, spans: Sequence[CaptionedSpan], seed: int, size: str = "tiny"
) -> None:
    """Write a folder that the catalogue loads; it depends on the captions and the seed only.

    Args:
        architecture: `clip` or `mulan`.
        folder: Created when missing.
        spans: Their captions train the tokenizer.
        seed: Determines the weights.
        size: Size of a MuLan, a name of `retrieval.encoders.mulan_sizes`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    captions = [text for captioned in spans for text in captioned.captions]
    torch.manual_seed(seed)
    if architecture == "clip":
        import open_clip

        write_clip_configuration(captions, folder)
        model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
        write_tensors(folder / OPEN_CLIP_WEIGHTS, half(model.state_dict()))
        return
    config = MULAN_SIZES[size]
    train_tokenizer(
        captions, folder, vocabulary=config.vocabulary, context_length=config.context_length
    )
    write_config(config, folder / "config.json")
    write_tensors(folder / MULAN_WEIGHTS, Mulan(config).state_dict())


def write_clip_configuration(captions: Iterable[str], folder: Path) -> None:
    """Write the configuration of the tiny CLIP and a tokenizer trained on captions."""
    train_tokenizer(
        captions,
        folder,
        vocabulary=clip_sizes.VOCABULARY,
        context_length=clip_sizes.CONTEXT_LENGTH,
    )
    config = {
        "model_cfg": clip_sizes.TINY_CLIP,
        "preprocess_cfg": clip_sizes.TINY_CLIP_PREPROCESSING,
    }
    write_text(folder / "open_clip_config.json", json.dumps(config, indent=2) + "\n")


def create_video_model(folder: Path, images: str, seed: int) -> None:
    """Write a video-text model that equals an open_clip model until it is trained.

    Raises:
        ModelError: The image-text model cannot be loaded, or is not an open_clip model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoder = load_image_encoder(images, folder, spec=images, device="cpu")
    assert isinstance(encoder, OpenClipEncoder)  # because `text_first` is not requested
    config = video_text_config(encoder)
    torch.manual_seed(seed)
    write_video_config(config, folder)
    write_tensors(folder / VIDEO_WEIGHTS, VideoTextTowers(config).state_dict())


def video_text_config(images: OpenClipEncoder) -> VideoTextConfig:
    """Choose sizes for an image-text model: the bundled sizes for a small one, else larger ones."""
    small = images.dim <= MAX_SMALL_DIM
    video = TransformerSize(96, 4, 2) if small else TransformerSize(512, 8, 4)
    text = TransformerSize(96, 4, 1) if small else TransformerSize(512, 8, 2)
    tokens = images.tokenize([""])
    with torch.inference_mode():
        outputs = images.model.forward_intermediates(text=tokens, text_indices=1)
    return VideoTextConfig(
        images=images.spec,
        images_digest=images.digest,
        dim=images.dim,
        text_width=int(outputs["text_intermediates"][-1].shape[-1]),
        context_length=tokens.shape[1],
        frames=16,
        own_frames=2,
        context_seconds=7.0,
        video=video,
        course=128 if small else 1_024,
        text=text,
    )
