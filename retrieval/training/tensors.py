"""Files that training writes: tensors, and float16 copies of weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from retrieval.files.writing import write_atomically


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file atomically.

    Raises:
        StorageError: The system refused a step.
    """
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    copies = {name: _copy(tensor) for name, tensor in tensors.items()}
    with write_atomically(path) as file:
        file.write(save(copies, metadata=dict(metadata or {})))


def half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert floating-point tensors to float16, the precision of shipped weights."""
    return {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
