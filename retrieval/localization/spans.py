"""Spans of time: how much two of them overlap, and keeping the best of those that do."""

from __future__ import annotations

from collections.abc import Sequence

Span = tuple[float, float]
"""A half-open span [start_seconds, end_seconds)."""


def overlap(first: Span, second: Span) -> float:
    """Intersection over union of two spans, 0 … 1, with the true union.

    Evaluators of video moments often take the hull of two disjoint spans for their union; for
    spans that overlap the two are the same, for others the value is 0 either way.
    """
    shared = min(first[1], second[1]) - max(first[0], second[0])
    if shared <= 0:
        return 0.0
    return shared / (first[1] - first[0] + second[1] - second[0] - shared)


def without_overlaps(
    spans: Sequence[tuple[float, float, float]], *, limit: int
) -> list[tuple[float, float, float]]:
    """Keep the best-scored spans that do not touch a better one.

    Args:
        spans: (start_seconds, end_seconds, score) in any order.
        limit: How many to keep.

    Returns:
        Best first.
    """
    kept: list[tuple[float, float, float]] = []
    for span in sorted(spans, key=lambda s: (-s[2], s[0])):
        if all(span[1] <= other[0] or span[0] >= other[1] for other in kept):
            kept.append(span)
        if len(kept) == limit:
            break
    return kept
