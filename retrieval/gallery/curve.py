"""The score of a query over one item's time, as inline SVG with the moment marked."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, LEFT, BOTTOM = 320, 90, 8, 16


@dataclass(frozen=True, slots=True)
class Curve:
    """A query's score over an item's segments; `truth` is the span it should find, when known.

    Attributes:
        start_seconds: (n,) starts of the segments.
        end_seconds: (n,) their ends.
        scores: (n,) inner products.
    """

    start_seconds: NDArray[np.float32]
    end_seconds: NDArray[np.float32]
    scores: NDArray[np.float32]
    truth: tuple[float, float] | None = None


def draw_curve(curve: Curve, start_seconds: float, end_seconds: float) -> str:
    """An SVG element: the steps of the curve, the found span, and the true one below it."""
    if not len(curve.scores):
        return ""
    length = max(float(curve.end_seconds[-1]), 1e-6)
    low, high = float(curve.scores.min()), float(curve.scores.max())
    height = HEIGHT - BOTTOM

    def x(seconds: float) -> float:
        return LEFT + (WIDTH - 2 * LEFT) * seconds / length

    def y(score: float) -> float:
        return 4 + (height - 8) * (1 - (score - low) / max(high - low, 1e-6))

    points = " ".join(
        f"{x(float(at)):.1f},{y(float(score)):.1f}"
        for start, end, score in zip(
            curve.start_seconds, curve.end_seconds, curve.scores, strict=True
        )
        for at in (start, end)
    )
    truth = ""
    if curve.truth is not None:
        truth = _bar(x(curve.truth[0]), x(curve.truth[1]), height - 3, 3, "truth")
    label = f"score over {length:.0f} s, found {start_seconds:.1f}-{end_seconds:.1f} s"
    return (
        f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(label)}">'
        f"{_bar(x(start_seconds), x(end_seconds), 0, height, 'moment')}{truth}"
        f'<polyline points="{points}"/>'
        f'<text x="{LEFT}" y="{HEIGHT - 3}">0 s</text>'
        f'<text x="{WIDTH - LEFT}" y="{HEIGHT - 3}" text-anchor="end">{length:.0f} s</text>'
        "</svg>"
    )


def _bar(left: float, right: float, top: float, height: float, kind: str) -> str:
    width = max(right - left, 1.0)
    return f'<rect class="{kind}" x="{left:.1f}" y="{top}" width="{width:.1f}" height="{height}"/>'
