"""Model weights on disk: accepted formats, loading, quantization and digests."""

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

PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"})
"""Suffixes of formats that can run code when they are read; never opened here."""

MODEL_WEIGHTS = "model.safetensors"
OPEN_CLIP_WEIGHTS = "open_clip_model.safetensors"
CTRANSLATE2_WEIGHTS = "model.bin"
"""Tensors without code, in the format of CTranslate2; not a pickle."""

SHARD_INDEX = "model.safetensors.index.json"
"""Lists the files of a large model's weights."""

MISMATCHES_SHOWN = 6

SCALE_SUFFIX = ".scale"
"""Suffix of the name of a quantized tensor's scales."""


def check_safetensors(path: Path) -> None:
    """Check that a file of weights exists and that its header is valid.

    Raises:
        WeightsNotAvailableError: The file does not exist.
        WeightsFormatError: The file is a pickle, truncated, has an invalid header or no tensors.
    """
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors":
        raise WeightsFormatError(
            f"{path}: weights load from .safetensors only, because a pickle can run code; if you "
            "trust it, convert it with safetensors.torch.save_file"
        )
    if not path.is_file():
        raise WeightsNotAvailableError(f"{path}: no such file of weights")
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = len(file.keys())
    except SafetensorError as error:
        raise WeightsFormatError(
            f"{path}: not a valid safetensors file ({error}); download it again"
        ) from error
    if not tensors:
        raise WeightsFormatError(f"{path}: contains no tensors")


def check_ctranslate2(path: Path) -> None:
    """Check that a file of weights exists and begins as one of CTranslate2's Whisper models.

    Raises:
        WeightsNotAvailableError: The file does not exist.
        WeightsFormatError: It is another file, such as a pickle.
    """
    if not path.is_file():
        raise WeightsNotAvailableError(f"{path}: no such file of weights")
    with open_regular(path) as file:
        head = file.read(64)
    # A version of four bytes, and the length and name of the architecture.
    if not head[6:].startswith(b"WhisperSpec\0"):
        raise WeightsFormatError(
            f"{path}: not a Whisper model in the format of CTranslate2; convert the model with "
            "ct2-transformers-converter"
        )


def find_safetensors(folder: Path, filename: str) -> Path:
    """Return the path of a model folder's weights after checking them.

    Raises:
        WeightsNotAvailableError: The folder contains no weights.
        WeightsFormatError: The folder contains a pickle instead, or the weights are damaged.
    """
    path = folder / filename
    if not path.is_file():
        pickles = sorted(file.name for file in folder.glob("*") if file.suffix in PICKLE_SUFFIXES)
        if pickles:
            raise WeightsFormatError(
                f"{folder}: contains {pickles[0]}, a pickle, which can run code; expected "
                f"{filename}: convert the pickle if you trust it"
            )
        raise WeightsNotAvailableError(f"{folder}: contains no {filename}")
    check_safetensors(path)
    return path


def weight_files(folder: Path) -> list[Path]:
    """Return the checked files of a model's weights, one or several.

    Raises:
        WeightsNotAvailableError: There are none.
        WeightsFormatError: They are a pickle or damaged.
    """
    if (folder / MODEL_WEIGHTS).is_file() or not (folder / SHARD_INDEX).is_file():
        return [find_safetensors(folder, MODEL_WEIGHTS)]
    return weight_shards(folder)


def weight_shards(folder: Path) -> list[Path]:
    """Return the checked files that a folder's index of weights lists.

    Raises:
        WeightsNotAvailableError: One of them is missing.
        WeightsFormatError: The index or a file is damaged.
    """
    index = folder / SHARD_INDEX
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        paths = [folder / name for name in names]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsFormatError(f"{index} lists no files of weights") from error
    if not paths or any(path.parent != folder for path in paths):
        raise WeightsFormatError(f"{index} lists no files of weights in its folder")
    for path in paths:
        check_safetensors(path)
    return paths


def load_weights(model: Any, weights: Path, *, spec: str, config: str = "its config.json") -> None:
    """Load a file of weights into a torch module; names and shapes must match exactly.

    Args:
        model: The module.
        weights: A checked file, as `find_safetensors` returns it.
        spec: Specification of the model, for messages.
        config: Name of the file that describes the module, for messages.

    Raises:
        WeightsFormatError: The weights belong to another architecture.
    """
    from safetensors.torch import load_file

    try:
        model.load_state_dict(dequantize(load_file(weights)))
    except RuntimeError as error:
        raise WeightsFormatError(
            f"{spec}: {weights} does not fit {config}: {summarize_error(error)}"
        ) from error


def quantize(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Quantize matrices and convolutions to int8; `load_weights` reads the result.

    Each row or filter has a scale of its own, which maps its largest weight to 127 (symmetric
    quantization per channel, 1806.08342). Vectors become float16, because they are small.
    """
    packed = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            packed[name] = tensor
        elif tensor.ndim < 2:
            packed[name] = tensor.half()
        else:
            scale = tensor.flatten(1).abs().amax(dim=1).clamp_min(1e-12).float() / 127
            packed[name + SCALE_SUFFIX] = scale
            packed[name] = (tensor.float() / _broadcast(scale, tensor)).round().char()
    return packed


def dequantize(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Reverse `quantize`; tensors without scales stay as they are."""
    return {
        name: tensor * _broadcast(tensors[name + SCALE_SUFFIX], tensor)
        if name + SCALE_SUFFIX in tensors
        else tensor
        for name, tensor in tensors.items()
        if not name.endswith(SCALE_SUFFIX) or name.removesuffix(SCALE_SUFFIX) not in tensors
    }


def _broadcast(scale: Any, tensor: Any) -> Any:
    return scale.view(-1, *(1,) * (tensor.ndim - 1))


def summarize_error(error: Exception) -> str:
    """Shorten torch's report of missing, unexpected and mismatched tensors to one line."""
    first, *details = str(error).splitlines() or [type(error).__name__]
    lines = [textwrap.shorten(line, 200, placeholder=" …") for line in details or [first]]
    more = len(lines) - MISMATCHES_SHOWN
    return "; ".join(lines[:MISMATCHES_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def file_digest(path: Path) -> str:
    """Return the hexadecimal sha256 of a file; cached while its size and time stay the same."""
    stat = path.stat()
    return _file_digest(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _file_digest(path: Path, size: int, mtime_ns: int) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_digest(parts: Mapping[str, object]) -> str:
    """Return the hexadecimal sha256 of named JSON values, independent of their order."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
