"""Moment retrieval in a corpus, one definition for each of TVR's three tasks.

| task | a prediction is right where | which ones are counted |
| --- | --- | --- |
| VCMR, corpus moments | video and span are | all |
| SVMR, moments of the true video | span is | those on the true video only |
| VR, videos | video is | all |

R@k is the share of queries with a right prediction among the first k that are counted. Overlaps
are not suppressed: near-copies of one moment use up ranks. (Lei et al., 2020, arXiv 2001.09099;
its evaluator fixes the details.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.evaluation.moments import hull_iou


@dataclass(frozen=True, slots=True)
class CorpusRanks:
    """Ranks of a query's first right prediction, from 1; infinity where there is none.

    Attributes:
        moment: (thresholds,) in the corpus (VCMR).
        moment_in_video: (thresholds,) among the predictions on the true video (SVMR).
        video: Of the true video (VR).
    """

    moment: NDArray[np.float64]
    moment_in_video: NDArray[np.float64]
    video: float


def corpus_ranks(
    on_true_video: NDArray[np.bool_],
    spans: NDArray[np.floating],
    true: NDArray[np.floating],
    thresholds: NDArray[np.floating],
    *,
    annotators: int = 1,
) -> CorpusRanks:
    """Where a query's first right predictions stand.

    A span is right where its IoU with the hull as the union, see `hull_iou`, is at least the
    threshold. TVR's evaluator computes it in float32, which decides spans on the threshold: give
    float32 arrays for its digits.

    Args:
        on_true_video: (predictions,) in the order of the ranking.
        spans: (predictions, 2) starts and ends in seconds.
        true: (windows, 2) of the true video.
        thresholds: (thresholds,) of the same dtype as the spans.
        annotators: How many of the true windows must agree (DiDeMo: 2 of 4).
    """
    iou = hull_iou(spans[:, None], true[None])
    agreeing = (iou[..., None] >= thresholds).sum(axis=1)
    right = (agreeing >= annotators) & on_true_video[:, None]
    return CorpusRanks(
        moment=_first_rank(right),
        moment_in_video=_first_rank(right[on_true_video]),
        video=float(_first_rank(on_true_video[:, None])[0]),
    )


def _first_rank(right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(thresholds,) rank of the first True in each column of (predictions, thresholds)."""
    if not len(right):
        return np.full(right.shape[1], np.inf)
    return np.where(right.any(axis=0), right.argmax(axis=0) + 1.0, np.inf)
