"""Rows with the very same vector: found by hashing, before anything is compared.

A corpus may hold one placeholder fifty thousand times: more than a thousand million pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.search.open_space import Part

BLOCK_ROWS = 8_192

ZERO_BITS = 13
"""Low bits of a float32 that was a float16: always zero, and no help to a hash."""


def first_identical_rows(
    parts: Sequence[Part], allowed: Sequence[NDArray[np.bool_]], dim: int
) -> NDArray[np.int64]:
    """The first row that has the same vector as each row, by positions over all parts.

    Args:
        parts: Of one space.
        allowed: For each part (rows,) bool: which rows take part.
        dim: Length of a vector.

    Returns:
        (all rows,) int64; a row that takes no part, or is the first of its kind, has itself.
    """
    hashes = np.concatenate([np.empty(0, np.uint64), *(_hashes(part, dim) for part in parts)])
    first = np.arange(len(hashes))
    rows = np.flatnonzero(np.concatenate([np.empty(0, np.bool_), *allowed]))
    # np.unique gives the first place of each hash.
    _, places, kinds = np.unique(hashes[rows], return_index=True, return_inverse=True)
    first[rows] = rows[places[kinds]]
    return first


def _hashes(part: Part, dim: int) -> NDArray[np.uint64]:
    """A 64-bit hash of each row: the sum of its numbers' bits, each times a random odd number."""
    rng = np.random.default_rng(0)
    factors = rng.integers(2**64 - 1, size=dim, dtype=np.uint64) | np.uint64(1)
    hashes = np.empty(len(part.rows), np.uint64)
    for first in range(0, len(hashes), BLOCK_ROWS):
        block = slice(first, min(first + BLOCK_ROWS, len(hashes)))
        bits = np.ascontiguousarray(part.vectors(block)).view(np.uint32) >> ZERO_BITS
        hashes[block] = (bits.astype(np.uint64) * factors).sum(axis=1, dtype=np.uint64)
    return hashes
