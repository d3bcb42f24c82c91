"""Where an index is searched: on GPUs where they help and have room, else on the CPU.

`indexes.gpu_plan` decides how; the same files serve every way.
"""

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
from indexes.faiss import FaissIndex, half_rows
from indexes.forking import Lock
from indexes.gpu_plan import Gpu, Plan, Where, plan
from indexes.gpus import Gpus
from indexes.protocol import Ids, Scores, VectorIndex
from indexes.selection import Selection

logger = logging.getLogger(__name__)

GPU_FROM_ROWS: Final = 20_000
"""Under `auto` fewer rows stay on the CPU, which answers before a GPU has begun."""

QUERIES_BEFORE_MOVING: Final = 100
"""Under `auto` so many queries are answered on the CPU first: one search never waits for a copy."""

STREAMED_FROM_QUERIES: Final = 8
"""Rows stream for so many queries at once; for fewer a CPU's own memory is no slower."""


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
        self._lock = Lock()
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
