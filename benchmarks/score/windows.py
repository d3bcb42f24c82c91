"""Moments of known videos in the common format: charades, activitynet, tacos, didemo, any other.

Truth is JSONL of `{qid, vid, query, duration, relevant_windows}`, predictions of `{qid,
pred_relevant_windows}`, best first. The figures under QVHighlights' names are those that the
project lighthouse computes of these files: as QVHighlights', over true windows of up to 1,500
seconds. Papers on these data sets also print R1 at 0.3, R5 and mIoU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.score.lines import by_key, read_jsonl, same_queries
from benchmarks.score.moments import (
    MomentQuery,
    mean_average_precision,
    note_oddities,
    percent,
    read_queries,
    recall_at_1,
)
from retrieval.errors import SourceError
from retrieval.evaluation.moments import IOU_THRESHOLDS

RANGES: Final = {"full": (0, 1500), "short": (0, 10), "middle": (10, 30), "long": (30, 1500)}
"""Lengths of true windows in seconds: longer than the first number, at most the second."""

THRESHOLDS: Final = (0.3, *IOU_THRESHOLDS)


def score(predictions: Path, truth: Path, note: Callable[[str], None]) -> dict[str, Any]:
    """`brief`, then every range of lengths that has a true window.

    A prediction without windows is a miss. (The evaluators of QVHighlights and lighthouse stop.)

    Args:
        predictions: JSONL of `{qid, pred_relevant_windows}`.
        truth: JSONL of `{qid, relevant_windows}`.
        note: Takes lines about odd input.

    Raises:
        SourceError: A line cannot be used, or the files have different queries.
    """
    predicted = by_key(read_jsonl(predictions), "qid")
    true = by_key(read_jsonl(truth), "qid")
    same_queries(predicted, true, (predictions, truth))
    queries = read_queries(predicted, true, need_windows=False)
    note_oddities(predicted, true, queries, note)
    groups = {}
    for name, bounds in RANGES.items():
        kept = [query.of_length(*bounds) for query in queries]
        some = [query for query in kept if query is not None]
        if some:
            groups[name] = _group(some)
        if name == "full" and len(some) < len(queries):
            note(
                f"{len(queries) - len(some)} of {len(queries)} queries have no true window of "
                f"more than 0 and at most {bounds[1]} seconds: left out, as lighthouse does"
            )
    if not groups:
        raise SourceError(f"{truth}: no query has a true window of a length above 0")
    return {"brief": _brief(groups), **groups}


def _group(queries: Sequence[MomentQuery]) -> dict[str, Any]:
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
