"""What a Hammer says to queries that nothing answers: measured, so that its scores mean something.

A softmax over the videos that were read always finds one of them; what it is trained on always has
an answer among them. So held-out queries are asked twice: of their own video among its hardest
rivals, and of rivals alone. One more answer, "none of these", joins the softmax (multinomial
logistic regression with an outside option). Its logit is the one under which both kinds of
questions, in equal numbers, are the likeliest. The scores that spans then reach where nothing is
to be found give the threshold of what is likely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.localization.hammer import HammerLocalizer, Reading, chances_of_match, spans_of
from retrieval.localization.hammer_model import UNMEASURED
from retrieval.training.moment_data import MomentData
from retrieval.types import MomentQuery, TimedRows

ITEMS: Final = 10
"""Videos read with a query, as in a search on a CPU."""

ALARMS: Final = 0.05
"""Share of the queries without a match of which a span is called likely all the same."""


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """What was measured.

    Attributes:
        no_match: Logit of "none of these"; None where no query has a rival.
        likely_score: The score that the best span of a query without a match exceeds in `ALARMS`
            of the cases.
        found: Share of the queries with a match whose best span reaches it.
        queries: How many were asked, once with and once without their match.
    """

    no_match: float | None
    likely_score: float
    found: float
    queries: int

    def __str__(self) -> str:
        return (
            f"A moment is called likely from a score of {self.likely_score:.3g}: {ALARMS:.0%} of "
            f"{self.queries:,} held-out queries without a match reach it, and {self.found:.1%} of "
            "those with one"
        )


def calibrate(localizer: HammerLocalizer, data: MomentData) -> FalseAlarms:
    """Measure on held-out queries.

    Args:
        localizer: Trained; what it was calibrated to before does not matter.
        data: Queries with their rivals, which it was not trained on.
    """
    answered, unanswered = [], []
    for number, asked in enumerate(data.asked):
        if not len(data.rivals[number]):
            continue  # every other video answers it as well
        query = MomentQuery(data.sentences[number], asked.text)
        rivals = data.rivals[number][:ITEMS].tolist()
        items = [data.videos[video] for video in (asked.video, *rivals)]
        readings = localizer.read(query, items)
        best = [_best_span(*pair) for pair in zip(readings, items, strict=True)]
        matches = np.array([reading.match for reading in readings])
        answered.append((matches[:ITEMS], np.array(best[:ITEMS])))
        unanswered.append((matches[1:], np.array(best[1:])))
    if not answered:
        return FalseAlarms(None, UNMEASURED, 1.0, 0)
    no_match = likeliest_no_match([m for m, _ in answered], [m for m, _ in unanswered])
    reached = [_score(*one, no_match) for one in answered]
    alarms = [_score(*one, no_match) for one in unanswered]
    likely = float(np.quantile(alarms, 1 - ALARMS))
    return FalseAlarms(
        round(no_match, 4), round(likely, 4), float(np.mean(np.array(reached) >= likely)),
        len(answered),
    )  # fmt: skip


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
        none = sum(1.0 - float(chances_of_match(row, middle).sum()) for row in rows)
        if none < len(unanswered):
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _best_span(reading: Reading, item: TimedRows) -> float:
    """p(span | video, query) of the best span."""
    spans = spans_of(reading.labels, item, 1.0)
    return spans[0][2] if spans else 0.0


def _score(matches: NDArray[np.floating], spans: NDArray[np.floating], no_match: float) -> float:
    """The best span's score among the videos of a query."""
    return float((chances_of_match(matches, no_match) * spans).max())
