"""Reads the vectors of one item in order of time: its segments, or the frames of a video."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from retrieval.search.member import WantedRows
from retrieval.search.open_space import Part
from retrieval.store.reader import Snapshot
from retrieval.store.schema import MEDIUM_CODES
from retrieval.types import Frames, Medium, TimedRows


def part_of(parts: Iterable[Part], item_id: int, medium: Medium) -> Part | None:
    """Return the part that has segments of an item and medium; None if there are none."""
    code = MEDIUM_CODES.index(medium)
    for part in parts:
        if (part.rows.media[part.item_rows(item_id)] == code).any():
            return part
    return None


def read_timed_rows(snapshot: Snapshot, parts: Iterable[Part], wanted: WantedRows) -> TimedRows:
    """Read the frames of an item if they are wanted and stored, else its segments.

    Args:
        snapshot: The generation; contains the frames of videos.
        parts: The parts of the space.
        wanted: The item.

    Returns:
        No rows for an item without segments of the medium.
    """
    part = part_of(parts, wanted.item_id, wanted.medium)
    if part is None:
        return TimedRows(np.empty(0), np.empty(0), np.empty((0, 0), np.float32))
    segments = segment_rows(part, wanted.item_id, MEDIUM_CODES.index(wanted.medium))
    if wanted.reads_frames:
        frames = snapshot.item_frames(wanted.space, wanted.item_id)
        if frames is not None:
            return frame_rows(frames, float(segments.end_seconds[-1]))
    return segments


def frame_rows(frames: Frames, end_seconds: float) -> TimedRows:
    """Convert frames to contiguous spans with borders half-way between two frames.

    The first span starts at 0; the last one ends with the video.
    """
    seconds = frames.seconds.astype(np.float64)
    borders = (seconds[1:] + seconds[:-1]) / 2
    return TimedRows(
        np.concatenate([seconds[:1] * 0, borders]),
        np.concatenate([borders, np.maximum(seconds[-1:], end_seconds)]),
        frames.vectors,
    )


def segment_rows(part: Part, item_id: int, medium: int) -> TimedRows:
    """Read the segments of one item and medium code."""
    rows = part.item_rows(item_id)
    mask: NDArray[np.bool_] = part.rows.media[rows] == medium
    return TimedRows(
        part.rows.start_seconds[rows][mask].astype(np.float64),
        part.rows.end_seconds[rows][mask].astype(np.float64),
        part.vectors(rows)[mask],
    )
