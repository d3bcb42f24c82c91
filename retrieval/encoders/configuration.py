"""Configurations of models, which may come from anybody: checked before anything is built."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from retrieval.encoders.weights import MISMATCHES_SHOWN, list_mismatches
from retrieval.errors import WeightsFormatError, short_repr
from retrieval.files.reading import read_regular

Config = TypeVar("Config")

MOST = 10_000_000
"""No size of a model is larger: not its vocabulary, nor its longest text."""

MOST_LAYERS = 1_000
"""Layers and blocks are built one by one, before their weights are compared."""

SLACK = 4
"""How many times the numbers of its files a model may declare: some are shared or quantized."""

SMALL = 10_000_000
"""Numbers that any model may declare."""

_COUNTED = re.compile(r"layers|blocks|depths?$")


def read_config(kind: type[Config], path: Path, wrong: str) -> Config:
    """Read a dataclass from JSON; every value must have the type of its field.

    Args:
        kind: The dataclass; its fields may be dataclasses.
        path: The file.
        wrong: What is wrong with another file, for the message: `is not a MuLan configuration`.

    Raises:
        WeightsFormatError: No JSON, unknown or missing keys, wrong types, impossible sizes.
        OSError: The file cannot be read.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        raw = json.loads(read_regular(path))
        check_sizes(raw)
        config = TypeAdapter(kind).validate_json(json.dumps(raw), strict=True)
        _check_keys(raw, asdict(config))  # type: ignore[call-overload]
        check_sizes(asdict(config), least=1)  # type: ignore[call-overload]
    except ValidationError as error:
        found = error.errors(include_url=False)[:MISMATCHES_SHOWN]
        raise WeightsFormatError(f"{path} {wrong}: {'; '.join(map(_told, found))}") from error
    except (ValueError, RecursionError) as error:
        raise WeightsFormatError(f"{path} {wrong}: {error}") from error
    return config


def _told(error: Any) -> str:
    """One of pydantic's errors."""
    field = ".".join(map(str, error["loc"])) or "the file"
    if error["type"] == "missing":
        return f"{field} is missing"
    return f"{field}: {error['msg']}, got {short_repr(error['input'])}"


def check_sizes(raw: object, name: str = "", *, least: int | None = None) -> None:
    """Refuse sizes that no model has, before memory is taken for them.

    Args:
        raw: Parsed JSON, or a dataclass as a dictionary.
        name: Of the value, for the message.
        least: The least size; None: -`MOST`, for configurations in which -1 has a meaning.

    Raises:
        ValueError: Names the value.
    """
    if isinstance(raw, dict):
        for key, value in raw.items():
            check_sizes(value, str(key), least=least)
    elif isinstance(raw, list | tuple):
        for value in raw:
            check_sizes(value, name, least=least)
    elif isinstance(raw, int) and not isinstance(raw, bool):
        most = MOST_LAYERS if _COUNTED.search(name) else MOST
        smallest = -MOST if least is None else least
        if not smallest <= raw <= most:
            raise ValueError(f"{name} is {short_repr(raw)}, expected {smallest:,} to {most:,}")


def read_tokenizer(path: Path, *, context_length: int, vocabulary: int) -> Any:
    """A fast tokenizer that cuts at the context length and pads to the longest of a batch.

    Raises:
        WeightsFormatError: The file is no tokenizer, or knows more tokens than the model.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer: Any = Tokenizer.from_file(str(path))
        tokenizer.enable_truncation(context_length)
        tokenizer.enable_padding()
    except Exception as error:  # the library raises nothing more specific
        raise WeightsFormatError(
            f"{path} is not a readable tokenizer: {list_mismatches(error)}"
        ) from error
    if tokenizer.get_vocab_size() > vocabulary:
        raise WeightsFormatError(
            f"{path} has {tokenizer.get_vocab_size()} tokens, config.json says {vocabulary}"
        )
    return tokenizer


def build(factory: Callable[[], Any], weights: Iterable[Path], *, spec: str) -> Any:
    """Build a model from a foreign configuration, as large as its weights.

    It is built without memory first, and compared with the tensors of its files.

    Args:
        factory: Builds the module; called twice.
        weights: Checked safetensors files.
        spec: What the user asked for.

    Raises:
        WeightsFormatError: Whatever the configuration makes the factory raise, or a model that is
            far larger than its weights.
    """
    check_declared(factory, weights, spec=spec)
    return factory()


def check_declared(factory: Callable[[], Any], weights: Iterable[Path], *, spec: str) -> None:
    """The first half of `build`."""
    import torch

    try:
        with torch.device("meta"):
            declared = sum(tensor.numel() for tensor in factory().state_dict().values())
    except Exception as error:  # a foreign configuration fails in any way, assertions too
        raise WeightsFormatError(
            f"{spec}: its configuration describes no model that can be built: "
            f"{list_mismatches(error)}"
        ) from error
    held = sum(_numbers(path) for path in weights)
    if declared > SLACK * held + SMALL:
        raise WeightsFormatError(
            f"{spec}: its configuration describes {declared:,} numbers, its weights hold {held:,}; "
            "the two belong to different models"
        )


def _numbers(path: Path) -> int:
    from math import prod

    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def _check_keys(raw: Any, read: Any) -> None:
    if isinstance(raw, dict) and isinstance(read, dict):
        unknown = raw.keys() - read.keys()
        if unknown:
            raise ValueError(f"unknown key {short_repr(min(unknown))}")
        for name, value in raw.items():
            _check_keys(value, read[name])
    elif isinstance(raw, list) and isinstance(read, list | tuple):
        for one, other in zip(raw, read, strict=False):
            _check_keys(one, other)
