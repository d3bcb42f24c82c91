"""Orders the items that vectors found in one or several spaces."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from retrieval.search.calibration import Calibration
from retrieval.search.matches import ItemMatch
from retrieval.search.member import ItemRow, SpaceMatches
from retrieval.search.query_vectors import QueryVectors
from retrieval.store.schema import MEDIUM_CODES
from retrieval.types import Hit, Medium


class ItemRows(Protocol):
    """Reads the columns of items."""

    def rows(self, item_ids: Sequence[int]) -> list[ItemRow]:
        """Read uri, modality and metadata of items."""


@dataclass(frozen=True, slots=True)
class ScoredItem:
    """An item found by the first stage.

    Attributes:
        match: The item's best row.
        space: Name of the space of that row.
        calibrated: The score in deviations above the mean of unrelated queries.
        likely: Whether the score is better than those of unrelated queries.
    """

    match: ItemMatch
    space: str
    calibrated: float
    likely: bool

    @property
    def medium(self) -> Medium:
        """Medium of the best segment."""
        return MEDIUM_CODES[self.match.medium]

    def sort_score(self, *, one_space: bool) -> float:
        """Score to rank by. Scores of one space are comparable; several need calibration."""
        return self.match.score if one_space else self.calibrated


def rank_items(
    matches: SpaceMatches,
    vectors: Mapping[str, QueryVectors],
    calibrations: Mapping[str, Calibration],
    limit: int,
) -> list[ScoredItem]:
    """Rank the matches of all spaces, each item once, best first.

    Args:
        matches: Matches by space.
        vectors: The query by space; the order of the spaces decides between equal scores.
        calibrations: Calibration by space.
        limit: Number of items.
    """
    one_space = len(vectors) < 2
    ranked = sorted(
        best_of_items(matches, vectors, calibrations),
        key=lambda item: (-item.sort_score(one_space=one_space), item.match.item_id),
    )
    return ranked[:limit]


def best_of_items(
    matches: SpaceMatches,
    vectors: Mapping[str, QueryVectors],
    calibrations: Mapping[str, Calibration],
) -> list[ScoredItem]:
    """Return the match with the best calibrated score of each item, in any order."""
    best: dict[int, ScoredItem] = {}
    for item in _calibrated(matches, vectors, calibrations):
        previous = best.get(item.match.item_id)
        if previous is None or item.calibrated > previous.calibrated:
            best[item.match.item_id] = item
    return list(best.values())


def _calibrated(
    matches: SpaceMatches,
    vectors: Mapping[str, QueryVectors],
    calibrations: Mapping[str, Calibration],
) -> Iterator[ScoredItem]:
    for name, query in vectors.items():
        calibration = calibrations[name]
        for match in matches.get(name, ()):
            medium = MEDIUM_CODES[match.medium]
            yield ScoredItem(
                match,
                name,
                calibration.calibrated(match.score, query.query_type, medium),
                calibration.likely(match.score, query.query_type, medium),
            )


def hits_of(items: Sequence[ScoredItem], table: ItemRows) -> list[Hit]:
    """Convert ranked items to hits, with the columns of the items."""
    described = table.rows([item.match.item_id for item in items])
    hits = []
    ranked = enumerate(zip(items, described, strict=True), 1)
    for rank, (item, (uri, modality, metadata)) in ranked:
        match = item.match
        timed = not math.isnan(match.start_seconds)
        hits.append(
            Hit(
                rank=rank,
                score=clip_score(match.score),
                item_id=match.item_id,
                uri=uri,
                modality=modality,
                medium=item.medium,
                start_seconds=match.start_seconds if timed else None,
                end_seconds=match.end_seconds if timed else None,
                space=item.space,
                likely=item.likely,
                metadata=metadata,
            )
        )
    return hits


def clip_score(score: float) -> float:
    """Clip a score to -1 … 1: float16 rounding changes the length of stored vectors."""
    return max(-1.0, min(1.0, score))
