"""One task of a suite of moments: what was found, what each query scores, and the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.moments.suite import Question
from benchmarks.results.outcome import Answers, MomentAnswer, Outcome, QueryValues
from benchmarks.results.tables import Result
from retrieval.evaluation.corpus import corpus_ranks
from retrieval.evaluation.moments import best_overlaps, moment_average_precision

IN_VIDEO: Final = "moment in the true video"
IN_CORPUS: Final = "moment in the corpus"
VIDEO: Final = "video in the corpus"

OVERLAPS: Final = (0.5, 0.7)
RANKS: Final = (1, 10, 100)
MAP_WINDOWS: Final = 10
"""mAP looks at so many windows of a query, as QVHighlights' evaluator does."""

Moment = tuple[str, float, float, float]
"""Video, start and end in seconds, score."""

Values = dict[str, list[float]]
"""For each metric what every query scores; their mean is the metric's figure."""


@dataclass(frozen=True, slots=True)
class Task:
    """Questions, and how their answers are called.

    Attributes:
        name: Of the rows.
        asked: The questions.
        pool: Videos that are searched; for moments of the true video, the questions.
        baseline: By metric, what the constant window reaches.
        chance: By metric, what guessing reaches.
        files: Where the videos lie.
    """

    suite: str
    name: str
    asked: Sequence[Question]
    pool: int
    baseline: Mapping[str, float] = field(default_factory=dict)
    chance: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)

    def outcome(self, values: Values, answers: Sequence[Sequence[Moment]] = ()) -> Outcome:
        """The rows of what was measured, with every query's own part and what it found."""
        results = [
            Result(
                self.suite, self.name, metric, mean, baseline=self.baseline.get(metric),
                chance=self.chance.get(metric), pool=self.pool,
            )
            for metric, mean in means(values).items()
        ]  # fmt: skip
        queries = QueryValues(self.suite, self.name, [one.query_id for one in self.asked], values)
        kept = [Answers(self.suite, self.name, self._answers(answers), self.files)]
        return Outcome(results, [queries], kept if answers else ())

    def _answers(self, answers: Sequence[Sequence[Moment]]) -> list[MomentAnswer]:
        return [
            MomentAnswer(
                one.query_id, one.query, one.video_id, one.windows, one.duration_seconds, moments
            )
            for one, moments in zip(self.asked, answers, strict=bool(answers))
        ]


def means(values: Values) -> dict[str, float]:
    """The figures that values of queries make."""
    return {metric: float(np.mean(column)) for metric, column in values.items()}


def scored_in_video(
    asked: Sequence[Question], found: Sequence[Sequence[Moment]], *, with_map: bool
) -> Values:
    """R1 at both overlaps, mIoU and, if asked for, mAP: found moments are of the true video.

    The first moment counts, with the true window that it overlaps most; a query without any
    moment scores 0.
    """
    first = np.array([
        best_overlaps(_spans(moments[:1]), _windows(one)).max(initial=0.0)
        for one, moments in zip(asked, found, strict=True)
    ])  # fmt: skip
    values = {f"R1@{iou}": (first >= iou).astype(float).tolist() for iou in OVERLAPS}
    values["mIoU"] = first.tolist()
    if with_map:
        precision = np.array([
            moment_average_precision(_spans(moments[:MAP_WINDOWS]), _windows(one))
            for one, moments in zip(asked, found, strict=True)
        ])  # fmt: skip
        values["mAP@0.5"] = precision[:, 0].tolist()
        values["mAP@0.75"] = precision[:, 5].tolist()
        values["mAP"] = precision.mean(axis=1).tolist()
    return values


def scored_in_corpus(asked: Sequence[Question], found: Sequence[Sequence[Moment]]) -> Values:
    """VCMR: R@1, R@10 and R@100 at both overlaps; a moment of another video is wrong."""
    ranks = np.array([
        corpus_ranks(
            np.array([moment[0] == one.video_id for moment in moments], bool),
            _spans(moments)[:, :2],
            _windows(one),
            np.array(OVERLAPS),
        ).moment
        for one, moments in zip(asked, found, strict=True)
    ])  # fmt: skip
    return {
        corpus_metric(k, iou): (ranks[:, place] <= k).astype(float).tolist()
        for place, iou in enumerate(OVERLAPS)
        for k in RANKS
    }


def scored_videos(asked: Sequence[Question], found: Sequence[Sequence[str]]) -> Values:
    """VR: R@1, R@10 and R@100 of the true video."""
    hits = [
        [video == one.video_id for video in videos]
        for one, videos in zip(asked, found, strict=True)
    ]
    return {f"R@{k}": [float(any(row[:k])) for row in hits] for k in RANKS}


def corpus_metric(k: int, iou: float) -> str:
    """How VCMR's figures are called."""
    return f"R@{k}, IoU {iou}"


def floor_in_corpus(in_video: Mapping[str, float], videos: int) -> dict[str, float]:
    """What blind windows, one in each of k videos drawn at random, find in a corpus."""
    return {
        corpus_metric(k, iou): min(k, videos) / videos * in_video[f"R1@{iou}"]
        for iou in OVERLAPS
        for k in RANKS
    }


def _spans(moments: Sequence[Moment]) -> NDArray[np.float64]:
    """(moments, 3) starts, ends and scores."""
    return np.array([moment[1:] for moment in moments], np.float64).reshape(-1, 3)


def _windows(one: Question) -> NDArray[np.float64]:
    return np.array(one.windows, np.float64)
