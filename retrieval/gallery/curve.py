"""Draws the score of a query over an item's time as inline SVG."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from retrieval.gallery.templates import render

WIDTH, HEIGHT, MARGIN, MARGIN_BOTTOM = 320, 90, 8, 16


@dataclass(frozen=True, slots=True)
class Curve:
    """A query's score over an item's segments.

    Attributes:
        start_seconds: (n,) starts of the segments.
        end_seconds: (n,) their ends.
        scores: (n,) inner products.
        truth: The true span, if known.
    """

    start_seconds: NDArray[np.float32]
    end_seconds: NDArray[np.float32]
    scores: NDArray[np.float32]
    truth: tuple[float, float] | None = None


def draw_curve(curve: Curve, start_seconds: float, end_seconds: float) -> Markup:
    """Draw the curve, the span of the hit, and the true span below it; empty without segments."""
    if not len(curve.scores):
        return Markup()
    duration = max(float(curve.end_seconds[-1]), 1e-6)
    low, high = float(curve.scores.min()), float(curve.scores.max())

    def x(seconds: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * seconds / duration

    def y(score: float) -> float:
        return 4 + (HEIGHT - MARGIN_BOTTOM - 8) * (1 - (score - low) / max(high - low, 1e-6))

    points = " ".join(
        f"{x(float(seconds)):.1f},{y(float(score)):.1f}"
        for start, end, score in zip(
            curve.start_seconds, curve.end_seconds, curve.scores, strict=True
        )
        for seconds in (start, end)
    )
    return render(
        "curve.html",
        width=WIDTH,
        height=HEIGHT,
        margin_bottom=MARGIN_BOTTOM,
        label=f"score over {duration:.0f} s, found {start_seconds:.1f}-{end_seconds:.1f} s",
        moment=(x(start_seconds), x(end_seconds)),
        truth=(x(curve.truth[0]), x(curve.truth[1])) if curve.truth else None,
        points=points,
        axis=[(MARGIN, "start", 0), (WIDTH - MARGIN, "end", duration)],
    )
