"""Where an index is searched: on GPUs where they help and have room, else on the CPU.

Exact float16 search goes first, as long as the rows fit and are not too many to be read for each
query; then the approximate part, re-ranked on the CPU; then exact search that streams the rows
through the GPU. The same files serve all of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.building import faiss_reason
from indexes.choose import GPU_EXACT_BELOW_ROWS
from indexes.errors import DeviceError
from indexes.faiss import FaissIndex, half_rows
from indexes.gpus import Gpus, gpu_bytes, unsuitable, usable_bytes
from indexes.protocol import Ids, Scores, VectorIndex
from indexes.selection import Selection

logger = logging.getLogger(__name__)

GPU_FROM_ROWS: Final = 20_000
"""Under `auto` fewer rows stay on the CPU, which answers before a GPU has begun."""

QUERIES_BEFORE_MOVING: Final = 100
"""Under `auto` so many queries are answered on the CPU first: one search never waits for a copy."""

STREAMED_FROM_QUERIES: Final = 8
"""Rows stream for so many queries at once; for fewer a CPU's own memory is no slower."""

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


def visible_gpus() -> tuple[Gpu, ...]:
    """The GPUs that both FAISS and torch can use; torch is imported where FAISS sees one."""
    if not faiss.get_num_gpus():
        return ()
    import torch

    if not torch.cuda.is_available():
        return ()
    return tuple(
        Gpu(number, torch.cuda.mem_get_info(number)[0])
        for number in range(min(faiss.get_num_gpus(), torch.cuda.device_count()))
    )


def build_gpus(device: str, rows: int) -> Gpus | None:
    """Where an index of so many rows is trained: every GPU, or None for the CPU.

    Raises:
        DeviceError: A GPU is asked for and there is none.
    """
    gpus = () if device == "auto" and rows < GPU_FROM_ROWS else _asked_gpus(device)
    return Gpus(tuple(gpu.number for gpu in gpus)) if gpus else None


def _asked_gpus(device: str) -> tuple[Gpu, ...]:
    """The GPUs that a device names; none for devices that only models know."""
    name, _, number = device.partition(":")
    if name not in ("auto", "cuda"):
        return ()
    gpus = tuple(gpu for gpu in visible_gpus() if number in ("", str(gpu.number)))
    if name == "cuda" and not gpus:
        raise DeviceError(
            f"no CUDA device {device!r} that FAISS and torch can use; try --device auto or cpu"
        )
    return gpus


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


def on_device(index: FaissIndex, device: str = "auto") -> FaissIndex | DeviceIndex:
    """The index as a device searches it; the same one where that is the CPU.

    Args:
        index: Opened from its files.
        device: `cpu`; `cuda` or `cuda:1`, which move it before its first search; or `auto`, which
            moves larger ones once they are searched often.

    Raises:
        DeviceError: A GPU is asked for and there is none.
    """
    if device == "auto" and index.rows < GPU_FROM_ROWS:
        return index
    if not _asked_gpus(device):
        return index
    patience = QUERIES_BEFORE_MOVING if device == "auto" else 0
    return DeviceIndex(index, move_after=patience, gpus=partial(_asked_gpus, device))


