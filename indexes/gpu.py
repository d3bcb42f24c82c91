"""Searches an index on GPUs where they have enough memory, otherwise on the CPU."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.building import faiss_reason
from indexes.errors import DeviceError
from indexes.faiss import FaissIndex, float16_rows
from indexes.forking import ForkSafeLock
from indexes.gpu_placement import Gpu, Placement, SearchMode, choose_placement
from indexes.gpus import Gpus
from indexes.protocol import Ids, Scores, VectorIndex
from indexes.selection import Selection

logger = logging.getLogger(__name__)

GPU_FROM_ROWS: Final = 20_000
"""Under `auto`, smaller indexes stay on the CPU, which is faster for them."""

QUERIES_BEFORE_COPY: Final = 100
"""Under `auto`, this many queries are answered on the CPU before the index is copied to a GPU."""

STREAMED_FROM_QUERIES: Final = 8
"""Minimum batch size for streaming rows through a GPU; a CPU is as fast for smaller ones."""


def visible_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that both FAISS and torch can use; imports torch only if FAISS sees one."""
    if not faiss.get_num_gpus():
        return ()
    import torch

    if not torch.cuda.is_available():
        return ()
    return tuple(
        Gpu(number, torch.cuda.mem_get_info(number)[0])
        for number in range(min(faiss.get_num_gpus(), torch.cuda.device_count()))
    )


def gpus_for_build(device: str, rows: int) -> Gpus | None:
    """Return the GPUs that train an index of a number of rows; None for the CPU.

    Raises:
        DeviceError: The device is a GPU that is not available.
    """
    gpus = () if device == "auto" and rows < GPU_FROM_ROWS else _find_gpus(device)
    return Gpus(tuple(gpu.number for gpu in gpus)) if gpus else None


def _find_gpus(device: str) -> tuple[Gpu, ...]:
    """Return the GPUs that a device name stands for; none for devices that only models use."""
    name, _, number = device.partition(":")
    if name not in ("auto", "cuda"):
        return ()
    gpus = tuple(gpu for gpu in visible_gpus() if number in ("", str(gpu.number)))
    if name == "cuda" and not gpus:
        raise DeviceError(
            f"no CUDA device {device!r} that FAISS and torch can use; use the device auto or cpu"
        )
    return gpus


def index_for_device(index: FaissIndex, device: str = "auto") -> FaissIndex | DeviceIndex:
    """Return the index as searched on a device; the same object for the CPU.

    Args:
        index: Opened from its files.
        device: `cpu`; `cuda` or `cuda:1`, which copy it before its first search; or `auto`, which
            copies larger indexes after a number of queries.

    Raises:
        DeviceError: The device is a GPU that is not available.
    """
    if device == "auto" and index.rows < GPU_FROM_ROWS:
        return index
    if not _find_gpus(device):
        return index
    delay = QUERIES_BEFORE_COPY if device == "auto" else 0
    return DeviceIndex(index, copy_after=delay, find_gpus=partial(_find_gpus, device))


