"""Untrusted model configurations, checked before memory is allocated for the model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any, TypeVar

from retrieval.encoders.weights import summarize_error
from retrieval.errors import WeightsFormatError, short_repr
from retrieval.files.documents import parse_json
from retrieval.files.reading import read_regular

Config = TypeVar("Config")

MAX_SIZE = 10_000_000
"""Upper bound of every integer of a configuration, vocabulary and context length included."""

MAX_LAYERS = 1_000
"""Upper bound of layer counts: layers are built one by one before their weights are compared."""

MAX_DECLARED_RATIO = 4
"""Parameters that a model may declare per stored number: some are tied or quantized."""

FREE_PARAMETERS = 10_000_000
"""Parameters that any model may declare, whatever its weights hold."""

_LAYER_COUNT = re.compile(r"layers|blocks|depths?$")


def read_config(config_class: type[Config], path: Path, description: str) -> Config:
    """Read a configuration dataclass from JSON.

    Args:
        config_class: The dataclass; its fields may be dataclasses.
        path: The file.
        description: Name of the kind of file in messages, such as `a MuLan configuration`.

    Raises:
        WeightsFormatError: The file is not JSON, a key is unknown or missing, or a value has
            another type or is not a possible size.
        OSError: The file cannot be read.
    """
    try:
        raw = read_regular(path)
        check_sizes(json.loads(raw))
        config = parse_json(config_class, raw)
        check_sizes(asdict(config), min_size=1)  # type: ignore[call-overload]
    except (ValueError, RecursionError) as error:
        raise WeightsFormatError(f"{path} is not {description}: {error}") from error
    return config


def check_sizes(raw: object, name: str = "", *, min_size: int = -MAX_SIZE) -> None:
    """Check every integer of a configuration against the bounds of this module.

    Args:
        raw: Parsed JSON, or a dataclass as a dictionary.
        name: Key of the value, for messages.
        min_size: Smallest integer allowed; negative where -1 has a meaning.

    Raises:
        ValueError: An integer is out of bounds; the message names its key.
    """
    if isinstance(raw, dict):
        for key, value in raw.items():
            check_sizes(value, str(key), min_size=min_size)
    elif isinstance(raw, list | tuple):
        for value in raw:
            check_sizes(value, name, min_size=min_size)
    elif isinstance(raw, int) and not isinstance(raw, bool):
        max_size = MAX_LAYERS if _LAYER_COUNT.search(name) else MAX_SIZE
        if not min_size <= raw <= max_size:
            raise ValueError(f"{name} is {short_repr(raw)}, expected {min_size:,} to {max_size:,}")


def read_tokenizer(path: Path, *, context_length: int, vocabulary: int) -> Any:
    """Load a fast tokenizer that truncates to the context length and pads to the batch's longest.

    Raises:
        WeightsFormatError: The file is not a tokenizer, or has more tokens than the model.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer: Any = Tokenizer.from_file(str(path))
        tokenizer.enable_truncation(context_length)
        tokenizer.enable_padding()
    except Exception as error:  # the library raises nothing more specific
        raise WeightsFormatError(
            f"{path} is not a readable tokenizer: {summarize_error(error)}"
        ) from error
    if tokenizer.get_vocab_size() > vocabulary:
        raise WeightsFormatError(
            f"{path} has {tokenizer.get_vocab_size()} tokens, config.json says {vocabulary}"
        )
    return tokenizer


def build_model(factory: Callable[[], Any], weights: Iterable[Path], *, spec: str) -> Any:
    """Build a model whose size `check_declared_size` accepts; the arguments are the same.

    The values of its parameters are arbitrary until its weights are loaded.
    """
    from retrieval.encoders.initialization import SkipRandomInitialization

    check_declared_size(factory, weights, spec=spec)
    with SkipRandomInitialization():
        return factory()


def check_declared_size(factory: Callable[[], Any], weights: Iterable[Path], *, spec: str) -> None:
    """Build a model on torch's meta device, without memory, and compare its size with its weights.

    Args:
        factory: Builds the module.
        weights: Checked safetensors files.
        spec: Specification of the model, for messages.

    Raises:
        WeightsFormatError: The factory fails, or the model is far larger than its weights.
        OSError: A file that the factory reads is missing.
    """
    import torch

    from retrieval.encoders.initialization import SkipRandomInitialization

    try:
        with torch.device("meta"), SkipRandomInitialization():
            declared = sum(tensor.numel() for tensor in factory().state_dict().values())
    except OSError:
        raise
    except Exception as error:  # an untrusted configuration fails in any way, assertions too
        raise WeightsFormatError(
            f"{spec}: its configuration does not describe a model that can be built: "
            f"{summarize_error(error)}"
        ) from error
    stored = sum(_count_numbers(path) for path in weights)
    if declared > MAX_DECLARED_RATIO * stored + FREE_PARAMETERS:
        raise WeightsFormatError(
            f"{spec}: its configuration describes {declared:,} parameters, its weights have "
            f"{stored:,}; use the configuration and the weights of the same model"
        )


def _count_numbers(path: Path) -> int:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
