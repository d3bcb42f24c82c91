"""Moments of known videos, in QVHighlights' files: what its evaluator computes of them.

A query may stand on several lines. The evaluator then takes the windows of all of them for mAP,
and the last line alone for R1.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
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

Windows = NDArray[np.float64]

MOST_WINDOWS = 10
"""How many windows of a line are read."""


@dataclass(frozen=True, slots=True)
class MomentQuery:
    """The windows of a query.

    Attributes:
        predicted: For each line, (windows, 3) starts, ends and scores.
        true: For each line, (windows, 2); no line is empty.
    """

    predicted: Sequence[Windows]
    true: Sequence[Windows]

    def of_length(self, shortest: float, longest: float) -> MomentQuery | None:
        """The query with its true windows of one range of lengths; None where there are none."""
        kept = [windows_of_length(line, shortest, longest) for line in self.true]
        kept = [line for line in kept if len(line)]
        return MomentQuery(self.predicted, kept) if kept else None

    def average_precision(self) -> Windows:
        """(thresholds,) of 0.5 … 0.95."""
        return moment_average_precision(
            np.concatenate(self.predicted), np.concatenate(self.true), IOU_THRESHOLDS
        )

    def overlaps(self) -> Windows:
        """(windows,) IoU of every predicted window with the true window that it is nearest to."""
        return best_overlaps(self.predicted[-1], self.true[-1])


def read_queries(
    predicted: dict[Hashable, list[Record]],
    true: dict[Hashable, list[Record]],
    *,
    need_windows: bool,
) -> list[MomentQuery]:
    """Pair the lines of both files, in the order of the predictions.

    Args:
        predicted: Lines of every query; the queries are those of `true`.
        true: Lines of every query.
        need_windows: Refuse a prediction without a window.

    Raises:
        SourceError: A line's windows cannot be used.
    """
    return [
        MomentQuery(
            [_predicted_windows(line, need=need_windows) for line in lines],
            [_true_windows(line) for line in true[key]],
        )
        for key, lines in predicted.items()
    ]


def _predicted_windows(line: Record, *, need: bool) -> Windows:
    name = "pred_relevant_windows"
    windows = line.items(name)
    if need and not windows:
        raise SourceError(f"{line.where}: {name!r} is empty; the official evaluator stops here too")
    return line.windows(name, windows[:MOST_WINDOWS], 3)


def _true_windows(line: Record) -> Windows:
    name = "relevant_windows"
    windows = line.windows(name, line.items(name), 2)
    if not len(windows):
        raise SourceError(f"{line.where}: {name!r} is empty: the query has no answer")
    return windows


def mean_average_precision(queries: Sequence[MomentQuery]) -> dict[str, float]:
    """Mean AP in percent at every threshold, and `average`, that of the unrounded ones."""
    values = np.array([query.average_precision() for query in queries]).mean(axis=0)
    named = dict(zip(map(str, IOU_THRESHOLDS), values, strict=True))
    return {name: percent(value) for name, value in {**named, "average": np.mean(values)}.items()}


def recall_at_1(
    overlaps: Sequence[float], thresholds: Iterable[float] = IOU_THRESHOLDS
) -> dict[str, float]:
    """R1 in percent at every threshold, of the IoU of every query's first window."""
    first = np.asarray(overlaps)
    return {str(threshold): percent(np.mean(first >= threshold)) for threshold in thresholds}


def percent(share: Any) -> float:
    """Per cent with two decimals, rounded from the exact binary value as `format` does."""
    return float(f"{100 * share:.2f}")


def note_oddities(
    predicted: dict[Hashable, list[Record]],
    true: dict[Hashable, list[Record]],
    queries: Sequence[MomentQuery],
    note: Callable[[str], None],
) -> None:
    """Tell what is odd about the windows, and what becomes of it."""
    lines = [line for found in predicted.values() for line in found]
    counted = [len(line["pred_relevant_windows"]) for line in lines]
    windows = [line for query in queries for line in query.predicted]
    found = {
        f"with fewer than {MOST_WINDOWS} windows: scored as they are": sum(
            count < MOST_WINDOWS for count in counted
        ),
        f"with more than {MOST_WINDOWS} windows: the first {MOST_WINDOWS} of the list count": sum(
            count > MOST_WINDOWS for count in counted
        ),
        "with windows of equal scores: the order of the list decides": sum(
            len(np.unique(line[:, 2])) < len(line) for line in windows
        ),
        "with windows that end at or before their start": sum(
            bool((line[:, 1] <= line[:, 0]).any()) for line in windows
        ),
    }
    for what, count in found.items():
        if count:
            note(f"{count} of {len(lines)} predictions {what}")
    for name, file in (("predictions", predicted), ("true moments", true)):
        several = sum(len(records) > 1 for records in file.values())
        if several:
            note(
                f"the {name} have several lines for {several} of {len(file)} queries: "
                "mAP takes the windows of all of them, all else the last line"
            )
