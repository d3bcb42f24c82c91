"""Which index for how many rows, until a tuned choice replaces this rule."""

from __future__ import annotations

import math
import re

EXACT_BELOW_ROWS = 200_000
"""On a CPU exact search answers in milliseconds up to here (docs/benchmarks.md)."""

TRAINING_ROWS_PER_LIST = 64


def choose_factory(kind: str, rows: int) -> str | None:
    """Translate `--kind` into a FAISS factory string; None means exact only.

    Args:
        kind: `auto`, `exact`, or a factory string, which is returned as it is unless it asks for
            more lists than there are rows: one space of a collection may be far smaller than
            the one it was meant for.
        rows: Rows that the index will hold.
    """
    if kind == "auto":
        return None if rows < EXACT_BELOW_ROWS else f"IVF{lists_for(rows)},SQ8"
    return None if kind == "exact" or rows < max(1, lists_of(kind)) else kind


def lists_for(rows: int) -> int:
    """A power of two at most 4 √rows: lists of a few hundred rows."""
    return 1 << max(0, (4 * math.isqrt(rows)).bit_length() - 1)


def lists_of(factory: str) -> int:
    """Lists that a factory string asks for; 0 where it has none."""
    found = re.search(r"IVF(\d+)", factory)
    return int(found[1]) if found else 0


def training_rows(factory: str, rows: int) -> int:
    """Rows to sample for training: k-means gains nothing from more than this."""
    return min(rows, max(20_000, TRAINING_ROWS_PER_LIST * lists_of(factory)))
