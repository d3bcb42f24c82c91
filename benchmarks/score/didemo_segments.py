"""DiDeMo by its own protocol: rankings of spans of five-second segments.

Hendricks et al., 2017 (arXiv 1708.01641); `utils/eval.py` of the project LocalizingMoments. Four
or more annotators chose a span each; the three that suit a prediction best count.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.score.lines import Record, as_record, read_json_list
from retrieval.errors import SourceError
from retrieval.evaluation.moments import hull_iou

COUNTED: Final = 3
"""How many annotators count: those of the best ranks, and those of the highest IoU."""


def score(predictions: Path, truth: Path, note: Callable[[str], None]) -> dict[str, Any]:
    """What the evaluator prints, by its names, with six decimals.

    Args:
        predictions: JSON: for each description of the truth, in its order, a ranking of
            `[first, last]` segments, both included, from 0.
        truth: JSON: a list of `{times}`, a `[first, last]` of each annotator.
        note: Takes lines about odd input.

    Raises:
        SourceError: An entry cannot be used, or an annotator's span is not in the ranking.
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
        note(f"{len(rankings)} rankings for {len(described)} descriptions: "
             f"the first {len(pairs)} of both count")  # fmt: skip
    scores = np.array([_rank_and_iou(ranking, line) for ranking, line in pairs])
    ranks, ious = scores.T
    values = {
        "Average rank@1": np.mean(ranks <= 1),
        "Average rank@5": np.mean(ranks <= 5),
        "Average iou": np.mean(ious),
    }
    return {name: float(f"{value:f}") for name, value in values.items()}


def _rank_and_iou(ranking: Record, line: Record) -> tuple[float, float]:
    """Means over the annotators that count: of their spans' ranks, and of the first span's IoU."""
    spans, times = _spans(ranking, "ranking"), _spans(line, "times")
    same = (spans[None] == times[:, None]).all(axis=2)
    if not same.any(axis=1).all():
        lacking = times[int(same.any(axis=1).argmin())].astype(int).tolist()
        raise SourceError(
            f"{ranking.where}: lacks the span {lacking} of an annotator; rank all spans, "
            "the official evaluator stops here too"
        )
    # A span includes its last segment, so it ends one segment later.
    after = np.array([0.0, 1.0])
    ious = hull_iou(spans[0] + after, times + after)
    ranks = same.argmax(axis=1) + 1
    return float(np.mean(np.sort(ranks)[:COUNTED])), float(np.mean(np.sort(ious)[-COUNTED:]))


def _spans(entry: Record, name: str) -> NDArray[np.float64]:
    spans = entry.windows(name, entry.items(name), 2, exactly=True)
    if not len(spans):
        raise SourceError(f"{entry.where}: {name!r} is empty")
    return spans