class DeviceIndex:
    """A `FaissIndex` that moves to the GPUs when it is searched, and back if they refuse.

    Reading rows stays with the mapped file. One search runs at a time on the GPUs.

    Args:
        cpu: The index as its files have it.
        move_after: Queries that are answered on the CPU first.
        gpus: Looks for GPUs and their free memory, at the time of moving.
    """

    def __init__(
        self,
        cpu: FaissIndex,
        *,
        move_after: int = 0,
        gpus: Callable[[], Sequence[Gpu]] = visible_gpus,
    ) -> None:
        self._cpu = cpu
        self._before_moving = move_after
        self._gpus = gpus
        self._lock = threading.Lock()
        self._plan: Plan | None = None
        self._placed: VectorIndex | None = None

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._cpu.dim

    @property
    def rows(self) -> int:
        """Number of vectors."""
        return self._cpu.rows

    @property
    def approximate(self) -> bool:
        """See `FaissIndex.approximate`."""
        return self._cpu.approximate

    @property
    def where(self) -> Where:
        """How it is searched now."""
        return self._plan.where if self._plan is not None else Where.CPU

    def vectors(self, first: int, last: int) -> NDArray[np.float32]:
        """See `FaissIndex.vectors`."""
        return self._cpu.vectors(first, last)

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `FaissIndex.gather`."""
        return self._cpu.gather(rows)

    def select(self, mask: NDArray[np.bool_]) -> Selection:
        """See `FaissIndex.select`."""
        return self._cpu.select(mask)

    def search(
        self,
        queries: NDArray[np.floating],
        k: int,
        *,
        allowed: NDArray[np.bool_] | Selection | None = None,
        exact: bool = False,
        visited_share: float | None = None,
    ) -> tuple[Scores, Ids]:
        """See `FaissIndex.search`; on the GPU answers may be exact where the CPU's are not.

        The few rows of which a selection holds a copy are scored on the CPU.
        """
        copied = isinstance(allowed, Selection) and allowed.ids is not None
        mask = allowed.mask if isinstance(allowed, Selection) else allowed
        with self._lock:
            if self._plan is None:
                self._before_moving -= len(queries)
                if self._before_moving < 0:
                    self._move()
            if self._placed is not None and not copied and self._serves(len(queries), exact):
                try:
                    return _halving(self._placed, queries, k, mask)
                except (RuntimeError, MemoryError) as error:
                    self._stay(faiss_reason(error))
        return self._cpu.search(
            queries, k, allowed=allowed, exact=exact, visited_share=visited_share
        )

    def _serves(self, queries: int, exact: bool) -> bool:
        if self.where is Where.APPROXIMATE:
            return not exact
        return self.where is Where.EXACT or queries >= STREAMED_FROM_QUERIES

    def _move(self) -> None:
        part, lists = self._cpu.approximate_part, self._cpu.lists
        visited = min(self._cpu.effort.visited, lists) if lists else 0
        self._plan = plan(self.rows, self.dim, part, self._gpus(), visited=visited)
        if self._plan.where is Where.CPU:
            self._stay(self._plan.why)
            return
        try:
            self._placed = _placed(self._cpu, self._plan)
        except (RuntimeError, MemoryError) as error:
            self._stay(faiss_reason(error))

    def _stay(self, why: str) -> None:
        """Leave the GPUs, for good, and say why."""
        self._plan, self._placed = Plan(Where.CPU, why=why), None
        logger.warning("searching %d rows on the CPU: %s", self.rows, why)


def _halving(
    index: VectorIndex, queries: NDArray[np.floating], k: int, allowed: NDArray[np.bool_] | None
) -> tuple[Scores, Ids]:
    """Search, with half as many queries at a time where the memory is short."""
    try:
        return index.search(queries, k, allowed=allowed)
    except RuntimeError as error:
        if "out of memory" not in str(error) or len(queries) < 2:
            raise
    middle = len(queries) // 2
    halves = [_halving(index, half, k, allowed) for half in (queries[:middle], queries[middle:])]
    scores, ids = (np.concatenate(part) for part in zip(*halves, strict=True))
    return scores, ids


def _placed(cpu: FaissIndex, chosen: Plan) -> VectorIndex:
    """Copy the rows or the approximate part to where the plan says."""
    numbers = tuple(gpu.number for gpu in chosen.gpus)
    if chosen.where is Where.APPROXIMATE:
        from indexes.gpu_candidates import PlacedIndex

        return PlacedIndex(cpu, Gpus(numbers), shard=chosen.shard)
    from indexes.gpu_exact import ShardedExact, TorchExact

    rows = half_rows(cpu)
    if chosen.shard:
        shares = [gpu.usable_bytes for gpu in chosen.gpus]
        return ShardedExact(rows, [f"cuda:{number}" for number in numbers], shares)
    resident = chosen.where is Where.EXACT
    return TorchExact(rows, f"cuda:{numbers[0]}", resident=resident)
