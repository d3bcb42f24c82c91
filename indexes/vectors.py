"""Checks that every index shares: what may be a vector, a query, a `k`, a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from indexes.errors import DimensionMismatchError, InvalidVectorError
from indexes.protocol import Ids, Scores

UNIT_ROUNDING = 2.0**-23
"""A vector of unit length may be so much longer or shorter once it is rounded to float32."""

MAX_NUMBER = 1e100
"""Larger numbers in a vector, and smaller ones than their inverse, are scaled before squaring."""

MAX_K = 1_000_000
"""Answers per query that may be asked for where the index has fewer rows: bounds the padding."""


def unit_queries(queries: NDArray[np.floating], dim: int) -> NDArray[np.float32]:
    """Scale queries to unit length as contiguous float32; unit float32 ones stay as they are.

    Args:
        queries: (queries, dim) of any float dtype and layout.
        dim: Length that the index expects.

    Raises:
        DimensionMismatchError: Another length.
        InvalidVectorError: NaN, infinity, a zero row, or not a matrix of numbers.
    """
    given = np.asarray(queries)
    if given.ndim != 2 or given.dtype.kind not in "fiu":
        raise InvalidVectorError(
            f"queries must be a (queries, dim) matrix of numbers, "
            f"got shape {given.shape} of {given.dtype}"
        )
    if given.shape[1] != dim:
        raise DimensionMismatchError(
            f"queries are {given.shape[1]}-d, the index holds {dim}-d vectors; "
            "use the encoder it was made with"
        )
    rows = scaled(given.astype(np.float64))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)))
    if len(bad):
        raise InvalidVectorError(f"query {bad[0]} is NaN, infinite or zero")
    if given.dtype == np.float32:
        # So that scaling twice is scaling once, and every way through the code scores alike.
        lengths[np.abs(lengths - 1) <= UNIT_ROUNDING] = 1
    return np.ascontiguousarray(rows / lengths, dtype=np.float32)


def scaled(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring rows whose squares overflow or vanish to numbers of at most 1; (n, dim) in place."""
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    extreme = np.isfinite(largest) & (largest > 0)
    extreme &= (largest > MAX_NUMBER) | (largest < 1 / MAX_NUMBER)
    chosen = extreme[:, 0]
    rows[chosen] /= largest[chosen]
    return rows


def check_rows(vectors: NDArray[np.floating], first_row: int = 0) -> None:
    """Refuse rows that no search could rank: one infinite row would be first for every query.

    Raises:
        InvalidVectorError: Names the first row that is NaN, infinite or zero.
    """
    lengths = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float32)
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(bad):
        raise InvalidVectorError(f"row {first_row + int(bad[0])} is NaN, infinite or zero")


def check_search(k: int, allowed: NDArray[np.bool_] | None, rows: int) -> None:
    """Refuse a k that is absurd, and a mask that is not one bool per row.

    Raises:
        ValueError: Says which.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if k > max(rows, MAX_K):
        raise ValueError(f"k is {k}, the index has {rows} rows; ask for at most {MAX_K}")
    if allowed is not None and (allowed.shape != (rows,) or allowed.dtype != np.bool_):
        raise ValueError(
            f"the mask is {allowed.dtype} of shape {allowed.shape}, expected bool, "
            f"one for each of {rows} rows"
        )


def padded(scores: Scores, ids: Ids, k: int) -> tuple[Scores, Ids]:
    """Widen answers to k columns with -inf and -1."""
    missing = k - scores.shape[1]
    if missing <= 0:
        return scores[:, :k], ids[:, :k]
    width = ((0, 0), (0, missing))
    return (
        np.pad(scores, width, constant_values=-np.inf),
        np.pad(ids, width, constant_values=-1),
    )
