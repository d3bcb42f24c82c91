"""Intersection over union of time spans, and suppression of overlapping spans."""

from __future__ import annotations

from collections.abc import Sequence

Span = tuple[float, float]
"""A half-open span [start_seconds, end_seconds)."""


def overlap(first: Span, second: Span) -> float:
    """Return the intersection over union of two spans, 0 … 1.

    Evaluators of video moments often use the hull of both spans instead of the union. The result
    is the same: the hull is the union if the spans overlap, and otherwise both values are 0.
    """
    shared = min(first[1], second[1]) - max(first[0], second[0])
    if shared <= 0:
        return 0.0
    return shared / (first[1] - first[0] + second[1] - second[0] - shared)


def suppress_overlaps(
    spans: Sequence[tuple[float, float, float]], *, limit: int
) -> list[tuple[float, float, float]]:
    """Return the best spans, without any that overlaps a better one.

    Args:
        spans: (start_seconds, end_seconds, score) in any order.
        limit: Maximum number of spans.

    Returns:
        Best first.
    """
    selected: list[tuple[float, float, float]] = []
    for span in sorted(spans, key=lambda span: (-span[2], span[0])):
        if all(span[1] <= other[0] or span[0] >= other[1] for other in selected):
            selected.append(span)
        if len(selected) == limit:
            break
    return selected
