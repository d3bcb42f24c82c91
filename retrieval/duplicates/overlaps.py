"""Which seconds of two recordings or videos match: runs of matching segments, joined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.types import TimedRows

LONGEST_STEP = 2
"""Segments from one match of a run to the next: one segment that does not match is bridged."""

AT_THE_SAME_PACE = np.array([0.0, 5e-3, 0.0], np.float32)
"""What the very next segment has ahead of the one at hand and the one after it: in a still scene
all three match alike, and the run would stay behind."""

ROWS_AT_ONCE = 1_024
"""Segments scored at once, so that two recordings of ten hours need no quadratic memory."""


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
        """The same, as the other item sees it."""
        return Overlap(
            self.other_start_seconds,
            self.other_end_seconds,
            self.start_seconds,
            self.end_seconds,
            self.score,
        )


@dataclass(slots=True)
class _Run:
    """Matching rows that follow each other in both items."""

    rows: list[int]
    others: list[int]
    scores: list[float]

    def goes_on(self, row: int, score_of: NDArray[np.float32], threshold: float) -> int | None:
        """The other item's row that continues the run at `row`; None where none does.

        Segments of the two need not begin at the same moments, so the other item may stay at a
        segment, or pass one.
        """
        step = row - self.rows[-1]
        first = self.others[-1] + step - 1
        near = score_of[first : first + 3]
        if step > LONGEST_STEP or not len(near) or near.max() < threshold:
            return None
        paced = np.where(near >= threshold, near + AT_THE_SAME_PACE[: len(near)], -np.inf)
        return first + int(paced.argmax())

    def add(self, row: int, other: int, score: float) -> None:
        self.rows.append(row)
        self.others.append(other)
        self.scores.append(score)


def find_overlaps(
    item: TimedRows, other: TimedRows, threshold: float, min_seconds: float
) -> tuple[list[Overlap], float]:
    """Find the spans of two items that match.

    Each segment of the first takes the best of the second's segments, or the one that goes on where
    the segment before matched, so that a still scene does not tear a run apart.

    Args:
        item: Segments of one medium in order of time; better the shorter of the two.
        other: Likewise, in the same space.
        threshold: Least cosine of two segments that match.
        min_seconds: Least length of a span, or that of the whole item where it is shorter.

    Returns:
        The spans in order of time, and the share of the item's segments that match in them.
    """
    length = float(item.end_seconds[-1] - item.start_seconds[0])
    least = min(min_seconds, length) - 1e-3
    overlaps, matching = [], 0
    for run in _runs(item.vectors, other.vectors, threshold):
        start, end = item.start_seconds[run.rows[0]], item.end_seconds[run.rows[-1]]
        if end - start < least:
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
) -> Iterator[_Run]:
    run: _Run | None = None
    for first in range(0, len(vectors), ROWS_AT_ONCE):
        scores = vectors[first : first + ROWS_AT_ONCE] @ others.T
        for place in np.flatnonzero(scores.max(axis=1) >= threshold).tolist():
            row, score_of = first + place, scores[place]
            following = run.goes_on(row, score_of, threshold) if run else None
            if run is None or following is None:
                if run is not None:
                    yield run
                run, following = _Run([], [], []), int(score_of.argmax())
            run.add(row, following, float(score_of[following]))
    if run is not None:
        yield run
