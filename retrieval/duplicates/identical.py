"""Finds rows with identical vectors by hashing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.search.open_space import Part

BLOCK_ROWS = 8_192

ZERO_BITS = 13
"""Low bits that are always zero in a float32 converted from float16."""


def first_identical_rows(
    parts: Sequence[Part], allowed: Sequence[NDArray[np.bool_]], dim: int
) -> NDArray[np.int64]:
    """Return the first row with the same vector as each row, by position over all parts.

    Args:
        parts: The parts of one space.
        allowed: For each part (rows,) bool: the rows to compare.
        dim: Vector dimension.

    Returns:
        (all rows,) int64; rows that are not compared map to themselves.
    """
    hashes = np.concatenate([np.empty(0, np.uint64), *(_hashes(part, dim) for part in parts)])
    first = np.arange(len(hashes))
    rows = np.flatnonzero(np.concatenate([np.empty(0, np.bool_), *allowed]))
    _, first_positions, inverse = np.unique(hashes[rows], return_index=True, return_inverse=True)
    first[rows] = rows[first_positions[inverse]]
    return first


def _hashes(part: Part, dim: int) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each row: the bits of its numbers times random odd factors, added."""
    rng = np.random.default_rng(0)
    factors = rng.integers(2**64 - 1, size=dim, dtype=np.uint64) | np.uint64(1)
    hashes = np.empty(len(part.rows), np.uint64)
    for first in range(0, len(hashes), BLOCK_ROWS):
        block = slice(first, min(first + BLOCK_ROWS, len(hashes)))
        bits = np.ascontiguousarray(part.vectors(block)).view(np.uint32) >> ZERO_BITS
        hashes[block] = (bits.astype(np.uint64) * factors).sum(axis=1, dtype=np.uint64)
    return hashes
