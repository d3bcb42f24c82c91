"""Exact search in torch: float16 rows that stay on a device, or stream through it in blocks.

How rows are scored, and why no answer is missed, stands in `indexes.gpu_scores`. A query whose
answers the first pass cannot prove, such as one with many equal rows, is answered once more from
all scores in full.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from indexes.gpu_scores import GROUP_ROWS, MAX_ROWS, Block, QueryBlock, unpacked
from indexes.gpu_stream import STREAM_BLOCK_BYTES, stream_blocks
from indexes.protocol import Ids, Scores
from indexes.scoring import best_columns
from indexes.vectors import check_search, padded, unit_queries

QUERY_BLOCK: Final = 1_024
"""Queries that share a pass over the rows."""

PASS_SCORES: Final = 1 << 32
"""Queries times rows of a first pass, whose groups' best scores take 512 MiB."""

GATHERED_SHARE: Final = 1 / 4
"""A mask that leaves at most this share has its rows copied together first: a quarter read,
written and read again costs no more than scoring everything."""


class TorchExact:
    """A `VectorIndex` over float16 rows, searched exactly on one torch device.

    Args:
        rows: (rows, dim) float16 unit vectors: an array, possibly memory-mapped, which is read when
            it is copied, and again by every search where it does not stay on the device; or a
            tensor, which is taken as it is where it lies on the device already.
        device: Any torch device; the CPU serves to test.
        resident: Whether all rows are copied to the device, now. Else each search streams them.

    Attributes:
        asked_again: Queries so far that the first pass could not prove.

    Raises:
        ValueError: More than 2³² - 1 rows.
        torch.OutOfMemoryError: The device cannot hold the rows.
    """

    def __init__(
        self,
        rows: NDArray[np.float16] | Tensor,
        device: str | torch.device,
        *,
        resident: bool = True,
    ) -> None:
        if len(rows) > MAX_ROWS:
            raise ValueError(f"{len(rows)} rows; one device searches at most {MAX_ROWS}")
        self._rows = rows if isinstance(rows, Tensor) else _shared(rows)
        self.device = torch.device(device)
        self.asked_again = 0
        self._resident: Tensor | None = None
        if self._rows.device.type == self.device.type != "cpu":
            self._resident = self._rows
        elif resident:
            held = torch.empty(rows.shape, dtype=torch.float16, device=self.device)
            for first, block in stream_blocks(self._rows, self.device):
                held[first : first + len(block)] = block
            self._resident = held

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._rows.shape[1])

    @property
    def rows(self) -> int:
        """Number of vectors."""
        return len(self._rows)

    def search(
        self,
        queries: NDArray[np.floating],
        k: int,
        *,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[Scores, Ids]:
        """See `VectorIndex.search`."""
        check_search(k, allowed, self.rows)
        unit = unit_queries(queries, self.dim)
        count = self.rows if allowed is None else int(np.count_nonzero(allowed))
        width = min(k, count)
        if not width or not len(unit):
            empty = np.empty((len(unit), 0), np.float32), np.empty((len(unit), 0), np.int64)
            return padded(*empty, k)
        if count == self.rows:
            allowed = None
        with torch.inference_mode():
            keys, proven = self._best_keys(unit, width, allowed, full=False)
            again = np.flatnonzero(~proven)
            self.asked_again += len(again)
            if len(again):
                full, _ = self._best_keys(unit[again], width, allowed, full=True)
                keys[torch.from_numpy(again)] = full
            return padded(*unpacked(keys), k)

    def _best_keys(
        self, unit: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None, *, full: bool
    ) -> tuple[Tensor, NDArray[np.bool_]]:
        """Keys of the k best rows of each query, (queries, k) on the CPU; which are proven."""
        searches = [
            QueryBlock(torch.from_numpy(unit[first : first + QUERY_BLOCK]).to(self.device), k)
            for first in range(0, len(unit), QUERY_BLOCK)
        ]
        pass_rows = max(GROUP_ROWS, PASS_SCORES // min(len(unit), QUERY_BLOCK))
        for block in self._blocks(allowed, pass_rows):
            for search in searches:
                if full or search.wants_all_of(block):
                    search.score_fully(block)
                else:
                    search.score_groups(block)
        keys = torch.cat([search.keys for search in searches])
        proven = torch.cat([search.proven() for search in searches])
        return keys.cpu(), proven.cpu().numpy()

    def _blocks(self, allowed: NDArray[np.bool_] | None, pass_rows: int) -> Iterator[Block]:
        """All rows that may answer, on the device."""
        if allowed is not None and np.count_nonzero(allowed) <= GATHERED_SHARE * self.rows:
            yield from self._gathered_blocks(np.flatnonzero(allowed))
            return
        mask = None if allowed is None else torch.tensor(allowed, device=self.device)
        for first, vectors in self._ranges(pass_rows):
            chosen = None if mask is None else mask[first : first + len(vectors)]
            yield Block(vectors, first, allowed=chosen)

    def _ranges(self, pass_rows: int) -> Iterator[tuple[int, Tensor]]:
        if self._resident is None:
            yield from stream_blocks(self._rows, self.device)
            return
        for first in range(0, self.rows, pass_rows):
            yield first, self._resident[first : first + pass_rows]

    def _gathered_blocks(self, positions: NDArray[np.int64]) -> Iterator[Block]:
        step = max(1, STREAM_BLOCK_BYTES // (2 * self.dim))
        for first in range(0, len(positions), step):
            rows = torch.from_numpy(positions[first : first + step])
            here = rows.to(self.device)
            if self._resident is None:
                vectors = self._rows[rows].to(self.device)
            else:
                vectors = self._resident[here]
            yield Block(vectors, 0, rows=here)


class ShardedExact:
    """A `VectorIndex` whose rows are divided between devices, which search at the same time.

    Args:
        rows: (rows, dim) float16 unit vectors.
        devices: Torch devices, each with a share of neighbouring rows.
        shares: How much each gets, in any unit.

    Raises:
        torch.OutOfMemoryError: A device cannot hold its rows.
    """

    def __init__(
        self, rows: NDArray[np.float16], devices: Sequence[str], shares: Sequence[float]
    ) -> None:
        ends = np.round(np.cumsum(shares) / np.sum(shares) * len(rows)).astype(int)
        self._starts = [0, *ends[:-1].tolist()]
        self._parts = [
            TorchExact(rows[first:last], device)
            for first, last, device in zip(self._starts, ends, devices, strict=True)
        ]
        self._threads = ThreadPoolExecutor(len(devices), thread_name_prefix="gpu")

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._parts[0].dim

    @property
    def rows(self) -> int:
        """Number of vectors."""
        return sum(part.rows for part in self._parts)

    def search(
        self,
        queries: NDArray[np.floating],
        k: int,
        *,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[Scores, Ids]:
        """See `VectorIndex.search`."""
        check_search(k, allowed, self.rows)
        unit = unit_queries(queries, self.dim)

        def search_part(first: int, part: TorchExact) -> tuple[Scores, Ids]:
            mask = None if allowed is None else allowed[first : first + part.rows]
            scores, ids = part.search(unit, min(k, max(1, part.rows)), allowed=mask)
            return scores, np.where(ids < 0, ids, ids + first)

        found = list(self._threads.map(search_part, self._starts, self._parts))
        scores, ids = (np.concatenate(part, axis=1) for part in zip(*found, strict=True))
        return padded(*best_columns(scores, ids, min(k, scores.shape[1])), k)


def _shared(rows: NDArray[np.float16]) -> Tensor:
    """The same memory as a tensor."""
    with warnings.catch_warnings():
        # torch warns of memory that must not be written to; nobody writes.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(rows)
