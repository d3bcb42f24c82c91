"""Decides how and on which GPUs an index is searched, before any memory is allocated.

In order of preference: exact float16 search while the rows fit and are few enough to be read for
each query; the approximate part, re-ranked on the CPU; exact search that streams the rows through
the GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import faiss

from indexes.candidates import GPU_EXACT_BELOW_ROWS
from indexes.gpus import gpu_bytes, unsupported_reason, usable_bytes

SHARD_ROWS: Final = 1_000_000
"""Minimum rows per GPU for dividing an exact search among several GPUs."""

STREAM_BYTES: Final = 6 << 30
"""Memory for streaming: two blocks and the working memory of a search."""


class SearchMode(Enum):
    """How an index is searched."""

    EXACT = "exact, rows on the GPU"
    APPROXIMATE = "approximate on the GPU"
    STREAMED = "exact, rows streamed through the GPU"
    CPU = "on the CPU"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU with its CUDA number and free memory."""

    number: int
    free_bytes: int

    @property
    def usable_bytes(self) -> int:
        """Memory available for rows or an index."""
        return usable_bytes(self.free_bytes)


@dataclass(frozen=True, slots=True)
class Placement:
    """How an index is searched, on which GPUs, whether its rows are divided, and the reason."""

    mode: SearchMode
    gpus: tuple[Gpu, ...] = ()
    shard: bool = False
    reason: str = ""


def choose_placement(
    rows: int, dim: int, approximate: object | None, gpus: Sequence[Gpu], *, visited: int = 0
) -> Placement:
    """Choose how and where an index is searched.

    Args:
        rows: Number of rows.
        dim: Vector dimension.
        approximate: The approximate part in its CPU form, or None.
        gpus: The available GPUs with their free memory.
        visited: Number of lists that the approximate part scans.
    """
    if not gpus:
        return Placement(SearchMode.CPU, reason="there is no GPU")
    by_memory = tuple(sorted(gpus, key=lambda gpu: (-gpu.usable_bytes, gpu.number)))
    needed, free = 2 * rows * dim, sum(gpu.usable_bytes for gpu in gpus)
    reason = f"{rows} rows x {dim} take {_gib(needed)}, {_gib(free)} of GPU memory are free"
    if approximate is not None and (needed > free or rows >= GPU_EXACT_BELOW_ROWS):
        placement = _approximate_placement(approximate, visited, by_memory, reason)
        if needed > free or placement.mode is SearchMode.APPROXIMATE:
            return placement
    if needed <= free:
        shard = needed > by_memory[0].usable_bytes or rows >= SHARD_ROWS * len(gpus) > SHARD_ROWS
        return Placement(SearchMode.EXACT, by_memory if shard else by_memory[:1], shard=shard)
    if by_memory[0].free_bytes >= STREAM_BYTES:
        return Placement(SearchMode.STREAMED, by_memory[:1], reason=reason)
    return Placement(SearchMode.CPU, reason=reason)


def _approximate_placement(
    approximate: object, visited: int, by_memory: tuple[Gpu, ...], reason: str
) -> Placement:
    """Place a copy on each GPU, on the largest one, or divide the rows; GPUs are sorted by size."""
    unsupported = unsupported_reason(approximate, visited)
    if unsupported is not None:
        return Placement(SearchMode.CPU, reason=f"{reason}; {unsupported}")
    size = gpu_bytes(approximate)
    if isinstance(faiss.downcast_index(approximate), faiss.IndexHNSWCagra):
        by_memory = by_memory[:1]
    for gpus in (by_memory, by_memory[:1]):
        if size <= gpus[-1].usable_bytes:
            return Placement(SearchMode.APPROXIMATE, gpus, reason=reason)
    # FAISS divides the rows evenly, so the smallest GPU is the limit.
    if size <= len(by_memory) * by_memory[-1].usable_bytes:
        return Placement(SearchMode.APPROXIMATE, by_memory, shard=True, reason=reason)
    return Placement(SearchMode.CPU, reason=f"{reason}; the compressed index takes {_gib(size)}")


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