class DeviceIndex:
    """A `FaissIndex` that is copied to GPUs when searched, and searched on the CPU if that fails.

    Rows are read from the mapped file. Searches on the GPUs run one at a time.

    Args:
        cpu: The index in its CPU form.
        copy_after: Number of queries answered on the CPU before copying.
        find_gpus: Returns the GPUs and their free memory when the index is copied.
    """

    def __init__(
        self,
        cpu: FaissIndex,
        *,
        copy_after: int = 0,
        find_gpus: Callable[[], Sequence[Gpu]] = visible_gpus,
    ) -> None:
        self._cpu = cpu
        self.dim, self.rows, self.approximate = cpu.dim, cpu.rows, cpu.approximate
        self.vectors, self.gather, self.select = cpu.vectors, cpu.gather, cpu.select
        self._queries_before_copy = copy_after
        self._find_gpus = find_gpus
        self._lock = ForkSafeLock()
        self._placement: Placement | None = None
        self._gpu_index: VectorIndex | None = None

    @property
    def mode(self) -> SearchMode:
        """How the index is currently searched."""
        return self._placement.mode if self._placement is not None else SearchMode.CPU

    def search(
        self,
        queries: NDArray[np.floating],
        k: int,
        *,
        allowed: NDArray[np.bool_] | Selection | None = None,
        exact: bool = False,
        visited_share: float | None = None,
    ) -> tuple[Scores, Ids]:
        """See `FaissIndex.search`; a GPU may search exactly where the CPU would not.

        Selections with copied rows are searched on the CPU.
        """
        copied = isinstance(allowed, Selection) and allowed.ids is not None
        mask = allowed.mask if isinstance(allowed, Selection) else allowed
        with self._lock:
            if self._placement is None:
                self._queries_before_copy -= len(queries)
                if self._queries_before_copy < 0:
                    self._move_to_gpus()
            if self._gpu_index is not None and not copied and self._uses_gpu(len(queries), exact):
                try:
                    return _search_in_batches(self._gpu_index, queries, k, mask)
                except (RuntimeError, MemoryError) as error:
                    self._fall_back_to_cpu(faiss_reason(error))
        return self._cpu.search(
            queries, k, allowed=allowed, exact=exact, visited_share=visited_share
        )

    def _uses_gpu(self, queries: int, exact: bool) -> bool:
        if self.mode is SearchMode.APPROXIMATE:
            return not exact
        return self.mode is SearchMode.EXACT or queries >= STREAMED_FROM_QUERIES

    def _move_to_gpus(self) -> None:
        part, lists = self._cpu.approximate_part, self._cpu.lists
        visited = min(self._cpu.effort.fixed_visited, lists) if lists else 0
        self._placement = choose_placement(
            self.rows, self.dim, part, self._find_gpus(), visited=visited
        )
        if self._placement.mode is SearchMode.CPU:
            self._fall_back_to_cpu(self._placement.reason)
            return
        try:
            self._gpu_index = _copy_to_gpus(self._cpu, self._placement)
        except (RuntimeError, MemoryError) as error:
            self._fall_back_to_cpu(faiss_reason(error))

    def _fall_back_to_cpu(self, reason: str) -> None:
        """Search on the CPU from now on and log the reason."""
        self._placement, self._gpu_index = Placement(SearchMode.CPU, reason=reason), None
        logger.warning("searching %d rows on the CPU: %s", self.rows, reason)


def _search_in_batches(
    index: VectorIndex, queries: NDArray[np.floating], k: int, allowed: NDArray[np.bool_] | None
) -> tuple[Scores, Ids]:
    """Search, halving the batch whenever GPU memory is insufficient."""
    try:
        return index.search(queries, k, allowed=allowed)
    except RuntimeError as error:
        if "out of memory" not in str(error) or len(queries) < 2:
            raise
    middle = len(queries) // 2
    halves = [
        _search_in_batches(index, half, k, allowed) for half in (queries[:middle], queries[middle:])
    ]
    scores, ids = (np.concatenate(part) for part in zip(*halves, strict=True))
    return scores, ids


def _copy_to_gpus(cpu: FaissIndex, placement: Placement) -> VectorIndex:
    """Copy the rows or the approximate part to the GPUs of a placement."""
    numbers = tuple(gpu.number for gpu in placement.gpus)
    if placement.mode is SearchMode.APPROXIMATE:
        from indexes.gpu_approximate import GpuApproximateIndex

        return GpuApproximateIndex(cpu, Gpus(numbers), shard=placement.shard)
    from indexes.gpu_exact import ShardedExact, TorchExact

    rows = float16_rows(cpu)
    if placement.shard:
        shares = [gpu.usable_bytes for gpu in placement.gpus]
        return ShardedExact(rows, [f"cuda:{number}" for number in numbers], shares)
    resident = placement.mode is SearchMode.EXACT
    return TorchExact(rows, f"cuda:{numbers[0]}", resident=resident)
