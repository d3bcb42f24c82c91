"""A model from nothing: the bundled model's sizes, random weights, a tokenizer of the captions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from retrieval.encoders.mulan import WEIGHTS as MULAN_WEIGHTS
from retrieval.encoders.mulan import write_config
from retrieval.encoders.mulan_sizes import MULAN_SIZES
from retrieval.encoders.towers import Mulan
from retrieval.training.clip import CONTEXT, MODEL, PREPROCESSING, VOCABULARY, save_weights
from retrieval.training.files import write_tensors, write_text
from retrieval.training.pairs import CaptionedClip
from retrieval.training.tokenizer import train_tokenizer


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
