"""Calibration of a Hammer on queries without an answer.

A softmax over the videos read always selects one of them, and in training one of them always
answers. Held-out queries are therefore evaluated twice: with their own video among its hardest
rivals, and with the rivals only. The softmax gets one more answer, "none of these" (multinomial
logistic regression with an outside option). Its logit maximizes the likelihood over both kinds of
queries in equal numbers. The scores of unrelated texts then give the threshold of likely moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.probe_texts import PROBE_TEXTS
from retrieval.localization.hammer import (
    HammerLocalizer,
    match_probabilities,
    rank_spans,
)
from retrieval.localization.hammer_model import DEFAULT_LIKELY_SCORE
from retrieval.protocols import Encoder
from retrieval.training.moments.data import MomentData
from retrieval.types import MomentQuery, TimedRows

MAX_VIDEOS: Final = 10
"""Videos read per query, as in a search on a CPU."""

ALARM_SHARE: Final = 0.05
"""Share of the unrelated texts whose best span may count as likely."""

UNRELATED_TEXTS: Final = 200


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """The calibration and its error rates.

    Attributes:
        no_match: Logit of "none of these"; None if no query has a rival.
        likely_score: The score that the best span of an unrelated text exceeds in `ALARM_SHARE` of
            the cases.
        found: Share of the queries whose best span reaches it when their own video is read.
        near_misses: The same share when only their rivals are read.
        queries: Number of queries.
        texts: Number of unrelated texts; 0 if the threshold was not measured.
    """

    no_match: float | None
    likely_score: float
    found: float
    near_misses: float
    queries: int
    texts: int

    def __str__(self) -> str:
        return (
            f"A moment counts as likely from a score of {self.likely_score:.3g}: "
            f"{ALARM_SHARE:.0%} of {self.texts:,} unrelated texts reach it, {self.found:.0%} of "
            f"{self.queries:,} held-out queries, and {self.near_misses:.0%} of these if only the "
            "rivals of their video are read"
        )


def unrelated_queries(encoder: Encoder) -> list[MomentQuery]:
    """Embed texts that the videos of a corpus probably do not answer."""
    texts = PROBE_TEXTS[:UNRELATED_TEXTS]
    vectors = encoder.encode_text(texts)
    return [MomentQuery(row, text) for row, text in zip(vectors, texts, strict=True)]


def calibrate(
    localizer: HammerLocalizer, data: MomentData, unrelated: Sequence[MomentQuery]
) -> FalseAlarms:
    """Calibrate on held-out queries.

    Args:
        localizer: A trained model; its earlier calibration has no effect.
        data: Held-out queries with their rivals.
        unrelated: Texts that no video answers.
    """
    answered, unanswered = [], []
    for number, moment in enumerate(data.queries):
        rivals = data.rivals[number][:MAX_VIDEOS].tolist()
        if not rivals:
            continue  # All other videos answer the query.
        query = MomentQuery(data.sentences[number], moment.text)
        videos = [data.videos[video] for video in (moment.video, *rivals)]
        readings = _Readings.of(localizer, query, videos)
        answered.append(readings[:MAX_VIDEOS])
        unanswered.append(readings[1:])
    if not answered:
        return FalseAlarms(None, DEFAULT_LIKELY_SCORE, 1.0, 1.0, 0, 0)
    no_match = fit_no_match(
        [readings.matches for readings in answered], [readings.matches for readings in unanswered]
    )
    alarms = [
        _Readings.of(localizer, query, _nearest(query, data.videos)).best(no_match)
        for query in unrelated
    ]
    likely = DEFAULT_LIKELY_SCORE
    if alarms:
        likely = float(f"{np.quantile(alarms, 1 - ALARM_SHARE):.4g}")
    found, near_misses = (
        float(np.mean([readings.best(no_match) >= likely for readings in group]))
        for group in (answered, unanswered)
    )
    return FalseAlarms(round(no_match, 4), likely, found, near_misses, len(answered), len(alarms))


def fit_no_match(
    answered: Sequence[NDArray[np.floating]], unanswered: Sequence[NDArray[np.floating]]
) -> float:
    """Return the logit of "none of these" with the greatest likelihood.

    The derivative of the likelihood decreases. It is 0 where the probabilities of "none of these"
    add up to the number of queries without a match, which bisection finds.

    Args:
        answered: The logits of the videos, (videos,), of each query with a match.
        unanswered: The same of each query without a match.
    """
    rows = [*answered, *unanswered]
    logits = np.concatenate(rows)
    logits = logits[np.isfinite(logits)]
    low, high = float(logits.min()) - 50.0, float(logits.max()) + 50.0
    for _ in range(100):
        middle = (low + high) / 2
        none = sum(1.0 - float(match_probabilities(row, middle).sum()) for row in rows)
        if none < len(unanswered):
            low = middle
        else:
            high = middle
    return (low + high) / 2


@dataclass(frozen=True, slots=True)
class _Readings:
    """Logits of the match of some videos, and p(best span | video, query) of each."""

    matches: NDArray[np.float64]
    spans: NDArray[np.float64]

    @classmethod
    def of(
        cls, localizer: HammerLocalizer, query: MomentQuery, videos: Sequence[TimedRows]
    ) -> _Readings:
        readings = localizer.predict(query, videos)
        spans = [
            rank_spans(reading.labels, video, 1.0)
            for reading, video in zip(readings, videos, strict=True)
        ]
        return cls(
            np.array([reading.match for reading in readings]),
            np.array([best[0][2] if best else 0.0 for best in spans]),
        )

    def __getitem__(self, part: slice) -> _Readings:
        return _Readings(self.matches[part], self.spans[part])

    def best(self, no_match: float) -> float:
        """Return the score of the best span of all videos."""
        return float((match_probabilities(self.matches, no_match) * self.spans).max())


def _nearest(query: MomentQuery, videos: Sequence[TimedRows]) -> list[TimedRows]:
    """Return the videos that a first-stage search ranks highest."""
    scores = [float((video.vectors.astype(np.float32) @ query.vector).max()) for video in videos]
    return [videos[number] for number in np.argsort(scores)[::-1][:MAX_VIDEOS]]
