"""Streams rows to a GPU in blocks, overlapping copies with computation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

STREAM_BLOCK_BYTES: Final = 1 << 29
"""Size of a block; two are held on the device and two in pinned memory."""


def stream_blocks(
    rows: Tensor, device: torch.device, *, block_bytes: int | None = None
) -> Iterator[tuple[int, Tensor]]:
    """Copy rows to a device in blocks; the next block is copied while the last one is used.

    Args:
        rows: (rows, dim) float16 on the CPU, possibly memory-mapped.
        device: The target device.
        block_bytes: Size of a block, `STREAM_BLOCK_BYTES` by default.

    Yields:
        The number of the first row, and (n, dim) rows that are valid until the next iteration.
    """
    step = min(len(rows), max(1, (block_bytes or STREAM_BLOCK_BYTES) // (2 * rows.shape[1])))
    starts = range(0, len(rows), max(1, step))
    if device.type != "cuda":
        for first in starts:
            yield first, rows[first : first + step].to(device, copy=True)
        return
    shape = (step, rows.shape[1])
    with torch.cuda.device(device):
        pinned = [torch.empty(shape, dtype=torch.float16, pin_memory=True) for _ in range(2)]
        blocks = [torch.empty(shape, dtype=torch.float16, device=device) for _ in range(2)]
        # Streams and events of torch are untyped.
        copies, current = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
        copied = [torch.cuda.Event() for _ in range(2)]  # type: ignore[no-untyped-call]
        used = [torch.cuda.Event() for _ in range(2)]  # type: ignore[no-untyped-call]
    copies.wait_stream(current)
    try:
        for number, first in enumerate(starts):
            turn, count = number % 2, min(step, len(rows) - first)
            copied[turn].synchronize()  # The last copy from this pinned block may still run.
            # torch copies with all cores, NumPy with one.
            pinned[turn][:count].copy_(rows[first : first + count])
            with torch.cuda.stream(copies):
                copies.wait_event(used[turn])
                blocks[turn][:count].copy_(pinned[turn][:count], non_blocking=True)
                copied[turn].record(copies)
            current.wait_event(copied[turn])
            yield first, blocks[turn][:count]
            used[turn].record(current)
    finally:
        copies.synchronize()  # Before torch reuses the memory of the blocks.
