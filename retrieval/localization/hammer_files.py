"""Reads the folder of a Hammer: config.json, tokenizer.json and float16 safetensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.encoders import configuration
from retrieval.encoders.weights import find_safetensors, load_weights
from retrieval.errors import WeightsNotAvailableError
from retrieval.files.reading import read_text

if TYPE_CHECKING:
    from retrieval.localization.hammer_model import Hammer, HammerConfig

CONFIG, TOKENIZER, WEIGHTS = "config.json", "tokenizer.json", "model.safetensors"


def read_space_digest(folder: Path) -> str | None:
    """Read the digest of a Hammer's space from its configuration without loading the model.

    Returns:
        None if the folder contains no Hammer.
    """
    try:
        return str(json.loads(read_text(folder / CONFIG))["space_digest"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def load_hammer(folder: Path) -> tuple[Hammer, HammerConfig, Any]:
    """Load the model, its configuration and its tokenizer.

    Raises:
        WeightsNotAvailableError: The folder or one of its files is missing.
        WeightsFormatError: The weights are a pickle, damaged, or of another architecture.
    """
    from retrieval.localization.hammer_model import Hammer

    for name in (CONFIG, TOKENIZER):
        if not (folder / name).is_file():
            raise WeightsNotAvailableError(
                f"hammer:{folder}: {folder / name} is missing; name a folder with a trained Hammer"
            )
    weights = find_safetensors(folder, WEIGHTS)
    config = read_config(folder / CONFIG)
    tokenizer = read_tokenizer(folder / TOKENIZER, config)
    model = configuration.build_model(lambda: Hammer(config), [weights], spec=f"hammer:{folder}")
    load_weights(model, weights, spec=f"hammer:{folder}")
    return model.eval(), config, tokenizer


def read_config(path: Path) -> HammerConfig:
    """Parse config.json.

    Raises:
        WeightsFormatError: The file is not JSON, or has unknown, missing or invalid keys.
    """
    from retrieval.localization.hammer_model import HammerConfig

    return configuration.read_config(HammerConfig, path, "a Hammer configuration")


def read_tokenizer(path: Path, config: HammerConfig) -> Any:
    """Read a fast tokenizer that truncates to the context length and pads to the longest text.

    Raises:
        WeightsFormatError: The file is no tokenizer, or has more tokens than the model.
    """
    return configuration.read_tokenizer(
        path, context_length=config.context_length, vocabulary=config.vocabulary
    )
