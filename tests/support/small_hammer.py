"""A Hammer with random weights, as a folder."""

from __future__ import annotations

from pathlib import Path

import torch

from retrieval.localization.hammer_model import Hammer, HammerConfig, Level
from retrieval.training.moments.train import save_hammer
from retrieval.training.pairs.tokenizer import train_tokenizer
from retrieval.types import Medium

VOCABULARY = 300


def write_hammer(
    folder: Path, *, digest: str = "f" * 64, dim: int = 16, medium: Medium = Medium.VIDEO
) -> HammerConfig:
    """Windows of 32 rows, in three levels."""
    folder.mkdir(parents=True, exist_ok=True)
    train_tokenizer(["a red circle"], folder, vocabulary=VOCABULARY, context_length=12)
    levels = (Level(4, 1), Level(4, 1), Level(2, 1))
    config = HammerConfig(digest, medium, dim, 16, 2, levels, VOCABULARY + 1, 12)
    torch.manual_seed(0)
    save_hammer(Hammer(config), config, folder)
    return config
