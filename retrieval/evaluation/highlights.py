"""Highlight metrics of QVHighlights, one definition each: which clips of a video are the best.

Annotators mark every two-second clip from 0 (very bad) to 4 (very good); what lies in no marked
clip is 0. A clip counts as a highlight for an annotator whose mark reaches a threshold. (Lei, Berg
and Bansal, 2021, arXiv 2107.09609; its evaluator fixes the details.)
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

CLIP_SECONDS: Final = 2
"""Length of a marked clip."""

THRESHOLDS: Final = {"Fair": 2, "Good": 3, "VeryGood": 4}
"""The lowest mark of a highlight, by the name of the level."""


def highlight_average_precision(highlights: NDArray[np.bool_], scores: NDArray[Any]) -> float:
    """Average precision of one annotator's highlights of one video; mean: HL-mAP.

    The precision at each depth where a further highlight is found, raised to the best precision
    at any greater depth, and averaged over those depths. Clips of equal scores are taken
    together, so several highlights among them count as one depth, and the average is over fewer
    numbers than there are highlights: that is the evaluator's, and no other average precision.
    Without a highlight it is 0, and where every clip is one it is 1, whatever the scores.

    Args:
        highlights: (clips,) bool.
        scores: (clips,) finite, higher is better; see `fit_to_clips`.
    """
    if not highlights.any():
        return 0.0
    if highlights.all():
        return 1.0
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    found = np.cumsum(highlights[order])[ends]
    precision = np.maximum.accumulate((found / (ends + 1))[::-1])
    # From the greatest depth to the first, as the evaluator sums them: its last digit shows it.
    more = np.diff(found, prepend=0)[::-1] > 0
    return float(np.mean(precision[more]))


def hit_at_1(highlights: NDArray[np.bool_], scores: NDArray[Any]) -> bool:
    """Whether the best-scored clip is a highlight for any of the annotators; mean: HIT@1.

    The first of several best clips counts. A clip beyond the video's end is a miss.

    Args:
        highlights: (clips, annotators) bool.
        scores: Of the clips, as they were predicted: not cut or padded.
    """
    best = int(np.argmax(scores))
    return best < len(highlights) and bool(highlights[best].any())


def fit_to_clips(scores: NDArray[Any], clips: int) -> NDArray[Any]:
    """Scores for exactly so many clips: further ones are cut off, missing ones are 0.

    A missing clip may so stand above predicted ones, whose scores can be negative.
    """
    fitted = np.zeros(clips, scores.dtype)
    fitted[: len(scores)] = scores[:clips]
    return fitted
