"""Which index for how many rows, until a tuned choice replaces this rule."""

from __future__ import annotations

import math

EXACT_BELOW_ROWS = 200_000
"""On a CPU exact search answers in milliseconds up to here (docs/benchmarks.md)."""

TRAINING_ROWS_PER_LIST = 64


def choose_factory(kind: str, rows: int) -> str | None:
    """Translate `--kind` into a FAISS factory string; None means exact only.

    Args:
        kind: `auto`, `exact`, or a factory string, which is returned as it is.
        rows: Rows that the index will hold.
    """
    if kind == "exact" or (kind == "auto" and rows < EXACT_BELOW_ROWS):
        return None
    return f"IVF{lists_for(rows)},SQ8" if kind == "auto" else kind


def lists_for(rows: int) -> int:
    """A power of two near 2 √rows: lists of a few hundred rows, cheap to train on two cores."""
    return 1 << max(0, (2 * math.isqrt(rows)).bit_length() - 1)


def training_rows(rows: int) -> int:
    """Rows to sample for training: k-means gains nothing from more than this."""
    return min(rows, max(20_000, TRAINING_ROWS_PER_LIST * lists_for(rows)))
