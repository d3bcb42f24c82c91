"""Localize: items with times refined to spans, each by the first localizer that reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retrieval.protocols import Localizer
from retrieval.search.open_space import ItemMatch, OpenedSpace, Part, bounded
from retrieval.search.query import Query, Term
from retrieval.search.query_vectors import QueryVectors
from retrieval.search.vector_query import VectorQuery
from retrieval.store.reader import Snapshot
from retrieval.store.schema import MEDIUM_CODES
from retrieval.types import Frames, Hit, Medium, MomentQuery, ScoredSpan, Space, TimedRows

LEAST_PROBABILITY = 1e-3
"""Spans of a lower probability are no answers, except for the best of their item."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A match of the first stage with what its score means."""

    match: ItemMatch
    opened: OpenedSpace
    part: Part
    calibrated: float
    likely: bool

    @property
    def medium(self) -> Medium:
        """What of the item matched."""
        return MEDIUM_CODES[self.match.medium]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A hit and what it is ranked by: its score, or its calibrated one in several spaces."""

    key: float
    hit: Hit


class MomentStage:
    """Turns items into moments.

    Args:
        snapshot: Holds the frames.
        localizers: In order of preference; the last one answers every query, about all items
            that the others have left.
        spaces: Those that items may be read in, by name.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        localizers: Sequence[Localizer],
        spaces: Mapping[str, OpenedSpace],
    ) -> None:
        self._snapshot = snapshot
        self._localizers = localizers
        self._spaces = spaces

    @property
    def max_items(self) -> int:
        """Items that are worth naming by the first stage."""
        return max(localizer.max_items for localizer in self._localizers)

    def refine(
        self,
        found: Sequence[tuple[Candidate, Hit]],
        query: Query | VectorQuery,
        vectors: Mapping[str, QueryVectors],
        *,
        by_score: bool,
    ) -> list[Hit]:
        """Refine the items that have times to spans; rank spans and pictures together.

        Args:
            found: The first stage's items, best first.
            query: What was asked.
            vectors: Its vectors, by space.
            by_score: Rank by the score itself and not by its calibration.

        Returns:
            All moments of all items, and the items without times, best first.
        """
        timed = [
            (self._where_read(candidate, vectors), hit)
            for candidate, hit in found
            if hit.start_seconds is not None
        ]
        ranked = [
            Ranked(hit.score if by_score else candidate.calibrated, hit)
            for candidate, hit in found
            if hit.start_seconds is None
        ]
        asked = {name: moment_query(query, rows) for name, rows in vectors.items()}
        for localizer, group in self._groups(timed, asked):
            space = group[0][0].opened.space
            rows = [self._rows(candidate, localizer) for candidate, _ in group]
            spans = localizer.localize(asked[space.name], rows)
            if localizer.gives_probabilities:
                ranked += _in_their_places(
                    group, spans, by_score=by_score, likely_score=localizer.likely_score
                )
            else:
                ranked += _by_span(group, spans, vectors[space.name], by_score=by_score)
        ranked.sort(key=lambda r: (-r.key, -r.hit.score, r.hit.item_id, r.hit.start_seconds or 0.0))
        return [one.hit for one in ranked]

    def _where_read(self, candidate: Candidate, asked: Mapping[str, object]) -> Candidate:
        """The same item in a space that keeps its frames apart, where the query has one.

        A model of videos reads clips with what lies around them: it finds the video, but its
        segments reach over the moment's borders.
        """
        if candidate.medium is not Medium.VIDEO or Medium.IMAGE in candidate.opened.space.media:
            return candidate
        for name, opened in self._spaces.items():
            if name not in asked or not {Medium.IMAGE, Medium.VIDEO} <= set(opened.space.media):
                continue
            for part in opened.parts:
                if len(segment_rows(part, candidate.match.item_id, candidate.match.medium).vectors):
                    return replace(candidate, opened=opened, part=part)
        return candidate

    def _groups(
        self, timed: Sequence[tuple[Candidate, Hit]], asked: Mapping[str, MomentQuery]
    ) -> Iterator[tuple[Localizer, list[tuple[Candidate, Hit]]]]:
        """Give every item to a localizer, together with the others of its space and medium."""
        groups: dict[tuple[Space, Medium], list[tuple[Candidate, Hit]]] = {}
        for candidate, hit in timed:
            groups.setdefault((candidate.opened.space, candidate.medium), []).append(
                (candidate, hit)
            )
        for (space, medium), group in groups.items():
            rest = group
            for localizer in self._localizers:
                if not localizer.can_answer(asked[space.name], space, medium):
                    continue
                last = localizer is self._localizers[-1]
                taken = rest if last else rest[: localizer.max_items]
                if taken:
                    yield localizer, taken
                rest = rest[len(taken) :]

    def _rows(self, candidate: Candidate, localizer: Localizer) -> TimedRows:
        match = candidate.match
        segments = segment_rows(candidate.part, match.item_id, match.medium)
        if localizer.reads_frames and candidate.medium is Medium.VIDEO:
            frames = self._snapshot.item_frames(candidate.opened.space.name, match.item_id)
            if frames is not None:
                return frame_rows(frames, float(segments.end_seconds[-1]))
        return segments


