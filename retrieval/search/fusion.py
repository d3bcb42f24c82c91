"""Orders items by their vectors and their matching texts together.

Reciprocal rank fusion ignores how good a match is, so that unrelated matches move good ones. Here
scores are calibrated by unrelated queries, and the better of both counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from retrieval.search.hits import with_values
from retrieval.search.ranking import ItemRows, ScoredItem, hits_of
from retrieval.texts.groups import TextGroup
from retrieval.types import Hit

AGREEMENT = 0.25
"""Share of the smaller calibrated score that is added to the larger one."""

MIN_CANDIDATES = 50
"""Number of items that vectors deliver where texts match, so that agreement is found."""


@dataclass(frozen=True, slots=True)
class FusedItem:
    """An item that vectors, texts or both found.

    Attributes:
        scored: What vectors found; None if only words found the item.
        groups: Matching texts, best first.
        sort_score: Calibrated score to rank by.
    """

    item_id: int
    scored: ScoredItem | None
    groups: Sequence[TextGroup]
    sort_score: float


def combined_score(vector: float | None, text: float | None) -> float:
    """Combine calibrated scores: the larger one, and `AGREEMENT` of the smaller one above 0."""
    scores = [score for score in (vector, text) if score is not None]
    agreement = AGREEMENT * max(0.0, min(scores)) if len(scores) == 2 else 0.0
    return max(scores) + agreement


def fuse(
    items: Iterable[ScoredItem], groups: Mapping[int, Sequence[TextGroup]], limit: int
) -> list[FusedItem]:
    """Rank items that vectors or texts found.

    Args:
        items: Items that vectors found.
        groups: Matching texts by item.
        limit: Number of items to return.
    """
    scored = {item.match.item_id: item for item in items}
    fused = []
    for item_id in scored.keys() | groups.keys():
        item, texts = scored.get(item_id), groups.get(item_id, ())
        score = combined_score(
            None if item is None else item.calibrated, texts[0].score if texts else None
        )
        fused.append(FusedItem(item_id, item, texts, score))

    def key(item: FusedItem) -> tuple[float, float, int]:
        calibrated = -float("inf") if item.scored is None else item.scored.calibrated
        return -item.sort_score, -calibrated, item.item_id

    return sorted(fused, key=key)[:limit]


def fused_hits(fused: Sequence[FusedItem], table: ItemRows) -> list[Hit]:
    """Convert ranked items to hits, without a description of the matching text.

    A hit whose best text has times and a better score than its vectors shows the times of the text.
    """
    scored = [item.scored for item in fused if item.scored is not None]
    by_vectors = {hit.item_id: hit for hit in hits_of(scored, table)}
    by_words = {
        hit.item_id: hit
        for hit in word_hits([item.item_id for item in fused if item.scored is None], table)
    }
    hits = []
    for item in fused:
        hit = by_vectors.get(item.item_id) or by_words[item.item_id]
        if item.groups:
            group = item.groups[0]
            best = group.best
            values: dict[str, object] = {
                "likely": hit.likely or group.likely,
                "text_score": best.bm25,
            }
            if best.is_timed and (item.scored is None or group.score > item.scored.calibrated):
                values["start_seconds"] = best.row.start_seconds
                values["end_seconds"] = best.row.end_seconds
            hit = with_values(hit, **values)
        hits.append(hit)
    return hits


def word_hits(item_ids: Sequence[int], table: ItemRows) -> list[Hit]:
    """Create hits of items that only words found: without score, space and times."""
    return [
        Hit(
            rank=0,
            score=None,
            item_id=item_id,
            uri=uri,
            modality=modality,
            medium=modality,
            start_seconds=None,
            end_seconds=None,
            space=None,
            likely=False,
            metadata=metadata,
        )
        for item_id, (uri, modality, metadata) in zip(item_ids, table.rows(item_ids), strict=True)
    ]
