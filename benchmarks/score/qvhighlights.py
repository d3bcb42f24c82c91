"""QVHighlights: moments and highlights, with the exact figures of its evaluator.

Lei, Berg and Bansal, 2021 (arXiv 2107.09609); `standalone_eval` of the project moment_detr.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.score.lines import Record, by_key, check_same_queries, read_jsonl
from benchmarks.score.moments import (
    QueryWindows,
    log_unusual,
    mean_average_precision,
    percent,
    read_queries,
    recall_at_1,
)
from retrieval.errors import SourceError
from retrieval.evaluation.highlights import (
    CLIP_SECONDS,
    THRESHOLDS,
    fit_to_clips,
    highlight_average_precision,
    hit_at_1,
)
from retrieval.evaluation.moments import LENGTHS

logger = logging.getLogger(__name__)

ANNOTATORS: Final = 3
MAX_SECONDS: Final = 10_000_000
"""Longer durations are refused, because the clips would fill the memory."""


def score(predictions: Path, truth: Path) -> dict[str, Any]:
    """Compute the document of the evaluator: `brief`, then all groups by name.

    Moments are scored if the first prediction has `pred_relevant_windows`, highlights if it has
    `pred_saliency_scores`.

    Args:
        predictions: JSONL of `{qid, pred_relevant_windows, pred_saliency_scores}`.
        truth: JSONL of `{qid, duration, relevant_windows, relevant_clip_ids, saliency_scores}`.

    Raises:
        SourceError: A line is malformed, or the files have different queries.
    """
    lines = read_jsonl(predictions)
    predicted, true = by_key(lines, "qid"), by_key(read_jsonl(truth), "qid")
    check_same_queries(predicted, true, (predictions, truth))
    moments: dict[str, Any] = {}
    highlights: dict[str, Any] = {}
    if "pred_relevant_windows" in lines[0]:
        queries = read_queries(predicted, true, need_windows=True)
        log_unusual(predicted, true, queries)
        moments = _moments(queries, truth)
    if "pred_saliency_scores" in lines[0]:
        highlights = _highlights(predicted, true)
    groups = dict(sorted((moments | highlights).items()))
    return {"brief": _brief_moments(moments) | _brief_highlights(highlights), **groups}


def _moments(queries: Sequence[QueryWindows], truth: Path) -> dict[str, Any]:
    groups = {"full": _moment_group(queries)}
    for name, (shortest, longest) in LENGTHS.items():
        lengths = (shortest, longest)
        selected = [own for query in queries if (own := query.of_length(*lengths)) is not None]
        if not selected:
            raise SourceError(
                f"{truth}: no true window is longer than {shortest} and at most {longest} seconds "
                "(the official evaluator stops here too; the format `windows` accepts such files)"
            )
        groups[name] = _moment_group(selected)
    return groups


def _moment_group(queries: Sequence[QueryWindows]) -> dict[str, dict[str, float]]:
    return {
        "MR-mAP": mean_average_precision(queries),
        "MR-R1": recall_at_1([float(query.overlaps()[0]) for query in queries]),
    }


def _brief_moments(groups: dict[str, Any]) -> dict[str, float]:
    if not groups:
        return {}
    precision, recall = groups["full"]["MR-mAP"], groups["full"]["MR-R1"]
    brief = {f"MR-{name}-mAP": group["MR-mAP"]["average"] for name, group in groups.items()}
    brief |= {f"MR-full-mAP@{iou}": precision[iou] for iou in ("0.5", "0.75")}
    brief |= {f"MR-full-R1@{iou}": recall[iou] for iou in ("0.5", "0.7")}
    return dict(sorted(brief.items()))


def _brief_highlights(groups: dict[str, Any]) -> dict[str, float]:
    return {
        f"{name}-{metric.removeprefix('HL-')}": value
        for name, group in groups.items()
        for metric, value in group.items()
    }


def _highlights(
    predicted: dict[Hashable, list[Record]],
    true: dict[Hashable, list[Record]],
) -> dict[str, Any]:
    """Score highlights. If a query has several lines, the last one counts."""
    marks = {key: [_marks(line) for line in lines][-1] for key, lines in true.items()}
    scores = {key: [_scores(line) for line in lines][-1] for key, lines in predicted.items()}
    other = sum(len(scores[key]) != len(marks[key]) for key in scores)
    if other:
        logger.warning(
            "%d of %d predictions with other than one saliency score per clip: cut or filled up "
            "with 0 for mAP",
            other,
            len(scores),
        )
    pairs = [(marks[key], own) for key, own in scores.items()]
    return {
        f"HL-min-{name}": _highlight_group([(mark >= lowest, own) for mark, own in pairs])
        for name, lowest in THRESHOLDS.items()
    }


def _highlight_group(
    pairs: Sequence[tuple[NDArray[np.bool_], NDArray[Any]]],
) -> dict[str, float]:
    precision = [
        [
            highlight_average_precision(of_annotator, fit_to_clips(scores, len(highlights)))
            for of_annotator in highlights.T
        ]
        for highlights, scores in pairs
    ]
    hits = [hit_at_1(highlights, scores) for highlights, scores in pairs]
    return {"HL-mAP": percent(np.mean(precision)), "HL-Hit1": percent(np.mean(hits))}


def _marks(line: Record) -> NDArray[np.float64]:
    """Return the marks of each clip, (clips, annotators); 0 for unmarked clips."""
    seconds = line.number("duration")
    if not 0 <= seconds <= MAX_SECONDS:
        raise SourceError(f"{line.where}: 'duration' is {seconds:g}, expected 0 to {MAX_SECONDS:,}")
    marks = np.zeros((int(seconds / CLIP_SECONDS), ANNOTATORS))
    ids = line.array("relevant_clip_ids", line.items("relevant_clip_ids"))
    values = line.windows(
        "saliency_scores", line.items("saliency_scores"), ANNOTATORS, exactly=True
    )
    if ids.dtype.kind != "i" or len(ids) != len(values):
        raise SourceError(f"{line.where}: expected one clip id for each of {len(values)} marks")
    if ids.min() < 0 or ids.max() >= len(marks):
        raise SourceError(f"{line.where}: a clip id is not among the video's {len(marks)} clips")
    marks[ids] = values
    return marks


def _scores(line: Record) -> NDArray[Any]:
    name = "pred_saliency_scores"
    scores = line.array(name, line.items(name))
    if not len(scores):
        raise SourceError(
            f"{line.where}: {name!r} is empty (the official evaluator stops here too)"
        )
    return scores
