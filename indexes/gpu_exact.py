"""Exact search in torch over float16 rows that are resident on a device or streamed through it.

`indexes.gpu_scores` scores the rows and proves that no answer is missing. A query without that
proof, for example one with many equal rows, is answered again from full scores of all rows.
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

from indexes.gpu_scores import GROUP_ROWS, MAX_ROWS, QueryBatch, RowBlock, unpack_keys
from indexes.gpu_stream import STREAM_BLOCK_BYTES, stream_blocks
from indexes.protocol import Ids, Scores
from indexes.scoring import best_columns
from indexes.vectors import check_search, no_answers, pad_answers, unit_queries

QUERY_BATCH: Final = 1_024
"""Queries scored against each block of rows at once."""

PASS_SCORES: Final = 1 << 32
"""Maximum queries times rows of a first pass; the best scores of its groups take 512 MiB."""

GATHERED_SHARE: Final = 1 / 4
"""Maximum share of allowed rows that are gathered before scoring; reading, writing and reading a
quarter of the rows takes no longer than scoring all of them."""


class TorchExact:
    """A `VectorIndex` over float16 rows, searched exactly on one torch device.

    Args:
        rows: (rows, dim) float16 unit vectors. An array, possibly memory-mapped, is copied to the
            device now if `resident`, and otherwise in each search. A tensor on the device is used
            without a copy.
        device: Any torch device; tests use the CPU.
        resident: Copy all rows to the device now instead of streaming them in each search.

    Attributes:
        unproven_queries: Number of queries so far that needed full scores of all rows.

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
        self._rows = rows if isinstance(rows, Tensor) else _as_tensor(rows)
        self.rows: int = rows.shape[0]
        self.dim: int = rows.shape[1]
        self.device = torch.device(device)
        self.unproven_queries = 0
        self._resident: Tensor | None = None
        if self._rows.device.type == self.device.type != "cpu":
            self._resident = self._rows
        elif resident:
            copy = torch.empty(rows.shape, dtype=torch.float16, device=self.device)
            for first, block in stream_blocks(self._rows, self.device):
                copy[first : first + len(block)] = block
            self._resident = copy

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
            return no_answers(len(unit), k)
        if count == self.rows:
            allowed = None
        with torch.inference_mode():
            keys, proven = self._best_keys(unit, width, allowed, full=False)
            unproven = np.flatnonzero(~proven)
            self.unproven_queries += len(unproven)
            if len(unproven):
                full_keys, _ = self._best_keys(unit[unproven], width, allowed, full=True)
                keys[torch.from_numpy(unproven)] = full_keys
            return pad_answers(*unpack_keys(keys), k)

    def _best_keys(
        self, unit: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None, *, full: bool
    ) -> tuple[Tensor, NDArray[np.bool_]]:
        """Return the keys of the k best rows, (queries, k) on the CPU, and which are proven."""
        batches = [
            QueryBatch(torch.from_numpy(unit[first : first + QUERY_BATCH]).to(self.device), k)
            for first in range(0, len(unit), QUERY_BATCH)
        ]
        pass_rows = max(GROUP_ROWS, PASS_SCORES // min(len(unit), QUERY_BATCH))
        for block in self._blocks(allowed, pass_rows):
            for batch in batches:
                if full or batch.prefers_full_scores(block):
                    batch.score_fully(block)
                else:
                    batch.score_groups(block)
        keys = torch.cat([batch.keys for batch in batches])
        proven = torch.cat([batch.proven() for batch in batches])
        return keys.cpu(), proven.cpu().numpy()

    def _blocks(self, allowed: NDArray[np.bool_] | None, pass_rows: int) -> Iterator[RowBlock]:
        """Yield all allowed rows on the device."""
        if allowed is not None and np.count_nonzero(allowed) <= GATHERED_SHARE * self.rows:
            yield from self._gathered_blocks(np.flatnonzero(allowed))
            return
        mask = None if allowed is None else torch.tensor(allowed, device=self.device)
        for first, vectors in self._ranges(pass_rows):
            block_mask = None if mask is None else mask[first : first + len(vectors)]
            yield RowBlock(vectors, first, allowed=block_mask)

    def _ranges(self, pass_rows: int) -> Iterator[tuple[int, Tensor]]:
        if self._resident is None:
            yield from stream_blocks(self._rows, self.device)
            return
        for first in range(0, self.rows, pass_rows):
            yield first, self._resident[first : first + pass_rows]

    def _gathered_blocks(self, positions: NDArray[np.int64]) -> Iterator[RowBlock]:
        step = max(1, STREAM_BLOCK_BYTES // (2 * self.dim))
        for first in range(0, len(positions), step):
            rows = torch.from_numpy(positions[first : first + step])
            device_rows = rows.to(self.device)
            if self._resident is None:
                vectors = self._rows[rows].to(self.device)
            else:
                vectors = self._resident[device_rows]
            yield RowBlock(vectors, 0, rows=device_rows)


class ShardedExact:
    """A `VectorIndex` whose rows are divided among devices that search in parallel.

    Args:
        rows: (rows, dim) float16 unit vectors.
        devices: Torch devices; each holds a range of consecutive rows.
        shares: Relative number of rows per device.

    Raises:
        torch.OutOfMemoryError: A device cannot hold its rows.
    """

    def __init__(
        self, rows: NDArray[np.float16], devices: Sequence[str], shares: Sequence[float]
    ) -> None:
        self.rows, self.dim = rows.shape
        ends = np.round(np.cumsum(shares) / np.sum(shares) * len(rows)).astype(int)
        self._starts = [0, *ends[:-1].tolist()]
        self._shards = [
            TorchExact(rows[first:last], device)
            for first, last, device in zip(self._starts, ends, devices, strict=True)
        ]
        self._threads = ThreadPoolExecutor(len(devices), thread_name_prefix="gpu")

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

        def search_shard(first: int, shard: TorchExact) -> tuple[Scores, Ids]:
            mask = None if allowed is None else allowed[first : first + shard.rows]
            scores, ids = shard.search(unit, min(k, max(1, shard.rows)), allowed=mask)
            return scores, np.where(ids < 0, ids, ids + first)

        answers = list(self._threads.map(search_shard, self._starts, self._shards))
        scores, ids = (np.concatenate(part, axis=1) for part in zip(*answers, strict=True))
        return pad_answers(*best_columns(scores, ids, min(k, scores.shape[1])), k)


def _as_tensor(rows: NDArray[np.float16]) -> Tensor:
    """Return a tensor that shares the memory of an array."""
    with warnings.catch_warnings():
        # torch warns about read-only memory, but nothing writes to the tensor.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(rows)
