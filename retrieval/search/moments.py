"""Refines items with times to moments, each with the first localizer that supports it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from retrieval.protocols import Localizer
from retrieval.search.calibration import Calibration
from retrieval.search.member import WantedRows
from retrieval.search.query import Query, Term
from retrieval.search.query_vectors import QueryVectors
from retrieval.search.ranking import ScoredItem, clip_score
from retrieval.search.vector_query import VectorQuery
from retrieval.types import Hit, Medium, MomentQuery, ScoredSpan, Space, TimedRows

MIN_PROBABILITY = 1e-3
"""Spans with a lower probability are dropped, except the best one of each item."""

ItemHit = tuple[ScoredItem, Hit]
"""An item of the first stage and its hit."""


@dataclass(frozen=True, slots=True)
class RankedHit:
    """A hit and the first-stage score that it is ranked by."""

    sort_score: float
    hit: Hit


class TimedItems(Protocol):
    """Reads the vectors of items for localizers."""

    def first_spaces(
        self, items: Sequence[tuple[int, Medium]], spaces: Sequence[str]
    ) -> list[str | None]:
        """Return the first of some spaces in which each item has rows of a medium."""

    def timed_rows(self, wanted: Sequence[WantedRows]) -> list[TimedRows]:
        """Read frames, or else segments."""


class MomentStage:
    """Converts ranked items to ranked moments.

    Args:
        localizers: In order of preference. The last one must accept every query; it reads the
            items that the others leave.
        spaces: All spaces by name.
    """

    def __init__(self, localizers: Sequence[Localizer], spaces: Mapping[str, Space]) -> None:
        self._localizers = localizers
        self._spaces = spaces

    @property
    def max_items(self) -> int:
        """Number of first-stage items that a localizer reads."""
        return max(localizer.max_items for localizer in self._localizers)

    def refine(
        self,
        items: Sequence[ItemHit],
        query: Query | VectorQuery,
        vectors: Mapping[str, QueryVectors],
        calibrations: Mapping[str, Calibration],
        reader: TimedItems,
        *,
        calibrated: bool = False,
    ) -> list[RankedHit]:
        """Refine items with times to spans, and rank spans and images together.

        Args:
            items: Items of the first stage, best first.
            query: The query.
            vectors: Its vectors, by space.
            calibrations: Calibration by space.
            reader: Reads the vectors of items.
            calibrated: Rank by calibrated scores, even if all hits are of one space.

        Returns:
            All moments of all items, and the items without times, best first.
        """
        one_space = len(vectors) < 2 and not calibrated
        timed = [(item, hit) for item, hit in items if hit.start_seconds is not None]
        timed = self._with_frames(timed, vectors, reader)
        ranked = [
            RankedHit(item.sort_score(one_space=one_space), hit)
            for item, hit in items
            if hit.start_seconds is None
        ]
        queries = {name: moment_query(query, rows) for name, rows in vectors.items()}
        for localizer, group in self._groups(timed, queries):
            space = group[0][0].space
            reads_frames = localizer.reads_frames and group[0][0].medium is Medium.VIDEO
            rows = reader.timed_rows(
                [
                    WantedRows(item.match.item_id, space, item.medium, reads_frames)
                    for item, _ in group
                ]
            )
            spans = localizer.localize(queries[space], rows)
            if localizer.gives_probabilities:
                ranked += _rank_by_probability(
                    group, spans, one_space=one_space, likely_score=localizer.likely_score
                )
            else:
                calibration = calibrations[space]
                ranked += _rank_by_score(
                    group, spans, vectors[space], calibration, one_space=one_space
                )
        ranked.sort(
            key=lambda r: (-r.sort_score, -_score(r.hit), r.hit.item_id, r.hit.start_seconds or 0.0)
        )
        return ranked

    def _with_frames(
        self, timed: Sequence[ItemHit], searched: Mapping[str, object], reader: TimedItems
    ) -> list[ItemHit]:
        """Replace videos of a clip encoder by the same videos in a space that stores frames.

        A clip encoder reads frames around each clip, so its segments extend beyond the borders of
        a moment. Without a searched space that has frames the item stays as it is.
        """
        with_frames = [
            name
            for name, space in self._spaces.items()
            if name in searched and {Medium.IMAGE, Medium.VIDEO} <= set(space.media)
        ]
        items: list[tuple[int, Medium]] = [
            (item.match.item_id, item.medium)
            for item, _ in timed
            if item.medium is Medium.VIDEO and Medium.IMAGE not in self._spaces[item.space].media
        ]
        if not with_frames or not items:
            return list(timed)
        found = dict(zip(items, reader.first_spaces(items, with_frames), strict=True))
        return [
            (replace(item, space=found.get((item.match.item_id, item.medium)) or item.space), hit)
            for item, hit in timed
        ]

    def _groups(
        self, timed: Sequence[ItemHit], queries: Mapping[str, MomentQuery]
    ) -> Iterator[tuple[Localizer, list[ItemHit]]]:
        """Assign every item to a localizer, together with others of its space and medium."""
        groups: dict[tuple[str, Medium], list[ItemHit]] = {}
        for item, hit in timed:
            groups.setdefault((item.space, item.medium), []).append((item, hit))
        for (space, medium), group in groups.items():
            rest = group
            for localizer in self._localizers:
                if not localizer.can_answer(queries[space], self._spaces[space], medium):
                    continue
                last = localizer is self._localizers[-1]
                taken = rest if last else rest[: localizer.max_items]
                if taken:
                    yield localizer, taken
                rest = rest[len(taken) :]


def moment_query(query: Query | VectorQuery, vectors: QueryVectors) -> MomentQuery:
    """Reduce a query to the mean direction of its vectors, and its text if it is a single one."""
    mean = vectors.vectors.mean(axis=0)
    terms: tuple[Term, ...] = () if isinstance(query, VectorQuery) else query.terms
    text = terms[0].text if len(terms) == 1 and terms[0].weight > 0 else None
    return MomentQuery((mean / np.linalg.norm(mean)).astype(np.float32), text)


def _rank_by_score(
    group: Sequence[ItemHit],
    item_spans: Sequence[Sequence[ScoredSpan]],
    query: QueryVectors,
    calibration: Calibration,
    *,
    one_space: bool,
) -> Iterator[RankedHit]:
    """Rank spans scored by inner products as segments are ranked."""
    for (_, hit), spans in zip(group, item_spans, strict=True):
        for start, end, score in spans:
            calibrated = calibration.calibrated(score, query.query_type, hit.medium)
            likely = calibration.likely(score, query.query_type, hit.medium)
            moment = replace(
                hit, score=clip_score(score), start_seconds=start, end_seconds=end, likely=likely
            )
            yield RankedHit(score if one_space else calibrated, moment)


def _rank_by_probability(
    group: Sequence[ItemHit],
    item_spans: Sequence[Sequence[ScoredSpan]],
    *,
    one_space: bool,
    likely_score: float,
) -> Iterator[RankedHit]:
    """Rank spans scored by probabilities at the ranks of their items, the most probable first.

    Probabilities within one group cannot be compared with other spaces or with images, but
    first-stage scores can. So the localizer orders the moments of the group, and the group keeps
    the ranks of its items. A span is likely if its item is and if its own probability is high.
    """
    moments = [
        replace(
            hit,
            score=score,
            start_seconds=start,
            end_seconds=end,
            likely=hit.likely and score >= likely_score,
        )
        for (_, hit), spans in zip(group, item_spans, strict=True)
        for start, end, score in spans
    ]
    moments = _drop_improbable(sorted(moments, key=lambda moment: -_score(moment)))
    scores = sorted((item.sort_score(one_space=one_space) for item, _ in group), reverse=True)
    for number, moment in enumerate(moments):
        yield RankedHit(scores[min(number, len(scores) - 1)], moment)


def _drop_improbable(moments: Sequence[Hit]) -> list[Hit]:
    """Drop improbable spans, but keep the best one of every item.

    Args:
        moments: Best first.
    """
    seen: set[int] = set()
    remaining = []
    for moment in moments:
        if _score(moment) >= MIN_PROBABILITY or moment.item_id not in seen:
            remaining.append(moment)
        seen.add(moment.item_id)
    return remaining


def _score(hit: Hit) -> float:
    return -1.0 if hit.score is None else hit.score
