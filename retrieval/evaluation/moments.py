"""Moment metrics, one definition each; their blind floors stand in `blind`.

Definitions are those of QVHighlights' evaluator (Lei, Berg and Bansal, 2021, arXiv 2107.09609),
to the last bit of its arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from retrieval.localization.spans import Span, overlap

Floats = NDArray[np.float64]
F = TypeVar("F", bound=np.floating[Any])

IOU_THRESHOLDS: Final = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""0.5, 0.55 … 0.95, over which mAP is averaged."""

LENGTHS: Final = {"short": (0, 10), "middle": (10, 30), "long": (30, 150)}
"""Lengths of true windows in seconds: longer than the first number, at most the second."""


def hull_iou(predicted: NDArray[F], true: NDArray[F]) -> NDArray[F]:
    """Intersection over the hull of two windows: from the first start to the last end.

    For windows that overlap the hull is the union; for others the value is 0 either way. The two
    ways to compute it differ in the last bit, which decides windows on a threshold: R1 and TVR's
    evaluator use this one. Two equal windows without length give 0.

    Args:
        predicted: (…, 2) starts and ends, of any shape that broadcasts with `true`.
        true: (…, 2).
    """
    starts, ends = (predicted[..., 0], true[..., 0]), (predicted[..., 1], true[..., 1])
    with np.errstate(all="ignore"):
        shared = np.maximum(0, np.minimum(*ends) - np.maximum(*starts))
        hull = np.maximum(*ends) - np.minimum(*starts)
        quotient: NDArray[F] = np.divide(shared, hull, out=np.zeros_like(shared), where=hull != 0)
        return quotient


def union_iou(predicted: NDArray[F], true: NDArray[F]) -> NDArray[F]:
    """Intersection over the sum of both lengths less the intersection.

    mAP uses it to match windows, and R1 to choose the true window, see `hull_iou`. Two windows
    without length give NaN, which the evaluator takes for a match.

    Args:
        predicted: (…, 2) starts and ends, of any shape that broadcasts with `true`.
        true: (…, 2).
    """
    starts, ends = (predicted[..., 0], true[..., 0]), (predicted[..., 1], true[..., 1])
    with np.errstate(all="ignore"):
        shared = np.maximum(np.minimum(*ends) - np.maximum(*starts), 0)
        union = (ends[0] - starts[0]) + (ends[1] - starts[1]) - shared
        quotient: NDArray[F] = shared / union
        return quotient


def best_overlaps(predicted: Floats, true: Floats) -> Floats:
    """Hull IoU of every predicted window with the true window that it overlaps most.

    The first one makes R1@IoU (`>=` the threshold) and, averaged, mIoU; any of the first k makes
    R@k@IoU. The first is the first in the list, not the best-scored.

    Args:
        predicted: (predictions, 2 or more) starts and ends, in the order of the list.
        true: (windows, 2), at least one.

    Returns:
        (predictions,).
    """
    chosen = true[union_iou(predicted[:, None], true[None]).argmax(axis=1)]
    return hull_iou(predicted, chosen)


def moment_average_precision(
    predicted: Floats, true: Floats, thresholds: Sequence[float] = IOU_THRESHOLDS
) -> Floats:
    """Average precision of one query's windows at each IoU threshold; mean: mAP@IoU.

    Best score first (equal ones in the order of the list), every window takes the true window
    that it overlaps most of those that are left, if their IoU reaches the threshold; all others
    are wrong. Precision is interpolated, as VOC 2011 has it. The evaluator reads the first ten
    windows of the list: cut before.

    Args:
        predicted: (predictions, 3) starts, ends and scores.
        true: (windows, 2), at least one.
        thresholds: (thresholds,).

    Returns:
        (thresholds,); 0 without predictions.
    """
    if not len(true):
        raise ValueError("a query without a true window has no average precision")
    if not len(predicted):
        return np.zeros(len(thresholds))
    order = np.argsort(-predicted[:, 2], kind="stable")
    right = _matched(union_iou(predicted[order, None], true[None]), np.asarray(thresholds))
    found = right.cumsum(axis=1)
    edge = np.zeros((len(right), 1))
    precision = np.hstack([found / np.arange(1, len(predicted) + 1), edge])
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    steps = np.diff(np.hstack([edge, found / len(true), edge + 1]), axis=1)
    # Summed one by one, without the zeros between: NumPy's sum depends on how many there are.
    return np.array([
        np.sum(step[step != 0] * best[step != 0])
        for step, best in zip(steps, best_from_here, strict=True)
    ])  # fmt: skip


def _matched(iou: Floats, thresholds: Floats) -> NDArray[np.bool_]:
    """(thresholds, predictions): which predictions get a true window, one each, in their order."""
    left = np.ones((len(thresholds), iou.shape[1]), dtype=bool)
    right = np.zeros((len(thresholds), iou.shape[0]), dtype=bool)
    # The default sort, as the evaluator's: it decides between true windows overlapped equally.
    nearest = iou.argsort(axis=1)[:, ::-1]
    for prediction, candidates in enumerate(nearest):
        looking = np.ones(len(thresholds), dtype=bool)
        for window in candidates:
            looking &= ~(iou[prediction, window] < thresholds)
            taken = looking & left[:, window]
            left[taken, window] = False
            right[taken, prediction] = True
            looking &= ~taken
    return right


def windows_of_length(true: Floats, shortest: float, longest: float) -> Floats:
    """The true windows longer than `shortest` and at most `longest` seconds: (windows, 2).

    Scores by length leave out the other true windows of a query: a prediction that finds one of
    them counts as wrong there.
    """
    length = true[:, 1] - true[:, 0]
    return true[(length > shortest) & (length <= longest)]


def recall_at_1(predicted: Sequence[Span | None], true: Sequence[Span], iou: float) -> float:
    """Share of queries whose first predicted span overlaps the true one with at least `iou`.

    Papers print this as R1@iou. None stands for a query without a prediction, and is a miss.
    """
    hits = [
        span is not None and overlap(span, truth) >= iou
        for span, truth in zip(predicted, true, strict=True)
    ]
    return float(np.mean(hits))
