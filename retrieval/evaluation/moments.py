"""Moment metrics, one definition each; their blind floors stand in `blind`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retrieval.localization.spans import Span, overlap


def recall_at_1(predicted: Sequence[Span | None], true: Sequence[Span], iou: float) -> float:
    """Share of queries whose first predicted span overlaps the true one with at least `iou`.

    Papers print this as R1@iou. None stands for a query without a prediction, and is a miss.
    """
    hits = [
        span is not None and overlap(span, truth) >= iou
        for span, truth in zip(predicted, true, strict=True)
    ]
    return float(np.mean(hits))
