"""Scores the moments that each query of a task found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.moments.suite import TimedQuery
from benchmarks.results.outcome import (
    Answers,
    MomentAnswer,
    Outcome,
    QueryValues,
    Result,
    VideoMoment,
)
from retrieval.evaluation.corpus import corpus_ranks
from retrieval.evaluation.moments import best_overlaps, moment_average_precision

IN_VIDEO: Final = "moment in the true video"
IN_CORPUS: Final = "moment in the corpus"
VIDEO: Final = "video in the corpus"

OVERLAPS: Final = (0.5, 0.7)
RANKS: Final = (1, 10, 100)
MAP_WINDOWS: Final = 10
"""Number of windows per query that mAP reads, as in the evaluator of QVHighlights."""

Values = dict[str, list[float]]
"""For each metric one number per query; their mean is the metric's figure."""


@dataclass(frozen=True, slots=True)
class MomentTask:
    """One task of a moment suite.

    Attributes:
        name: Name in the results.
        queries: The queries.
        pool: Number of searched videos; for moments of the true video, the number of queries.
        baseline: Figures of the constant window by metric.
        chance: Figures of guessing by metric.
        files: File of each video.
    """

    suite: str
    name: str
    queries: Sequence[TimedQuery]
    pool: int
    baseline: Mapping[str, float] = field(default_factory=dict)
    chance: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)

    def outcome(self, values: Values, moments: Sequence[Sequence[VideoMoment]] = ()) -> Outcome:
        """Build the outcome from the values and, if there are some, the moments of each query."""
        results = [
            Result(
                self.suite, self.name, metric, mean, baseline=self.baseline.get(metric),
                chance=self.chance.get(metric), pool=self.pool,
            )
            for metric, mean in means(values).items()
        ]  # fmt: skip
        ids = [query.query_id for query in self.queries]
        answers = [Answers(self.suite, self.name, self._answers(moments), self.files)]
        return Outcome(
            results, [QueryValues(self.suite, self.name, ids, values)], answers if moments else ()
        )

    def _answers(self, moments: Sequence[Sequence[VideoMoment]]) -> list[MomentAnswer]:
        return [
            MomentAnswer(
                query.query_id,
                query.query,
                query.video_id,
                query.windows,
                query.duration_seconds,
                ranked,
            )
            for query, ranked in zip(self.queries, moments, strict=bool(moments))
        ]


def means(values: Values) -> dict[str, float]:
    """Average the values of all queries."""
    return {metric: float(np.mean(column)) for metric, column in values.items()}


def score_in_video(
    queries: Sequence[TimedQuery], moments: Sequence[Sequence[VideoMoment]], *, with_map: bool
) -> Values:
    """Compute R1 at both overlaps, mIoU and optionally mAP of moments in the true video.

    R1 and mIoU use the first moment and the true window with the highest overlap. A query without
    moments scores 0.
    """
    first = np.array([
        best_overlaps(_spans(ranked[:1]), _windows(query)).max(initial=0.0)
        for query, ranked in zip(queries, moments, strict=True)
    ])  # fmt: skip
    values = {f"R1@{iou}": (first >= iou).astype(float).tolist() for iou in OVERLAPS}
    values["mIoU"] = first.tolist()
    if with_map:
        precision = np.array([
            moment_average_precision(_spans(ranked[:MAP_WINDOWS]), _windows(query))
            for query, ranked in zip(queries, moments, strict=True)
        ])  # fmt: skip
        values["mAP@0.5"] = precision[:, 0].tolist()
        values["mAP@0.75"] = precision[:, 5].tolist()
        values["mAP"] = precision.mean(axis=1).tolist()
    return values


def score_in_corpus(
    queries: Sequence[TimedQuery], moments: Sequence[Sequence[VideoMoment]]
) -> Values:
    """Compute VCMR: R@1, R@10 and R@100 at both overlaps. Moments of other videos are wrong."""
    ranks = np.array([
        corpus_ranks(
            np.array([moment[0] == query.video_id for moment in ranked], bool),
            _spans(ranked)[:, :2],
            _windows(query),
            np.array(OVERLAPS),
        ).moment
        for query, ranked in zip(queries, moments, strict=True)
    ])  # fmt: skip
    return {
        corpus_metric(k, iou): (ranks[:, column] <= k).astype(float).tolist()
        for column, iou in enumerate(OVERLAPS)
        for k in RANKS
    }


def score_videos(queries: Sequence[TimedQuery], rankings: Sequence[Sequence[str]]) -> Values:
    """Compute VR: R@1, R@10 and R@100 of the true video."""
    return {
        f"R@{k}": [
            float(query.video_id in videos[:k])
            for query, videos in zip(queries, rankings, strict=True)
        ]
        for k in RANKS
    }


def corpus_metric(k: int, iou: float) -> str:
    """Name a metric of VCMR."""
    return f"R@{k}, IoU {iou}"


def blind_corpus_floor(in_video: Mapping[str, float], videos: int) -> dict[str, float]:
    """Compute the expected VCMR of a blind window in each of k videos drawn at random."""
    return {
        corpus_metric(k, iou): min(k, videos) / videos * in_video[f"R1@{iou}"]
        for iou in OVERLAPS
        for k in RANKS
    }


def _spans(moments: Sequence[VideoMoment]) -> NDArray[np.float64]:
    """Return starts, ends and scores, (moments, 3)."""
    return np.array([moment[1:] for moment in moments], np.float64).reshape(-1, 3)


def _windows(query: TimedQuery) -> NDArray[np.float64]:
    return np.array(query.windows, np.float64)
