"""Vectors after the model: unit length, and video segments as means of their frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import InvalidVectorError

SHORTEST = 1e-12
"""A vector below this length has no direction worth the name."""

EDGE = 1e-6
"""Clips: a frame this little before a border (0.3 / 0.1 < 3 in floating point) lies on it."""


def unit_rows(rows: NDArray[np.floating], what: str) -> NDArray[np.float32]:
    """Scale each row to length 1.

    Args:
        rows: (n, dim).
        what: What made the rows, for the message.

    Returns:
        (n, dim) float32.

    Raises:
        InvalidVectorError: A row holds NaN or infinity, or has no length.
    """
    exact = rows.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > SHORTEST)))
    if len(bad):
        kind = "has no length" if np.isfinite(lengths[bad[0]]) else "holds NaN or infinity"
        raise InvalidVectorError(f"{what}: vector {bad[0]} of {len(rows)} {kind}; not stored")
    return np.asarray(exact / lengths, np.float32)


def clip_positions(seconds: NDArray[np.float64], clip_seconds: float) -> NDArray[np.float64]:
    """Times in clips: their whole part is the number of the clip they lie in."""
    return seconds / clip_seconds + EDGE


def clip_ends(
    starts: NDArray[np.float64], clip_seconds: float, duration_seconds: float | None
) -> NDArray[np.float64]:
    """Where clips end, given their ascending starts; the last one ends where the video does."""
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
    2104.08860). A clip without frames is left out; the last clip ends where the video does.

    Args:
        seconds: (n,) ascending times of the frames.
        vectors: (n, dim) their unit vectors.
        clip_seconds: Length of a clip.
        duration_seconds: Length of the video, where it is known.

    Returns:
        Starts and ends, (clips,) float64, and vectors, (clips, dim) float32 of unit length.

    Raises:
        InvalidVectorError: The frames of a clip cancel each other out.
    """
    clip = np.floor(clip_positions(seconds, clip_seconds)).astype(np.int64)
    first = np.flatnonzero(np.diff(clip, prepend=-1))
    if not len(first):
        nothing = np.empty(0, np.float64)
        return nothing, nothing, np.empty((0, vectors.shape[1]), np.float32)
    starts = np.asarray(clip[first] * clip_seconds, np.float64)
    # The sum has the mean's direction.
    sums = np.add.reduceat(vectors.astype(np.float64), first, axis=0)
    ends = clip_ends(starts, clip_seconds, duration_seconds)
    return starts, ends, unit_rows(sums, "mean of a clip's frames")
