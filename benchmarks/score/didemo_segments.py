"""DiDeMo with its official protocol: rankings of spans of five-second segments.

Hendricks et al., 2017 (arXiv 1708.01641); `utils/eval.py` of the project LocalizingMoments. Four
or more annotators chose a span each; the three that agree best with a prediction count.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.score.lines import Record, as_record, read_json_list
from retrieval.errors import SourceError
from retrieval.evaluation.moments import hull_iou

logger = logging.getLogger(__name__)

COUNTED_ANNOTATORS: Final = 3
"""Number of annotators that count: those with the best ranks, and those with the highest IoU."""


def score(predictions: Path, truth: Path) -> dict[str, Any]:
    """Compute the metrics that the evaluator prints, rounded to six decimals.

    Args:
        predictions: JSON list with a ranking for each description of the truth, in its order. A
            ranking is a list of `[first, last]` segments from 0, both included.
        truth: JSON list of `{times}`, with a `[first, last]` of each annotator.

    Raises:
        SourceError: An entry is malformed, or an annotator's span is not in the ranking.
    """
    rankings = [
        Record(f"{predictions}, entry {number}", {"ranking": ranking})
        for number, ranking in enumerate(read_json_list(predictions), 1)
    ]
    described = [
        as_record(f"{truth}, entry {number}", value)
        for number, value in enumerate(read_json_list(truth), 1)
    ]
    pairs = list(zip(rankings, described, strict=False))
    if not pairs:
        raise SourceError(f"{predictions}: no description has a ranking")
    if len(rankings) != len(described):
        logger.warning(
            "%d rankings for %d descriptions: the first %d of both count",
            len(rankings),
            len(described),
            len(pairs),
        )
    scores = np.array([_rank_and_iou(ranking, line) for ranking, line in pairs])
    ranks, ious = scores.T
    values = {
        "Average rank@1": np.mean(ranks <= 1),
        "Average rank@5": np.mean(ranks <= 5),
        "Average iou": np.mean(ious),
    }
    return {name: float(f"{value:f}") for name, value in values.items()}


def _rank_and_iou(ranking: Record, line: Record) -> tuple[float, float]:
    """Average, over the annotators that count, the rank of their span and the first span's IoU."""
    spans, times = _spans(ranking, "ranking"), _spans(line, "times")
    same = (spans[None] == times[:, None]).all(axis=2)
    if not same.any(axis=1).all():
        missing = times[int(same.any(axis=1).argmin())].astype(int).tolist()
        raise SourceError(
            f"{ranking.where}: lacks the span {missing} of an annotator; rank all spans "
            "(the official evaluator stops here too)"
        )
    # A span includes its last segment.
    after = np.array([0.0, 1.0])
    ious = hull_iou(spans[0] + after, times + after)
    ranks = same.argmax(axis=1) + 1
    return float(np.mean(np.sort(ranks)[:COUNTED_ANNOTATORS])), float(
        np.mean(np.sort(ious)[-COUNTED_ANNOTATORS:])
    )


def _spans(entry: Record, name: str) -> NDArray[np.float64]:
    spans = entry.windows(name, entry.items(name), 2, exactly=True)
    if not len(spans):
        raise SourceError(f"{entry.where}: {name!r} is empty")
    return spans
