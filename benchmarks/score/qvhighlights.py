"""QVHighlights: moments and highlights as its own evaluator scores them, to the digit.

Lei, Berg and Bansal, 2021 (arXiv 2107.09609); `standalone_eval` of the project moment_detr.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.score.lines import Record, by_key, read_jsonl, same_queries
from benchmarks.score.moments import (
    MomentQuery,
    mean_average_precision,
    note_oddities,
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

ANNOTATORS: Final = 3
MOST_SECONDS: Final = 10_000_000
"""A longer video is a mistake, and its clips would fill the memory."""


def score(predictions: Path, truth: Path, note: Callable[[str], None]) -> dict[str, Any]:
    """What the evaluator writes: `brief`, then every group by its name.

    Moments are scored where the first prediction has `pred_relevant_windows`, highlights where it
    has `pred_saliency_scores`.

    Args:
        predictions: JSONL of `{qid, pred_relevant_windows, pred_saliency_scores}`.
        truth: JSONL of `{qid, duration, relevant_windows, relevant_clip_ids, saliency_scores}`.
        note: Takes lines about odd input.

    Raises:
        SourceError: A line cannot be used, or the files have different queries.
    """
    lines = read_jsonl(predictions)
    predicted, true = by_key(lines, "qid"), by_key(read_jsonl(truth), "qid")
    same_queries(predicted, true, (predictions, truth))
    moments: dict[str, Any] = {}
    highlights: dict[str, Any] = {}
    if "pred_relevant_windows" in lines[0]:
        queries = read_queries(predicted, true, need_windows=True)
        note_oddities(predicted, true, queries, note)
        moments = _moments(queries, truth)
    if "pred_saliency_scores" in lines[0]:
        highlights = _highlights(predicted, true, note)
    groups = dict(sorted((moments | highlights).items()))
    return {"brief": _brief_moments(moments) | _brief_highlights(highlights), **groups}


def _moments(queries: Sequence[MomentQuery], truth: Path) -> dict[str, Any]:
    groups = {"full": _moment_group(queries)}
    for name, (shortest, longest) in LENGTHS.items():
        kept = [query.of_length(shortest, longest) for query in queries]
        some = [query for query in kept if query is not None]
        if not some:
            raise SourceError(
                f"{truth}: no true window is longer than {shortest} and at most {longest} "
                "seconds; the official evaluator stops here too (`windows` scores such files)"
            )
        groups[name] = _moment_group(some)
    return groups


def _moment_group(queries: Sequence[MomentQuery]) -> dict[str, dict[str, float]]:
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


# ---------------------------------------------------------------- highlights


def _highlights(
    predicted: dict[Hashable, list[Record]],
    true: dict[Hashable, list[Record]],
    note: Callable[[str], None],
) -> dict[str, Any]:
    """Marks and scores of a query that stands on several lines are those of the last one."""
    marks = {key: [_marks(line) for line in lines][-1] for key, lines in true.items()}
    scores = {key: [_scores(line) for line in lines][-1] for key, lines in predicted.items()}
    other = sum(len(scores[key]) != len(marks[key]) for key in scores)
    if other:
        note(f"{other} of {len(scores)} predictions with other than one saliency score a clip: "
             "cut, or filled up with 0, for mAP")  # fmt: skip
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
            highlight_average_precision(of_one, fit_to_clips(scores, len(highlights)))
            for of_one in highlights.T
        ]
        for highlights, scores in pairs
    ]
    hits = [hit_at_1(highlights, scores) for highlights, scores in pairs]
    return {"HL-mAP": percent(np.mean(precision)), "HL-Hit1": percent(np.mean(hits))}


def _marks(line: Record) -> NDArray[np.float64]:
    """(clips, annotators) marks of every clip of the video; 0 where nobody marked one."""
    seconds = line.number("duration")
    if not 0 <= seconds <= MOST_SECONDS:
        raise SourceError(f"{line.where}: no video lasts {seconds:g} seconds")
    marks = np.zeros((int(seconds / CLIP_SECONDS), ANNOTATORS))
    ids = line.array("relevant_clip_ids", line.items("relevant_clip_ids"))
    given = line.windows("saliency_scores", line.items("saliency_scores"), ANNOTATORS, exactly=True)
    if ids.dtype.kind != "i" or len(ids) != len(given):
        raise SourceError(f"{line.where}: expected one clip id for each of {len(given)} marks")
    if ids.min() < 0 or ids.max() >= len(marks):
        raise SourceError(f"{line.where}: a clip id is not among the video's {len(marks)} clips")
    marks[ids] = given
    return marks


def _scores(line: Record) -> NDArray[Any]:
    name = "pred_saliency_scores"
    scores = line.array(name, line.items(name))
    if not len(scores):
        raise SourceError(f"{line.where}: {name!r} is empty; the official evaluator stops here too")
    return scores
