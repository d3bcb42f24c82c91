"""Finds the matching spans of two recordings or videos by joining runs of matching segments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.types import TimedRows

MAX_STEP = 2
"""Maximum distance in segments between matches of a run; bridges one segment without a match."""

PACE_BONUS = np.array([0.0, 5e-3, 0.0], np.float32)
"""Added to the scores of the previous, the expected and the following segment of the other item: in
a still scene all three match equally, and the run would fall behind."""

BLOCK_ROWS = 1_024
"""Segments scored at once; bounds memory for long recordings."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """[start, end) of one item matches [other_start, other_end) of another.

    `score` is the mean cosine of the matching segments.
    """

    start_seconds: float
    end_seconds: float
    other_start_seconds: float
    other_end_seconds: float
    score: float

    def mirrored(self) -> Overlap:
        """Return the overlap from the perspective of the other item."""
        return Overlap(
            self.other_start_seconds,
            self.other_end_seconds,
            self.start_seconds,
            self.end_seconds,
            self.score,
        )


@dataclass(slots=True)
class _MatchRun:
    """Matching rows that are consecutive in both items."""

    rows: list[int]
    others: list[int]
    scores: list[float]

    def continuation(self, row: int, scores: NDArray[np.float32], threshold: float) -> int | None:
        """Return the other item's row that continues the run at `row`; None if there is none.

        The segments of the two items may be offset, so the other item may repeat or skip one.
        """
        step = row - self.rows[-1]
        first = self.others[-1] + step - 1
        near = scores[first : first + 3]
        if step > MAX_STEP or not len(near) or near.max() < threshold:
            return None
        paced = np.where(near >= threshold, near + PACE_BONUS[: len(near)], -np.inf)
        return first + int(paced.argmax())

    def add(self, row: int, other: int, score: float) -> None:
        self.rows.append(row)
        self.others.append(other)
        self.scores.append(score)


def find_overlaps(
    item: TimedRows, other: TimedRows, threshold: float, min_seconds: float
) -> tuple[list[Overlap], float]:
    """Find the matching spans of two items.

    Each segment is matched with the segment of the other item that continues the current run, or
    else with the most similar one, so that a still scene does not break a run.

    Args:
        item: Segments of one medium in order of time; preferably the shorter item.
        other: Likewise, in the same space.
        threshold: Minimum cosine of two matching segments.
        min_seconds: Minimum length of a span; a shorter item must match completely.

    Returns:
        The spans in order of time, and the share of the item's segments that match in them.
    """
    length = float(item.end_seconds[-1] - item.start_seconds[0])
    min_length = min(min_seconds, length) - 1e-3
    overlaps, matching = [], 0
    for run in _runs(item.vectors, other.vectors, threshold):
        start, end = item.start_seconds[run.rows[0]], item.end_seconds[run.rows[-1]]
        if end - start < min_length:
            continue
        matching += len(run.rows)
        overlaps.append(
            Overlap(
                float(start),
                float(end),
                float(other.start_seconds[run.others[0]]),
                float(other.end_seconds[run.others[-1]]),
                float(np.mean(run.scores)),
            )
        )
    return overlaps, matching / len(item.vectors)


def _runs(
    vectors: NDArray[np.float32], others: NDArray[np.float32], threshold: float
) -> Iterator[_MatchRun]:
    run: _MatchRun | None = None
    for first in range(0, len(vectors), BLOCK_ROWS):
        block_scores = vectors[first : first + BLOCK_ROWS] @ others.T
        for position in np.flatnonzero(block_scores.max(axis=1) >= threshold).tolist():
            row, scores = first + position, block_scores[position]
            other = run.continuation(row, scores, threshold) if run else None
            if run is None or other is None:
                if run is not None:
                    yield run
                run, other = _MatchRun([], [], []), int(scores.argmax())
            run.add(row, other, float(scores[other]))
    if run is not None:
        yield run
