"""Refines items with times to moments, each with the first localizer that supports it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retrieval.protocols import Localizer
from retrieval.search.open_space import OpenedSpace, Part
from retrieval.search.query import Query, Term
from retrieval.search.query_vectors import QueryVectors
from retrieval.search.ranking import ScoredItem, clip_score
from retrieval.search.vector_query import VectorQuery
from retrieval.store.reader import Snapshot
from retrieval.types import Frames, Hit, Medium, MomentQuery, ScoredSpan, Space, TimedRows

MIN_PROBABILITY = 1e-3
"""Spans with a lower probability are dropped, except the best one of each item."""

ItemHit = tuple[ScoredItem, Hit]
"""An item of the first stage and its hit."""


@dataclass(frozen=True, slots=True)
class RankedHit:
    """A hit and the first-stage score that it is ranked by."""

    sort_score: float
    hit: Hit


class MomentStage:
    """Converts ranked items to ranked moments.

    Args:
        snapshot: The generation; contains the frames of videos.
        localizers: In order of preference. The last one must accept every query; it reads the
            items that the others leave.
        spaces: Spaces by name.
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
        """Number of first-stage items that a localizer reads."""
        return max(localizer.max_items for localizer in self._localizers)

    def refine(
        self,
        items: Sequence[ItemHit],
        query: Query | VectorQuery,
        vectors: Mapping[str, QueryVectors],
        *,
        calibrated: bool = False,
    ) -> list[RankedHit]:
        """Refine items with times to spans, and rank spans and images together.

        Args:
            items: Items of the first stage, best first.
            query: The query.
            vectors: Its vectors, by space.
            calibrated: Rank by calibrated scores, even if all hits are of one space.

        Returns:
            All moments of all items, and the items without times, best first.
        """
        one_space = len(vectors) < 2 and not calibrated
        timed = [
            (self._with_frames(item, vectors), hit)
            for item, hit in items
            if hit.start_seconds is not None
        ]
        ranked = [
            RankedHit(item.sort_score(one_space=one_space), hit)
            for item, hit in items
            if hit.start_seconds is None
        ]
        queries = {name: moment_query(query, rows) for name, rows in vectors.items()}
        for localizer, group in self._groups(timed, queries):
            space = group[0][0].opened.space
            rows = [self._rows(item, localizer) for item, _ in group]
            spans = localizer.localize(queries[space.name], rows)
            if localizer.gives_probabilities:
                ranked += _rank_by_probability(
                    group, spans, one_space=one_space, likely_score=localizer.likely_score
                )
            else:
                ranked += _rank_by_score(group, spans, vectors[space.name], one_space=one_space)
        ranked.sort(
            key=lambda r: (-r.sort_score, -_score(r.hit), r.hit.item_id, r.hit.start_seconds or 0.0)
        )
        return ranked

    def _with_frames(self, item: ScoredItem, searched: Mapping[str, object]) -> ScoredItem:
        """Replace a video of a clip encoder by the same video in a space that stores frames.

        A clip encoder reads frames around each clip, so its segments extend beyond the borders of
        a moment. Without a searched space that has frames the item stays as it is.
        """
        if item.medium is not Medium.VIDEO or Medium.IMAGE in item.opened.space.media:
            return item
        for name, opened in self._spaces.items():
            if name not in searched or not {Medium.IMAGE, Medium.VIDEO} <= set(opened.space.media):
                continue
            for part in opened.parts:
                if len(segment_rows(part, item.match.item_id, item.match.medium).vectors):
                    return replace(item, opened=opened, part=part)
        return item

    def _groups(
        self, timed: Sequence[ItemHit], queries: Mapping[str, MomentQuery]
    ) -> Iterator[tuple[Localizer, list[ItemHit]]]:
        """Assign every item to a localizer, together with others of its space and medium."""
        groups: dict[tuple[Space, Medium], list[ItemHit]] = {}
        for item, hit in timed:
            groups.setdefault((item.opened.space, item.medium), []).append((item, hit))
        for (space, medium), group in groups.items():
            rest = group
            for localizer in self._localizers:
                if not localizer.can_answer(queries[space.name], space, medium):
                    continue
                last = localizer is self._localizers[-1]
                taken = rest if last else rest[: localizer.max_items]
                if taken:
                    yield localizer, taken
                rest = rest[len(taken) :]

    def _rows(self, item: ScoredItem, localizer: Localizer) -> TimedRows:
        match = item.match
        segments = segment_rows(item.part, match.item_id, match.medium)
        if localizer.reads_frames and item.medium is Medium.VIDEO:
            frames = self._snapshot.item_frames(item.opened.space.name, match.item_id)
            if frames is not None:
                return frame_rows(frames, float(segments.end_seconds[-1]))
        return segments


def moment_query(query: Query | VectorQuery, vectors: QueryVectors) -> MomentQuery:
    """Reduce a query to the mean direction of its vectors, and its text if it is a single one."""
    mean = vectors.vectors.mean(axis=0)
    terms: tuple[Term, ...] = () if isinstance(query, VectorQuery) else query.terms
    text = terms[0].text if len(terms) == 1 and terms[0].weight > 0 else None
    return MomentQuery((mean / np.linalg.norm(mean)).astype(np.float32), text)


def frame_rows(frames: Frames, end_seconds: float) -> TimedRows:
    """Convert frames to contiguous spans with borders half-way between two frames.

    The first span starts at 0; the last one ends with the video.
    """
    seconds = frames.seconds.astype(np.float64)
    borders = (seconds[1:] + seconds[:-1]) / 2
    return TimedRows(
        np.concatenate([seconds[:1] * 0, borders]),
        np.concatenate([borders, np.maximum(seconds[-1:], end_seconds)]),
        frames.vectors,
    )


def segment_rows(part: Part, item_id: int, medium: int) -> TimedRows:
    """Read the segments of one item and medium code."""
    rows = part.item_rows(item_id)
    mask: NDArray[np.bool_] = part.rows.media[rows] == medium
    return TimedRows(
        part.rows.start_seconds[rows][mask].astype(np.float64),
        part.rows.end_seconds[rows][mask].astype(np.float64),
        part.vectors(rows)[mask],
    )


def _rank_by_score(
    group: Sequence[ItemHit],
    item_spans: Sequence[Sequence[ScoredSpan]],
    query: QueryVectors,
    *,
    one_space: bool,
) -> Iterator[RankedHit]:
    """Rank spans scored by inner products as segments are ranked."""
    for (item, hit), spans in zip(group, item_spans, strict=True):
        calibration = item.opened.calibration
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