def moment_query(query: Query | VectorQuery, vectors: QueryVectors) -> MomentQuery:
    """What a localizer gets to see of a query: the mean direction of its vectors, and its text."""
    mean = vectors.vectors.mean(axis=0)
    terms: tuple[Term, ...] = () if isinstance(query, VectorQuery) else query.terms
    text = terms[0].text if len(terms) == 1 and terms[0].weight > 0 else None
    return MomentQuery((mean / np.linalg.norm(mean)).astype(np.float32), text)


def frame_rows(frames: Frames, end_seconds: float) -> TimedRows:
    """Give frames a span each: what is seen changes somewhere between two of them.

    The border is put half-way; the first begins at 0, the last ends where the video does.
    """
    seconds = frames.seconds.astype(np.float64)
    borders = (seconds[1:] + seconds[:-1]) / 2
    return TimedRows(
        np.concatenate([seconds[:1] * 0, borders]),
        np.concatenate([borders, np.maximum(seconds[-1:], end_seconds)]),
        frames.vectors,
    )


def segment_rows(part: Part, item_id: int, medium: int) -> TimedRows:
    """An item's segments of one medium."""
    place = part.item_rows(item_id)
    chosen: NDArray[np.bool_] = part.rows.media[place] == medium
    return TimedRows(
        part.rows.start_seconds[place][chosen].astype(np.float64),
        part.rows.end_seconds[place][chosen].astype(np.float64),
        part.vectors(place)[chosen],
    )


def _by_span(
    group: Sequence[tuple[Candidate, Hit]],
    spans: Sequence[Sequence[ScoredSpan]],
    query: QueryVectors,
    *,
    by_score: bool,
) -> Iterator[Ranked]:
    """Spans scored by inner products are ranked and judged as segments are."""
    for (candidate, hit), found in zip(group, spans, strict=True):
        calibration = candidate.opened.calibration
        for start, end, score in found:
            calibrated = calibration.calibrated(score, query.kind, hit.medium)
            likely = calibration.likely(score, query.kind, hit.medium)
            moment = replace(
                hit, score=bounded(score), start_seconds=start, end_seconds=end, likely=likely
            )
            yield Ranked(score if by_score else calibrated, moment)


def _in_their_places(
    group: Sequence[tuple[Candidate, Hit]],
    spans: Sequence[Sequence[ScoredSpan]],
    *,
    by_score: bool,
    likely_score: float,
) -> Iterator[Ranked]:
    """Spans scored by probabilities take, best first, the places that their items had.

    A probability among some items says nothing of other spaces or of pictures; the first stage's
    scores do. So the order inside the group is the localizer's, and the group stays where it was.
    A span is likely where its item is, by the first stage, and its own probability is.
    """
    moments = [
        replace(
            hit,
            score=score,
            start_seconds=start,
            end_seconds=end,
            likely=hit.likely and score >= likely_score,
        )
        for (_, hit), found in zip(group, spans, strict=True)
        for start, end, score in found
    ]
    moments.sort(key=lambda moment: -moment.score)
    moments = _without_filling(moments)
    places = sorted((c.match.score if by_score else c.calibrated for c, _ in group), reverse=True)
    for number, moment in enumerate(moments):
        yield Ranked(places[min(number, len(places) - 1)], moment)


def _without_filling(moments: Sequence[Hit]) -> list[Hit]:
    """Drop the least probable of all pairs of borders; every item keeps its best moment.

    Args:
        moments: Best first.
    """
    seen: set[int] = set()
    kept = []
    for moment in moments:
        if moment.score >= LEAST_PROBABILITY or moment.item_id not in seen:
            kept.append(moment)
        seen.add(moment.item_id)
    return kept
