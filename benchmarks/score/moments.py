"""Moment metrics of the QVHighlights evaluator, for files in its format.

A query may have several lines. The evaluator then uses the windows of all lines for mAP, and only
the last line for R1.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.score.lines import Record
from retrieval.errors import SourceError
from retrieval.evaluation.moments import (
    IOU_THRESHOLDS,
    best_overlaps,
    moment_average_precision,
    windows_of_length,
)

logger = logging.getLogger(__name__)

Windows = NDArray[np.float64]

MAX_WINDOWS = 10
"""Number of windows of a line that count."""


@dataclass(frozen=True, slots=True)
class QueryWindows:
    """The windows of a query.

    Attributes:
        predicted: For each line, (windows, 3) starts, ends and scores.
        true: For each line, (windows, 2) starts and ends, at least one.
    """

    predicted: Sequence[Windows]
    true: Sequence[Windows]

    def of_length(self, shortest: float, longest: float) -> QueryWindows | None:
        """Keep true windows of a range of lengths; None if no window remains."""
        lines = [windows_of_length(line, shortest, longest) for line in self.true]
        lines = [line for line in lines if len(line)]
        return QueryWindows(self.predicted, lines) if lines else None

    def average_precision(self) -> Windows:
        """Compute the average precision at the IoU thresholds 0.5 … 0.95, (thresholds,)."""
        return moment_average_precision(
            np.concatenate(self.predicted), np.concatenate(self.true), IOU_THRESHOLDS
        )

    def overlaps(self) -> Windows:
        """Compute the highest IoU of each predicted window with a true window, (windows,)."""
        return best_overlaps(self.predicted[-1], self.true[-1])


def read_queries(
    predicted: dict[Hashable, list[Record]],
    true: dict[Hashable, list[Record]],
    *,
    need_windows: bool,
) -> list[QueryWindows]:
    """Pair the lines of both files, in the order of the predictions.

    Args:
        predicted: Lines of every query; the queries are those of `true`.
        true: Lines of every query.
        need_windows: Refuse a prediction without a window.

    Raises:
        SourceError: The windows of a line are malformed.
    """
    return [
        QueryWindows(
            [_predicted_windows(line, need=need_windows) for line in lines],
            [_true_windows(line) for line in true[key]],
        )
        for key, lines in predicted.items()
    ]


def _predicted_windows(line: Record, *, need: bool) -> Windows:
    name = "pred_relevant_windows"
    windows = line.items(name)
    if need and not windows:
        raise SourceError(
            f"{line.where}: {name!r} is empty (the official evaluator stops here too)"
        )
    return line.windows(name, windows[:MAX_WINDOWS], 3)


def _true_windows(line: Record) -> Windows:
    name = "relevant_windows"
    windows = line.windows(name, line.items(name), 2)
    if not len(windows):
        raise SourceError(f"{line.where}: {name!r} is empty: the query has no true window")
    return windows


def mean_average_precision(queries: Sequence[QueryWindows]) -> dict[str, float]:
    """Compute mAP in percent at each threshold, and the `average` of the unrounded values."""
    values = np.array([query.average_precision() for query in queries]).mean(axis=0)
    named = dict(zip(map(str, IOU_THRESHOLDS), values, strict=True))
    return {name: percent(value) for name, value in {**named, "average": np.mean(values)}.items()}


def recall_at_1(
    overlaps: Sequence[float], thresholds: Iterable[float] = IOU_THRESHOLDS
) -> dict[str, float]:
    """Compute R1 in percent at each threshold, from the IoU of each query's first window."""
    first = np.asarray(overlaps)
    return {str(threshold): percent(np.mean(first >= threshold)) for threshold in thresholds}


def percent(share: Any) -> float:
    """Convert to percent with two decimals, rounded like `format`."""
    return float(f"{100 * share:.2f}")


def log_unusual(
    predicted: dict[Hashable, list[Record]],
    true: dict[Hashable, list[Record]],
    queries: Sequence[QueryWindows],
) -> None:
    """Log unusual windows, and how they are scored."""
    lines = [line for records in predicted.values() for line in records]
    counts = [len(line["pred_relevant_windows"]) for line in lines]
    windows = [line for query in queries for line in query.predicted]
    remarks = {
        f"with fewer than {MAX_WINDOWS} windows: scored as they are": sum(
            count < MAX_WINDOWS for count in counts
        ),
        f"with more than {MAX_WINDOWS} windows: the first {MAX_WINDOWS} of the list count": sum(
            count > MAX_WINDOWS for count in counts
        ),
        "with windows of equal scores: the order of the list decides": sum(
            len(np.unique(line[:, 2])) < len(line) for line in windows
        ),
        "with windows that end at or before their start": sum(
            bool((line[:, 1] <= line[:, 0]).any()) for line in windows
        ),
    }
    for description, count in remarks.items():
        if count:
            logger.warning("%d of %d predictions %s", count, len(lines), description)
    for name, file in (("predictions", predicted), ("true moments", true)):
        several = sum(len(records) > 1 for records in file.values())
        if several:
            logger.warning(
                "the %s have several lines for %d of %d queries: mAP uses the windows of all "
                "lines, all other metrics the last line",
                name,
                several,
                len(file),
            )
