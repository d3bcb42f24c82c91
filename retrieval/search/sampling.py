"""Draws positions at random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sample_positions(rows: int, count: int) -> NDArray[np.int64]:
    """Draw positions of rows at random, always the same ones; ascending."""
    if rows <= count:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, count, replace=False))
