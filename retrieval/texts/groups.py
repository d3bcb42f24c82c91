"""Groups the matching passages of an item: those of the whole item, and those of one moment."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from retrieval.texts.calibration import TextCalibration
from retrieval.texts.rows import TextRow
from retrieval.texts.scoring import TermScores

JOIN_SECONDS = 1.0
"""Matching cues that are at most this far apart are one moment."""

TIE_BREAK = 0.5
"""Largest difference that BM25 makes between two groups of equal coverage."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that contains terms of the query.

    Attributes:
        part: Number of the part of the index.
        number: Row of the part.
        matched: Terms of the query that it contains.
        bm25: Its BM25 score.
    """

    part: int
    number: int
    row: TextRow
    matched: frozenset[str]
    bm25: float

    @property
    def is_timed(self) -> bool:
        """Whether it belongs to a span of the item."""
        return not math.isnan(self.row.start_seconds)


@dataclass(frozen=True, slots=True)
class TextGroup:
    """Matching passages of one item that count together.

    Attributes:
        passages: Those without times, or those of one moment in order of time.
        coverage: Share of the query's information that they contain together.
        score: Calibrated score: deviations above unrelated queries.
        likely: Whether they contain enough of the query's information to be an answer.
    """

    passages: tuple[Passage, ...]
    coverage: float
    score: float
    likely: bool

    @property
    def best(self) -> Passage:
        """The passage with the best BM25 score."""
        return max(self.passages, key=lambda passage: passage.bm25)

    @property
    def span(self) -> tuple[float, float] | None:
        """Start and end of the moment in seconds; None without times."""
        if not self.passages[0].is_timed:
            return None
        return (
            self.passages[0].row.start_seconds,
            max(passage.row.end_seconds for passage in self.passages),
        )


def group_by_item(
    passages: Iterable[Passage], scores: TermScores, calibration: TextCalibration
) -> dict[int, list[TextGroup]]:
    """Group passages by item and moment; the groups of each item are sorted, best first."""
    by_item: dict[int, list[Passage]] = defaultdict(list)
    for passage in passages:
        by_item[passage.row.item_id].append(passage)
    groups = {}
    for item_id, members in by_item.items():
        moments = [members] if len(members) == 1 else _split(members)
        item_groups = [_group(each, scores, calibration) for each in moments]
        groups[item_id] = sorted(item_groups, key=lambda group: -group.score)
    return groups


def _split(passages: Sequence[Passage]) -> Iterator[list[Passage]]:
    """Yield the passages without times, then those of each moment in order of time."""
    untimed = [passage for passage in passages if not passage.is_timed]
    if untimed:
        yield untimed
    moment: list[Passage] = []
    end = 0.0
    timed = (passage for passage in passages if passage.is_timed)
    for passage in sorted(timed, key=lambda p: (p.row.start_seconds, p.part, p.number)):
        if moment and passage.row.start_seconds - end > JOIN_SECONDS:
            yield moment
            moment = []
        end = max(end, passage.row.end_seconds) if moment else passage.row.end_seconds
        moment.append(passage)
    if moment:
        yield moment


def _group(
    passages: Sequence[Passage], scores: TermScores, calibration: TextCalibration
) -> TextGroup:
    matched, bm25 = passages[0].matched, passages[0].bm25
    for passage in passages[1:]:
        matched |= passage.matched
        bm25 = max(bm25, passage.bm25)
    coverage = scores.coverage(matched)
    return TextGroup(
        tuple(passages),
        coverage,
        calibration.calibrated(coverage) + TIE_BREAK * bm25 / max(scores.max_bm25, 1e-9),
        calibration.likely(coverage),
    )
