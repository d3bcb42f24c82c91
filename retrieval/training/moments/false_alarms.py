"""What a Hammer says to queries that nothing answers: measured, so that its scores mean something.

A softmax over the videos that were read always finds one of them; what it is trained on always has
an answer among them. So held-out queries are asked twice: of their own video among its hardest
rivals, and of rivals alone. One more answer, "none of these", joins the softmax (multinomial
logistic regression with an outside option). Its logit is the one under which both kinds of
questions, in equal numbers, are the likeliest. The scores that spans then reach for unrelated texts
give the threshold of what is likely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.localization.hammer import HammerLocalizer, match_probabilities, rank_spans
from retrieval.localization.hammer_model import DEFAULT_LIKELY_SCORE
from retrieval.training.moments.data import MomentData
from retrieval.types import MomentQuery, TimedRows

ITEMS: Final = 10
"""Videos read with a query, as in a search on a CPU."""

ALARMS: Final = 0.05
"""Share of the unrelated texts for which a span is still called likely."""

UNRELATED_TEXTS: Final = 200


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """What was measured.

    Attributes:
        no_match: Logit of "none of these"; None where no query has a rival.
        likely_score: The score that the best span of an unrelated text exceeds in `ALARMS` of the
            cases.
        found: Share of the queries whose best span reaches it, with their own video among those
            read.
        near_misses: The same of their rivals alone, which resemble what is asked for.
        queries: How many were asked.
        texts: How many unrelated texts; 0 where the threshold was not measured.
    """

    no_match: float | None
    likely_score: float
    found: float
    near_misses: float
    queries: int
    texts: int

    def __str__(self) -> str:
        return (
            f"A moment is called likely from a score of {self.likely_score:.3g}: {ALARMS:.0%} of "
            f"{self.texts:,} unrelated texts reach it, {self.found:.0%} of {self.queries:,} "
            f"held-out queries, and {self.near_misses:.0%} of these where only the rivals of their "
            "video are read"
        )


def calibrate(
    localizer: HammerLocalizer, data: MomentData, unrelated: Sequence[MomentQuery]
) -> FalseAlarms:
    """Measure on held-out queries.

    Args:
        localizer: Trained; what it was calibrated to before does not matter.
        data: Queries with their rivals, which it was not trained on.
        unrelated: Texts that no video answers.
    """
    answered, rivals_only = [], []
    for number, asked in enumerate(data.asked):
        rivals = data.rivals[number][:ITEMS].tolist()
        if not rivals:
            continue  # every other video answers it as well
        query = MomentQuery(data.sentences[number], asked.text)
        asks = _Asked.of(localizer, query, [data.videos[v] for v in (asked.video, *rivals)])
        answered.append(asks[:ITEMS])
        rivals_only.append(asks[1:])
    if not answered:
        return FalseAlarms(None, DEFAULT_LIKELY_SCORE, 1.0, 1.0, 0, 0)
    no_match = likeliest_no_match([a.matches for a in answered], [a.matches for a in rivals_only])
    alarms = [
        _Asked.of(localizer, query, _nearest(query, data.videos)).best(no_match)
        for query in unrelated
    ]
    likely = float(f"{np.quantile(alarms, 1 - ALARMS):.4g}") if alarms else DEFAULT_LIKELY_SCORE
    found, near_misses = (
        float(np.mean([asks.best(no_match) >= likely for asks in kind]))
        for kind in (answered, rivals_only)
    )
    return FalseAlarms(round(no_match, 4), likely, found, near_misses, len(answered), len(alarms))


def likeliest_no_match(
    answered: Sequence[NDArray[np.floating]], unanswered: Sequence[NDArray[np.floating]]
) -> float:
    """The logit of "none of these" of the greatest likelihood.

    Args:
        answered: For each query with a match the logits of its videos, (items,).
        unanswered: For each query without one likewise.

    Returns:
        Where the chances of "none of these" add up to the number of queries without a match: the
        likelihood's derivative, which falls everywhere, is 0 there.
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
class _Asked:
    """What a Hammer reads in some videos: logits of their match, p(best span | video, query)."""

    matches: NDArray[np.float64]
    spans: NDArray[np.float64]

    @classmethod
    def of(
        cls, localizer: HammerLocalizer, query: MomentQuery, items: Sequence[TimedRows]
    ) -> _Asked:
        readings = localizer.predict(query, items)
        spans = [
            rank_spans(reading.labels, item, 1.0)
            for reading, item in zip(readings, items, strict=True)
        ]
        return cls(
            np.array([reading.match for reading in readings]),
            np.array([found[0][2] if found else 0.0 for found in spans]),
        )

    def __getitem__(self, part: slice) -> _Asked:
        return _Asked(self.matches[part], self.spans[part])

    def best(self, no_match: float) -> float:
        """The score of the best span of all videos."""
        return float((match_probabilities(self.matches, no_match) * self.spans).max())


def _nearest(query: MomentQuery, videos: Sequence[TimedRows]) -> list[TimedRows]:
    """What the first stage would hand on."""
    scores = [float((video.vectors.astype(np.float32) @ query.vector).max()) for video in videos]
    return [videos[place] for place in np.argsort(scores)[::-1][:ITEMS]]
