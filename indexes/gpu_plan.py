"""Where an index goes: to which GPUs, before any memory is taken.

Exact float16 search goes first, as long as the rows fit and are not too many to be read for each
query; then the approximate part, re-ranked on the CPU; then exact search that streams the rows
through the GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import faiss

from indexes.choose import GPU_EXACT_BELOW_ROWS
from indexes.gpus import gpu_bytes, unsuitable, usable_bytes

SHARD_ROWS: Final = 1_000_000
"""Several GPUs share exact search where each gets at least so many rows."""

STREAM_BYTES: Final = 6 << 30
"""What streaming takes: two blocks, and the same work."""


class Where(Enum):
    """How an index is searched."""

    EXACT = "exact, rows on the GPU"
    APPROXIMATE = "approximate on the GPU"
    STREAMED = "exact, rows streamed through the GPU"
    CPU = "on the CPU"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as CUDA numbers it, and its free memory."""

    number: int
    free_bytes: int

    @property
    def usable_bytes(self) -> int:
        """Room for rows or an index."""
        return usable_bytes(self.free_bytes)


@dataclass(frozen=True, slots=True)
class Plan:
    """Where an index goes: to which GPUs, divided between them or not, and why."""

    where: Where
    gpus: tuple[Gpu, ...] = ()
    shard: bool = False
    why: str = ""


def plan(
    rows: int, dim: int, approximate: object | None, gpus: Sequence[Gpu], *, visited: int = 0
) -> Plan:
    """Decide where an index is searched, before any memory is taken.

    Args:
        rows: Rows of the index.
        dim: Their length.
        approximate: Its approximate part in its CPU form, or None.
        gpus: With their free memory.
        visited: Lists that the approximate part scans.
    """
    if not gpus:
        return Plan(Where.CPU, why="there is no GPU")
    by_room = tuple(sorted(gpus, key=lambda gpu: (-gpu.usable_bytes, gpu.number)))
    needed, free = 2 * rows * dim, sum(gpu.usable_bytes for gpu in gpus)
    why = f"{rows} rows x {dim} take {_gib(needed)}, {_gib(free)} of GPU memory are free"
    if approximate is not None and (needed > free or rows >= GPU_EXACT_BELOW_ROWS):
        chosen = _approximate_plan(approximate, visited, by_room, why)
        if needed > free or chosen.where is Where.APPROXIMATE:
            return chosen
    if needed <= free:
        several = needed > by_room[0].usable_bytes or rows >= SHARD_ROWS * len(gpus) > SHARD_ROWS
        return Plan(Where.EXACT, by_room if several else by_room[:1], shard=several)
    if by_room[0].free_bytes >= STREAM_BYTES:
        return Plan(Where.STREAMED, by_room[:1], why=why)
    return Plan(Where.CPU, why=why)


def _approximate_plan(
    approximate: object, visited: int, by_room: tuple[Gpu, ...], why: str
) -> Plan:
    """A copy on each GPU, on the one with most room, divided, or none; room falls from the left."""
    refused = unsuitable(approximate, visited)
    if refused is not None:
        return Plan(Where.CPU, why=f"{why}; {refused}")
    size = gpu_bytes(approximate)
    if isinstance(faiss.downcast_index(approximate), faiss.IndexHNSWCagra):
        by_room = by_room[:1]
    for gpus in (by_room, by_room[:1]):
        if size <= gpus[-1].usable_bytes:
            return Plan(Where.APPROXIMATE, gpus, why=why)
    # FAISS divides the rows evenly: the GPU with the least room decides.
    if size <= len(by_room) * by_room[-1].usable_bytes:
        return Plan(Where.APPROXIMATE, by_room, shard=True, why=why)
    return Plan(Where.CPU, why=f"{why}; the compressed index takes {_gib(size)}")


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
