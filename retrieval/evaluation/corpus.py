"""Metrics of moment retrieval in a corpus, following TVR's evaluator.

| task | correct prediction | predictions counted |
| --- | --- | --- |
| VCMR, corpus moments | video and span are correct | all |
| SVMR, moments of the true video | span is correct | those on the true video |
| VR, videos | video is correct | all |

R@k is the share of queries with a correct prediction among the first k that are counted. Overlaps
are not suppressed, so near-copies of a moment use up ranks (Lei et al., 2020, arXiv 2001.09099).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.evaluation.moments import hull_iou


@dataclass(frozen=True, slots=True)
class CorpusRanks:
    """Rank of a query's first correct prediction, from 1, for each task; infinity if none.

    Attributes:
        moment: (thresholds,) VCMR.
        moment_in_video: (thresholds,) SVMR.
        video: VR.
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
    """Return the ranks of a query's first correct predictions.

    A span is correct if its `hull_iou` with a true window reaches the threshold. TVR's evaluator
    computes in float32, which matters for spans on the threshold: pass float32 arrays to reproduce
    its results.

    Args:
        on_true_video: (predictions,) bool in the order of the ranking.
        spans: (predictions, 2) starts and ends in seconds.
        true: (windows, 2) windows of the true video.
        thresholds: (thresholds,) of the same dtype as the spans.
        annotators: Number of true windows that must agree (DiDeMo: 2 of 4).
    """
    iou = hull_iou(spans[:, None], true[None])
    agreeing = (iou[..., None] >= thresholds).sum(axis=1)
    correct = (agreeing >= annotators) & on_true_video[:, None]
    return CorpusRanks(
        moment=_first_rank(correct),
        moment_in_video=_first_rank(correct[on_true_video]),
        video=float(_first_rank(on_true_video[:, None])[0]),
    )


def _first_rank(correct: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (thresholds,) the rank of the first True in each column."""
    if not len(correct):
        return np.full(correct.shape[1], np.inf)
    return np.where(correct.any(axis=0), correct.argmax(axis=0) + 1.0, np.inf)
