"""Weights on disk: which files are accepted, and the digests that tell two models apart."""

from __future__ import annotations

import functools
import hashlib
import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retrieval.errors import WeightsFormatError, WeightsNotAvailableError
from retrieval.files.reading import open_regular

PICKLES = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"})
"""Suffixes of formats that can run code when they are read; never opened here."""

WEIGHTS = "model.safetensors"
SHARDS = "model.safetensors.index.json"
"""Large models lie in several files; this one says which."""

MISMATCHES_SHOWN = 6

SCALE = ".scale"
"""What the name of a tensor's scales ends with, beside the tensor in bytes."""


def check_safetensors(path: Path) -> None:
    """Make sure that a file of weights exists and that its header is sound, before it is read.

    Raises:
        WeightsNotAvailableError: There is no such file.
        WeightsFormatError: It is not safetensors: a pickle, a truncated file, a header that lies.
    """
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors":
        raise WeightsFormatError(
            f"{path}: weights load from .safetensors only, and a pickle can run code; "
            "convert it with safetensors.torch.save_file where you trust it"
        )
    if not path.is_file():
        raise WeightsNotAvailableError(f"{path}: no such file of weights")
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = len(file.keys())
    except SafetensorError as error:
        raise WeightsFormatError(
            f"{path}: not a sound safetensors file ({error}); get it again"
        ) from error
    if not tensors:
        raise WeightsFormatError(f"{path}: holds no tensors")


def safetensors_of(folder: Path, filename: str) -> Path:
    """Find a model folder's weights and check them.

    Raises:
        WeightsNotAvailableError: The folder holds no weights.
        WeightsFormatError: It holds a pickle in their place, or they are damaged.
    """
    path = folder / filename
    if not path.is_file():
        pickles = sorted(file.name for file in folder.glob("*") if file.suffix in PICKLES)
        if pickles:
            raise WeightsFormatError(
                f"{folder}: holds {pickles[0]}, a pickle, which can run code; "
                f"needs {filename}: convert it where you trust it"
            )
        raise WeightsNotAvailableError(f"{folder}: holds no {filename}")
    check_safetensors(path)
    return path


def weight_files(folder: Path) -> list[Path]:
    """The checked files that hold a model's weights, one or several.

    Raises:
        WeightsNotAvailableError: There are none.
        WeightsFormatError: They are a pickle or damaged.
    """
    if (folder / WEIGHTS).is_file() or not (folder / SHARDS).is_file():
        return [safetensors_of(folder, WEIGHTS)]
    return weight_shards(folder)


def weight_shards(folder: Path) -> list[Path]:
    """The checked files that the index of a folder lists.

    Raises:
        WeightsNotAvailableError: One of them is missing.
        WeightsFormatError: The index or a file is damaged.
    """
    try:
        names = sorted(set(json.loads((folder / SHARDS).read_text())["weight_map"].values()))
        paths = [folder / name for name in names]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsFormatError(f"{folder / SHARDS} lists no files of weights") from error
    if not paths or any(path.parent != folder for path in paths):
        raise WeightsFormatError(f"{folder / SHARDS} lists no files of weights of its folder")
    for path in paths:
        check_safetensors(path)
    return paths


def fill(model: Any, weights: Path, *, spec: str, config: str = "its config.json") -> None:
    """Load a checked file of weights into a torch module; every tensor must be there, in its shape.

    Args:
        model: A module as its configuration describes it.
        weights: As `safetensors_of` returns it.
        spec: What the user asked for.
        config: What described the module, for the message.

    Raises:
        WeightsFormatError: The weights are another architecture's.
    """
    from safetensors.torch import load_file

    try:
        model.load_state_dict(dequantized(load_file(weights)))
    except RuntimeError as error:
        raise WeightsFormatError(
            f"{spec}: {weights} does not fit {config}: {list_mismatches(error)}"
        ) from error


def quantized(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Weights in a byte each, for models that travel in the package; `fill` reads them.

    Every row of a matrix, or filter of a convolution, is int8 times a scale of its own, such that
    its largest weight is 127 (symmetric quantization per channel, 1806.08342). Vectors are few and
    stay float16.
    """
    packed = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            packed[name] = tensor
        elif tensor.ndim < 2:
            packed[name] = tensor.half()
        else:
            scale = tensor.flatten(1).abs().amax(dim=1).clamp_min(1e-12).float() / 127
            packed[name + SCALE] = scale
            packed[name] = (tensor.float() / _by_row(scale, tensor)).round().char()
    return packed


def dequantized(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Weights as floats again: those that `quantized` wrote; others stay as they are."""
    return {
        name: tensor * _by_row(tensors[name + SCALE], tensor) if name + SCALE in tensors else tensor
        for name, tensor in tensors.items()
        if not name.endswith(SCALE) or name.removesuffix(SCALE) not in tensors
    }


def _by_row(scale: Any, tensor: Any) -> Any:
    return scale.view(-1, *(1,) * (tensor.ndim - 1))


def list_mismatches(error: Exception) -> str:
    """Shorten what torch says about missing, unexpected and misshapen tensors to one line."""
    first, *details = str(error).splitlines() or [type(error).__name__]
    lines = [textwrap.shorten(line, 200, placeholder=" …") for line in details or [first]]
    more = len(lines) - MISMATCHES_SHOWN
    return "; ".join(lines[:MISMATCHES_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes in hex; read once per process while size and time stay the same."""
    stat = path.stat()
    return _file_digest(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _file_digest(path: Path, size: int, mtime_ns: int) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(parts: Mapping[str, object]) -> str:
    """sha256 in hex of named JSON values; their order does not matter."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
