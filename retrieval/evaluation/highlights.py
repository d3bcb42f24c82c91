"""Highlight metrics, following QVHighlights' evaluator (Lei et al., 2021, arXiv 2107.09609).

Annotators rate two-second clips from 0 (very bad) to 4 (very good); clips without a rating count as
0. A clip is a highlight for an annotator whose rating reaches a threshold.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

CLIP_SECONDS: Final = 2
"""Length of a rated clip."""

THRESHOLDS: Final = {"Fair": 2, "Good": 3, "VeryGood": 4}
"""Minimum rating of a highlight by level."""


def highlight_average_precision(highlights: NDArray[np.bool_], scores: NDArray[Any]) -> float:
    """Return the average precision of one annotator's highlights of one video; mean: HL-mAP.

    Averages the interpolated precision over the depths at which a further highlight is found.
    Clips with equal scores share one depth, so several highlights among them count once; this is
    specific to the evaluator. The result is 0 without a highlight and 1 if all clips are
    highlights.

    Args:
        highlights: (clips,) bool.
        scores: (clips,) finite, see `fit_to_clips`.
    """
    if not highlights.any():
        return 0.0
    if highlights.all():
        return 1.0
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    found = np.cumsum(highlights[order])[ends]
    precision = np.maximum.accumulate((found / (ends + 1))[::-1])
    # In descending order of depth, as the evaluator sums them, to match its last digit.
    more = np.diff(found, prepend=0)[::-1] > 0
    return float(np.mean(precision[more]))


def hit_at_1(highlights: NDArray[np.bool_], scores: NDArray[Any]) -> bool:
    """Return whether the best clip is a highlight for any annotator; mean: HIT@1.

    The first of several best clips counts. A clip beyond the end of the video is a miss.

    Args:
        highlights: (clips, annotators) bool.
        scores: The predicted scores, neither cut nor padded.
    """
    best = int(np.argmax(scores))
    return best < len(highlights) and bool(highlights[best].any())


def fit_to_clips(scores: NDArray[Any], clips: int) -> NDArray[Any]:
    """Cut or zero-pad scores to a number of clips.

    Predicted scores can be negative, so a padded clip may rank above predicted ones.
    """
    fitted = np.zeros(clips, scores.dtype)
    fitted[: len(scores)] = scores[:clips]
    return fitted
