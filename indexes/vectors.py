"""Argument checks shared by all indexes: vectors, queries, `k` and masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from indexes.errors import DimensionMismatchError, InvalidVectorError
from indexes.protocol import Ids, Scores

UNIT_ROUNDING = 2.0**-23
"""Maximum deviation from 1 of the length of a unit vector rounded to float32."""

MAX_NUMBER = 1e100
"""Vectors with a larger number, or with none above the inverse, are scaled before squaring."""

MAX_K = 1_000_000
"""Maximum k for indexes with fewer rows; bounds the padding."""


def unit_queries(queries: NDArray[np.floating], dim: int) -> NDArray[np.float32]:
    """Scale queries to unit length as contiguous float32; float32 unit vectors do not change.

    Args:
        queries: (queries, dim) of any float dtype and layout.
        dim: Dimension of the index.

    Raises:
        DimensionMismatchError: The queries have another dimension.
        InvalidVectorError: A query is NaN, infinite or zero, or the array is not a numeric matrix.
    """
    array = np.asarray(queries)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InvalidVectorError(
            f"queries must be a (queries, dim) matrix of numbers, "
            f"got shape {array.shape} of {array.dtype}"
        )
    if array.shape[1] != dim:
        raise DimensionMismatchError(
            f"queries are {array.shape[1]}-d, the index holds {dim}-d vectors; "
            "use the encoder of the index"
        )
    rows = array.astype(np.float64)
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not ((lengths > 1 / MAX_NUMBER) & (lengths < MAX_NUMBER)).all():
        lengths = np.linalg.norm(scale_extremes(rows), axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)))
    if len(bad):
        raise InvalidVectorError(f"query {bad[0]} is NaN, infinite or zero")
    if array.dtype == np.float32:
        # Scaling is idempotent, so all code paths compute equal scores.
        lengths[np.abs(lengths - 1) <= UNIT_ROUNDING] = 1
    return np.ascontiguousarray(rows / lengths, dtype=np.float32)


def scale_extremes(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale rows (n, dim) whose squares would overflow or underflow to a maximum of 1, in place."""
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    extreme = np.isfinite(largest) & (largest > 0)
    extreme &= (largest > MAX_NUMBER) | (largest < 1 / MAX_NUMBER)
    positions = extreme[:, 0]
    rows[positions] /= largest[positions]
    return rows


def check_rows(vectors: NDArray[np.floating], first_row: int = 0) -> None:
    """Refuse rows that cannot be ranked; an infinite row would be the best answer to any query.

    Raises:
        InvalidVectorError: A row is NaN, infinite or zero; the message names the first one.
    """
    lengths = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float32)
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(bad):
        raise InvalidVectorError(f"row {first_row + int(bad[0])} is NaN, infinite or zero")


def check_search(k: int, allowed: NDArray[np.bool_] | None, rows: int) -> None:
    """Check the arguments of a search.

    Raises:
        ValueError: k is out of range, or the mask is not one bool per row.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if k > max(rows, MAX_K):
        raise ValueError(f"k is {k}, the index has {rows} rows; use at most {MAX_K}")
    if allowed is not None and (allowed.shape != (rows,) or allowed.dtype != np.bool_):
        raise ValueError(
            f"the mask is {allowed.dtype} of shape {allowed.shape}, expected bool, "
            f"one for each of {rows} rows"
        )


def no_answers(queries: int, k: int) -> tuple[Scores, Ids]:
    """Return answers of padding only, (queries, k)."""
    return np.full((queries, k), -np.inf, np.float32), np.full((queries, k), -1, np.int64)


def pad_answers(scores: Scores, ids: Ids, k: int) -> tuple[Scores, Ids]:
    """Extend answers to k columns with -inf and -1, or cut them to k columns."""
    missing = k - scores.shape[1]
    if missing <= 0:
        return scores[:, :k], ids[:, :k]
    width = ((0, 0), (0, missing))
    return (
        np.pad(scores, width, constant_values=-np.inf),
        np.pad(ids, width, constant_values=-1),
    )
