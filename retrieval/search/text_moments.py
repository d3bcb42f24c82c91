"""Ranks the moments that words found together with those that vectors found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from retrieval.search.fusion import combined_score, word_hits
from retrieval.search.moments import RankedHit
from retrieval.search.ranking import ItemRows
from retrieval.search.text_answers import TextAnswers
from retrieval.texts.groups import TextGroup
from retrieval.types import Hit


def rank_moments(
    ranked: Sequence[RankedHit], text: TextAnswers, table: ItemRows, limit: int
) -> list[Hit]:
    """Rank moments of vectors and of texts by calibrated score.

    A text moment spans the matching cues; vectors do not change its times. A moment of vectors that
    overlaps it agrees. A text without times adds to all moments of its item.

    Args:
        ranked: Moments, and items without times, that vectors found.
        text: The matching texts.
        table: Columns of the items.
        limit: Number of hits to return.
    """
    entries = [_with_untimed_text(entry, text) for entry in ranked]
    found = {entry.hit.item_id for entry in ranked}
    others = {hit.item_id: hit for hit in word_hits(list(text.groups), table)}
    for item_id, groups in text.groups.items():
        entries += [
            _text_entry(others[item_id], group, ranked, text)
            for group in groups
            if group.span is not None or item_id not in found
        ]
    entries.sort(
        key=lambda e: (
            -e.sort_score,
            e.hit.item_id,
            e.hit.start_seconds or 0.0,
            e.hit.score is None,
        )
    )
    return [entry.hit for entry in entries[:limit]]


def _with_untimed_text(entry: RankedHit, text: TextAnswers) -> RankedHit:
    """Add the best text without times of the item to a hit of vectors."""
    groups = text.groups.get(entry.hit.item_id, [])
    group = next((group for group in groups if group.span is None), None)
    if group is None:
        return entry
    hit = replace(text.describe(entry.hit, group), likely=entry.hit.likely or group.likely)
    return RankedHit(combined_score(entry.sort_score, group.score), hit)


def _text_entry(
    hit: Hit, group: TextGroup, ranked: Sequence[RankedHit], text: TextAnswers
) -> RankedHit:
    """Create the hit of a text moment, or of an item that only a text without times found."""
    hit = replace(text.describe(hit, group), likely=group.likely)
    if group.span is None:
        return RankedHit(group.score, hit)
    start, end = group.span
    overlapping = [
        entry.sort_score
        for entry in ranked
        if entry.hit.item_id == hit.item_id and _overlaps(entry.hit, start, end)
    ]
    score = combined_score(max(overlapping, default=None), group.score)
    return RankedHit(score, replace(hit, start_seconds=start, end_seconds=end))


def _overlaps(hit: Hit, start: float, end: float) -> bool:
    if hit.start_seconds is None or hit.end_seconds is None:
        return False
    return hit.start_seconds < end and start < hit.end_seconds
