"""What a training writes: aside first, then put in its place, so that nothing is half there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from retrieval.errors import StorageError
from retrieval.store.publish import storage_errors


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file.

    Raises:
        StorageError: The disk refused.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    partial = path.with_name(f".{path.name}.tmp")
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    copies = {name: _copy(tensor) for name, tensor in tensors.items()}
    try:
        with storage_errors(path):
            partial.touch()
            mode = partial.stat().st_mode
            save_file(copies, partial, metadata=dict(metadata or {}))
            partial.chmod(mode)  # safetensors makes files that nobody else may read
            os.replace(partial, path)
    except SafetensorError as error:
        raise StorageError(f"cannot write {path}: {error}; free some space and go on") from error
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        StorageError: The disk refused.
    """
    partial = path.with_name(f".{path.name}.tmp")
    with storage_errors(path):
        try:
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are shipped: floats as float16."""
    return {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
