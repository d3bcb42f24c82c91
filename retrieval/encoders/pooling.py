"""Unit vectors, and video segments as means of their frames' vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import InvalidVectorError

MIN_LENGTH = 1e-12
"""A shorter vector has no meaningful direction."""

EDGE = 1e-6
"""Tolerance in clips: 0.3 / 0.1 < 3 in floating point, but a frame at 0.3 s starts clip 3."""


def unit_rows(rows: NDArray[np.floating], source: str) -> NDArray[np.float32]:
    """Scale each row to length 1.

    Args:
        rows: (n, dim).
        source: Origin of the rows, for messages.

    Returns:
        (n, dim) float32.

    Raises:
        InvalidVectorError: A row contains NaN or infinity, or has length zero.
    """
    exact = rows.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    invalid = np.flatnonzero(~(np.isfinite(lengths) & (lengths > MIN_LENGTH)))
    if len(invalid):
        fault = (
            "has length zero" if np.isfinite(lengths[invalid[0]]) else "contains NaN or infinity"
        )
        raise InvalidVectorError(
            f"{source}: vector {invalid[0]} of {len(rows)} {fault}; not stored"
        )
    return np.asarray(exact / lengths, np.float32)


def clip_positions(seconds: NDArray[np.float64], clip_seconds: float) -> NDArray[np.float64]:
    """Convert times to units of clips; the integer part is the index of the clip."""
    return seconds / clip_seconds + EDGE


def clip_ends(
    starts: NDArray[np.float64], clip_seconds: float, duration_seconds: float | None
) -> NDArray[np.float64]:
    """Return the ends of clips by their ascending starts; the last clip ends with the video."""
    ends = np.asarray(starts + clip_seconds, np.float64)
    if len(ends) and duration_seconds is not None and starts[-1] < duration_seconds < ends[-1]:
        ends[-1] = duration_seconds
    return ends


def pool_clips(
    seconds: NDArray[np.float64],
    vectors: NDArray[np.float32],
    clip_seconds: float,
    *,
    duration_seconds: float | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
    """Average the frames of each clip [i * clip_seconds, (i + 1) * clip_seconds) of a video.

    The mean of CLIP's frame vectors is the zero-shot baseline for text → video (CLIP4Clip,
    2104.08860). Clips without frames are left out.

    Args:
        seconds: (n,) ascending times of the frames.
        vectors: (n, dim) their unit vectors.
        clip_seconds: Length of a clip.
        duration_seconds: Length of the video, if known.

    Returns:
        Starts and ends, (clips,) float64, and vectors, (clips, dim) float32 of unit length.

    Raises:
        InvalidVectorError: The frames of a clip cancel out.
    """
    clip = np.floor(clip_positions(seconds, clip_seconds)).astype(np.int64)
    first = np.flatnonzero(np.diff(clip, prepend=-1))
    if not len(first):
        empty = np.empty(0, np.float64)
        return empty, empty, np.empty((0, vectors.shape[1]), np.float32)
    starts = np.asarray(clip[first] * clip_seconds, np.float64)
    # The sum has the mean's direction.
    sums = np.add.reduceat(vectors.astype(np.float64), first, axis=0)
    ends = clip_ends(starts, clip_seconds, duration_seconds)
    return starts, ends, unit_rows(sums, "mean of a clip's frames")
