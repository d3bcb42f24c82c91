"""Devices, memory and batches: how many samples go through a model at once."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.errors import ModelError

logger = logging.getLogger(__name__)

CPU_BATCH = 32
GPU_BATCH = 256


def choose_device(name: str) -> torch.device:
    """Resolve `auto` to the GPU where there is one.

    Raises:
        ModelError: A GPU was asked for and none is visible, or no such device exists.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"no device {name!r}; use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device {name} asked for, but no GPU is visible here; use --device cpu")
    return device


def compute_dtype(device: torch.device) -> torch.dtype:
    """float32 on a CPU, half precision on a GPU: bfloat16, which cannot overflow, where it can."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


class Batcher:
    """Runs a model over many samples, in batches as large as memory allows.

    Starts at a size that keeps the device busy and halves it, for good, whenever memory runs out.
    """

    def __init__(self, device: torch.device, what: str) -> None:
        self.size = CPU_BATCH if device.type == "cpu" else GPU_BATCH
        self._what = what

    def run(
        self, count: int, dim: int, encode: Callable[[slice], torch.Tensor]
    ) -> NDArray[np.float32]:
        """Encode samples 0 … count - 1; `encode` gets a slice of them and returns (n, dim).

        Returns:
            (count, dim) float32.

        Raises:
            ModelError: Memory does not suffice for one sample.
        """
        rows = np.empty((count, dim), np.float32)
        first = 0
        while first < count:
            part = slice(first, min(first + self.size, count))
            try:
                rows[part] = encode(part).float().cpu().numpy()
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
                self._halve(error)
                continue
            first = part.stop
        return rows

    def _halve(self, error: Exception) -> None:
        if self.size == 1:
            raise ModelError(
                f"{self._what}: memory does not suffice for a single sample; "
                "close other programs or choose a smaller --model"
            ) from error
        self.size = max(1, self.size // 2)  # another thread may have halved it too
        logger.warning("%s: out of memory, going on with batches of %d", self._what, self.size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _out_of_memory(error: Exception) -> bool:
    # On the CPU torch raises a plain RuntimeError that only its text tells apart.
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        "can't allocate memory" in str(error) or "not enough memory" in str(error)
    )
