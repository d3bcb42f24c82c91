"""Devices, compute types, and batches whose size adapts to the memory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from retrieval.encoders.pooling import unit_rows
from retrieval.errors import ModelError

logger = logging.getLogger(__name__)

CPU_BATCH = 32
GPU_BATCH = 256

MIN_PART = 8
"""Samples of a part of a batch. Smaller parts read the weights too often."""


def choose_device(name: str) -> torch.device:
    """Resolve a device name; `auto` is the GPU if one is visible.

    Raises:
        ModelError: The name is unknown, or it names a GPU and none is visible.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"no device {name!r}; use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device {name}: no GPU is visible; use the device cpu")
    return device


def compute_dtype(device: torch.device) -> torch.dtype:
    """Return float32 for a CPU; for a GPU bfloat16 if supported, because it cannot overflow."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


class Batcher:
    """Runs a model over many samples in batches as large as memory allows.

    The size is halved for the rest of the process whenever memory runs out.

    Args:
        device: Device of the model; it sets the first size.
        model: Name of the model, for messages.
    """

    def __init__(self, device: torch.device, model: str) -> None:
        self.size = CPU_BATCH if device.type == "cpu" else GPU_BATCH
        self._model = model

    def run(
        self, count: int, dim: int, encode: Callable[[slice], torch.Tensor]
    ) -> NDArray[np.float32]:
        """Encode samples 0 … count - 1 in inference mode.

        Args:
            count: Number of samples.
            dim: Columns of the result.
            encode: Maps a slice of the samples to (n, dim).

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
                with torch.inference_mode():
                    rows[part] = encode(part).float().cpu().numpy()
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                self._halve(error)
                continue
            first = part.stop
        return rows

    def embed(
        self, count: int, dim: int, encode: Callable[[slice], torch.Tensor], input_name: str
    ) -> NDArray[np.float32]:
        """Encode samples as `run` does and scale the rows to unit length.

        Raises:
            InvalidVectorError: A row is not finite or has no length; names `input_name`.
        """
        return unit_rows(self.run(count, dim, encode), f"{self._model}: {input_name}")

    def _halve(self, error: Exception) -> None:
        if self.size == 1:
            raise ModelError(
                f"{self._model}: memory does not suffice for a single sample; close other "
                "programs or choose a smaller model"
            ) from error
        self.size = max(1, self.size // 2)  # another thread may have halved it too
        logger.warning("%s: out of memory; the batch size is now %d", self._model, self.size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def encode_in_parts(
    encode: Callable[[NDArray[np.uint8]], torch.Tensor], samples: NDArray[np.uint8]
) -> torch.Tensor:
    """Encode a batch on a CPU in one thread for each core, with a part of the batch for each.

    Otherwise, the threads of OpenMP share each operation, and wait for one another after each.
    While decoding processes use the same cores, they wait often, and waiting takes processor time.

    Args:
        encode: Maps (n, …) samples to (n, dim); called in several threads at once.
        samples: The batch.

    Returns:
        (len(samples), dim).
    """
    threads = torch.get_num_threads()
    parts = min(threads, len(samples) // MIN_PART)
    if parts < 2:
        return encode(samples)

    def encode_part(part: NDArray[np.uint8]) -> torch.Tensor:
        torch.set_num_threads(threads // parts)  # of this thread, and of threads that start later
        with torch.inference_mode():
            return encode(part)

    try:
        with ThreadPoolExecutor(parts) as pool:
            return torch.cat(list(pool.map(encode_part, np.array_split(samples, parts))))
    finally:
        torch.set_num_threads(threads)


def _is_out_of_memory(error: Exception) -> bool:
    # On a CPU torch raises a plain RuntimeError, so only its text identifies it.
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        "can't allocate memory" in str(error) or "not enough memory" in str(error)
    )
