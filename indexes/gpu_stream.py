"""Rows that cross to a GPU in blocks, while the block before is in use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

STREAM_BLOCK_BYTES: Final = 1 << 29
"""Vectors that cross to the device at a time; two blocks lie there, two in pinned memory."""


def stream_blocks(
    rows: Tensor, device: torch.device, *, block_bytes: int | None = None
) -> Iterator[tuple[int, Tensor]]:
    """Copy rows to a device in blocks: one crosses while the last one is used.

    Args:
        rows: (rows, dim) float16 on the CPU, possibly a mapped file.
        device: Where to.
        block_bytes: Size of a block, STREAM_BLOCK_BYTES by default; two lie on the device.

    Yields:
        The first row's number, and (n, dim) rows that are valid until the next ones are asked for.
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
        held = [torch.empty(shape, dtype=torch.float16, device=device) for _ in range(2)]
        # torch leaves its streams and events without types.
        copies, current = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
        copied = [torch.cuda.Event() for _ in range(2)]  # type: ignore[no-untyped-call]
        used = [torch.cuda.Event() for _ in range(2)]  # type: ignore[no-untyped-call]
    copies.wait_stream(current)
    try:
        for number, first in enumerate(starts):
            turn, count = number % 2, min(step, len(rows) - first)
            copied[turn].synchronize()  # what was in the pinned block may still be on its way
            # torch copies with all cores, where NumPy takes one.
            pinned[turn][:count].copy_(rows[first : first + count])
            with torch.cuda.stream(copies):
                copies.wait_event(used[turn])
                held[turn][:count].copy_(pinned[turn][:count], non_blocking=True)
                copied[turn].record(copies)
            current.wait_event(copied[turn])
            yield first, held[turn][:count]
            used[turn].record(current)
    finally:
        copies.synchronize()  # before the blocks go back to torch
