"""Moment metrics, bit-identical to QVHighlights' evaluator (Lei et al., 2021, arXiv 2107.09609).

`blind` has their blind baselines.
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
"""0.5, 0.55 … 0.95; mAP is the average over them."""

LENGTHS: Final = {"short": (0, 10), "middle": (10, 30), "long": (30, 150)}
"""Ranges of the length of true windows in seconds: (exclusive, inclusive)."""


def hull_iou(predicted: NDArray[F], true: NDArray[F]) -> NDArray[F]:
    """Return the intersection of two windows over their hull, from the first start to the last end.

    The value equals `union_iou` except for the last bit, which matters for windows on a threshold.
    R1 and TVR's evaluator use this function. Two equal windows of length zero give 0.

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
    """Return the intersection of two windows over the sum of their lengths minus the intersection.

    mAP uses it to match windows, and R1 to select the true window, see `hull_iou`. Two windows of
    length zero give NaN, which the evaluator treats as a match.

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
    """Return the hull IoU of each predicted window with the true window that it overlaps most.

    The first value gives R1@IoU (`>=` the threshold) and its mean mIoU; the maximum of the first k
    gives R@k@IoU. The order is that of the list, not of the scores.

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
    """Return the average precision of one query's windows at each IoU threshold; mean: mAP@IoU.

    In descending order of score (ties in list order), each window is matched with the unmatched
    true window that it overlaps most, if their IoU reaches the threshold; other windows are
    incorrect. Precision is interpolated as in VOC 2011. The evaluator only reads the first ten
    windows of the list; cut the list accordingly.

    Args:
        predicted: (predictions, 3) starts, ends and scores.
        true: (windows, 2), at least one.
        thresholds: (thresholds,).

    Returns:
        (thresholds,); 0 without predictions.

    Raises:
        ValueError: There is no true window.
    """
    if not len(true):
        raise ValueError("a query without a true window has no average precision")
    if not len(predicted):
        return np.zeros(len(thresholds))
    order = np.argsort(-predicted[:, 2], kind="stable")
    correct = _match(union_iou(predicted[order, None], true[None]), np.asarray(thresholds))
    hits = correct.cumsum(axis=1)
    edge = np.zeros((len(correct), 1))
    precision = np.hstack([hits / np.arange(1, len(predicted) + 1), edge])
    interpolated = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    steps = np.diff(np.hstack([edge, hits / len(true), edge + 1]), axis=1)
    # Zeros are omitted because they change the rounding of NumPy's sum.
    return np.array([
        np.sum(step[step != 0] * best[step != 0])
        for step, best in zip(steps, interpolated, strict=True)
    ])  # fmt: skip


def _match(iou: Floats, thresholds: Floats) -> NDArray[np.bool_]:
    """Match predictions greedily with distinct true windows.

    Args:
        iou: (predictions, windows).
        thresholds: (thresholds,).

    Returns:
        (thresholds, predictions) bool: which predictions are matched.
    """
    available = np.ones((len(thresholds), iou.shape[1]), dtype=bool)
    matched = np.zeros((len(thresholds), iou.shape[0]), dtype=bool)
    # The default sort, like the evaluator's, determines the order of equal overlaps.
    nearest = iou.argsort(axis=1)[:, ::-1]
    for prediction, windows in enumerate(nearest):
        unmatched = np.ones(len(thresholds), dtype=bool)
        for window in windows:
            unmatched &= ~(iou[prediction, window] < thresholds)
            new = unmatched & available[:, window]
            available[new, window] = False
            matched[new, prediction] = True
            unmatched &= ~new
    return matched


def windows_of_length(true: Floats, shortest: float, longest: float) -> Floats:
    """Return the true windows longer than `shortest` and at most `longest` seconds, (windows, 2).

    Metrics by length ignore the other true windows of a query, so a prediction that finds one of
    them counts as incorrect.
    """
    length = true[:, 1] - true[:, 0]
    return true[(length > shortest) & (length <= longest)]


def recall_at_1(predicted: Sequence[Span | None], true: Sequence[Span], iou: float) -> float:
    """Return the share of queries whose first predicted span reaches an IoU with the true one.

    Papers call this R1@IoU. None marks a query without a prediction, which is a miss.
    """
    hits = [
        span is not None and overlap(span, truth) >= iou
        for span, truth in zip(predicted, true, strict=True)
    ]
    return float(np.mean(hits))
