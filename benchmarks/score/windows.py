"""Moments of known videos in the common format: Charades-STA, ActivityNet, TACoS, DiDeMo, others.

Truth is JSONL of `{qid, vid, query, duration, relevant_windows}`, predictions are JSONL of `{qid,
pred_relevant_windows}`, best first. The figures with QVHighlights' names equal those of the project
lighthouse: as in QVHighlights, over true windows of up to 1,500 seconds. Papers on these data sets
also report R1 at 0.3, R5 and mIoU.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.score.lines import by_key, check_same_queries, read_jsonl
from benchmarks.score.moments import (
    QueryWindows,
    log_unusual,
    mean_average_precision,
    percent,
    read_queries,
    recall_at_1,
)
from retrieval.errors import SourceError
from retrieval.evaluation.moments import IOU_THRESHOLDS

logger = logging.getLogger(__name__)

RANGES: Final = {"full": (0, 1500), "short": (0, 10), "middle": (10, 30), "long": (30, 1500)}
"""Lengths of true windows in seconds, above the first number and up to the second."""

THRESHOLDS: Final = (0.3, *IOU_THRESHOLDS)


def score(predictions: Path, truth: Path) -> dict[str, Any]:
    """Compute `brief` and the group of each range of lengths that has a true window.

    A prediction without windows is a miss. (The evaluators of QVHighlights and lighthouse stop.)

    Args:
        predictions: JSONL of `{qid, pred_relevant_windows}`.
        truth: JSONL of `{qid, relevant_windows}`.

    Raises:
        SourceError: A line is malformed, or the files have different queries.
    """
    predicted = by_key(read_jsonl(predictions), "qid")
    true = by_key(read_jsonl(truth), "qid")
    check_same_queries(predicted, true, (predictions, truth))
    queries = read_queries(predicted, true, need_windows=False)
    log_unusual(predicted, true, queries)
    groups = {}
    for name, bounds in RANGES.items():
        selected = [own for query in queries if (own := query.of_length(*bounds)) is not None]
        if selected:
            groups[name] = _group(selected)
        if name == "full" and len(selected) < len(queries):
            logger.warning(
                "%d of %d queries have no true window of more than 0 and at most %d seconds: left "
                "out, as in lighthouse",
                len(queries) - len(selected),
                len(queries),
                bounds[1],
            )
    if not groups:
        raise SourceError(f"{truth}: no query has a true window of a length above 0")
    return {"brief": _brief(groups), **groups}


def _group(queries: Sequence[QueryWindows]) -> dict[str, Any]:
    overlaps = [query.overlaps() for query in queries]
    first = [float(own[0]) if len(own) else 0.0 for own in overlaps]
    of_five = [float(own[:5].max()) if len(own) else 0.0 for own in overlaps]
    return {
        "MR-mAP": mean_average_precision(queries),
        "MR-R1": recall_at_1(first, THRESHOLDS),
        "MR-R5": recall_at_1(of_five, THRESHOLDS),
        "MR-mIoU": percent(np.mean(first)),
        "queries": len(queries),
    }


def _brief(groups: dict[str, Any]) -> dict[str, float]:
    full = groups["full"]
    brief = {f"MR-{name}-mAP": group["MR-mAP"]["average"] for name, group in groups.items()}
    brief |= {f"MR-full-mAP@{iou}": full["MR-mAP"][iou] for iou in ("0.5", "0.75")}
    for metric in ("R1", "R5"):
        brief |= {f"MR-full-{metric}@{iou}": full[f"MR-{metric}"][iou]
                  for iou in ("0.3", "0.5", "0.7")}  # fmt: skip
    brief["MR-full-mIoU"] = full["MR-mIoU"]
    return dict(sorted(brief.items()))
