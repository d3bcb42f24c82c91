"""A model from nothing: the bundled model's sizes, random weights, a tokenizer of the captions.

A video-text model begins on top of an image-text model that exists.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from retrieval.encoders.mulan import WEIGHTS as MULAN_WEIGHTS
from retrieval.encoders.mulan import write_config
from retrieval.encoders.mulan_sizes import MULAN_SIZES, TransformerSize
from retrieval.encoders.open_clip import OpenClipEncoder
from retrieval.encoders.towers import Mulan
from retrieval.encoders.video_text import WEIGHTS as VIDEO_WEIGHTS
from retrieval.encoders.video_text import load_image_encoder
from retrieval.encoders.video_text import write_config as write_config_of_video
from retrieval.encoders.video_towers import VideoTextConfig, VideoTextTowers
from retrieval.files.writing import write_text
from retrieval.training.bundled.image_text import (
    CONTEXT,
    MODEL,
    PREPROCESSING,
    VOCABULARY,
    save_weights,
)
from retrieval.training.pairs.manifest import CaptionedClip
from retrieval.training.pairs.tokenizer import train_tokenizer
from retrieval.training.tensors import write_tensors

TINY_DIM = 256


def begin_model(
    kind: str, folder: Path, clips: Sequence[CaptionedClip], seed: int, size: str = "tiny"
) -> None:
    """Write a folder that the catalogue loads; the same clips and seed make the same one.

    Args:
        kind: `clip` or `mulan`.
        folder: Made when missing.
        clips: Their captions train the tokenizer.
        seed: Decides the weights.
        size: Of a MuLan, a name of `retrieval.encoders.mulan_sizes`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    captions = [text for one in clips for text in one.captions]
    torch.manual_seed(seed)
    if kind == "clip":
        _begin_clip(folder, captions)
    else:
        _begin_mulan(folder, captions, size)


def _begin_clip(folder: Path, captions: list[str]) -> None:
    import open_clip

    train_tokenizer(captions, folder, vocabulary=VOCABULARY, context_length=CONTEXT)
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESSING}
    write_text(folder / "open_clip_config.json", json.dumps(config, indent=2) + "\n")
    save_weights(open_clip.create_model(f"local-dir:{folder}", load_weights=False), folder)


def _begin_mulan(folder: Path, captions: list[str], size: str) -> None:
    config = MULAN_SIZES[size]
    train_tokenizer(
        captions, folder, vocabulary=config.vocabulary, context_length=config.context_length
    )
    write_config(config, folder / "config.json")
    write_tensors(folder / MULAN_WEIGHTS, Mulan(config).state_dict())


def begin_video(folder: Path, images: str, seed: int) -> None:
    """Write a video-text model that adds nothing yet to an image-text model of open_clip.

    Raises:
        ModelError: That model cannot be loaded, or is none of open_clip.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoder = load_image_encoder(images, folder, spec=f"--init {images}", device="cpu")
    config = video_text_config(encoder)
    torch.manual_seed(seed)
    write_config_of_video(config, folder)
    write_tensors(folder / VIDEO_WEIGHTS, VideoTextTowers(config).state_dict())


def video_text_config(images: OpenClipEncoder) -> VideoTextConfig:
    """Sizes for an image-text model: as bundled on a small one, larger where its vectors are."""
    small = images.dim <= TINY_DIM
    video = TransformerSize(96, 4, 2) if small else TransformerSize(512, 8, 4)
    text = TransformerSize(96, 4, 1) if small else TransformerSize(512, 8, 2)
    tokens = images.tokenize([""])
    with torch.inference_mode():
        read = images.model.forward_intermediates(text=tokens, text_indices=1)
    return VideoTextConfig(
        images=images.spec,
        images_digest=images.digest,
        dim=images.dim,
        text_width=int(read["text_intermediates"][-1].shape[-1]),
        context_length=tokens.shape[1],
        frames=16,
        own_frames=2,
        context_seconds=7.0,
        video=video,
        course=128 if small else 1_024,
        text=text,
    )
