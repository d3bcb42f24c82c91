"""How a training went: its losses, its scores on validation pairs, and both as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.evaluation.ranking import success_at_k

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 300, 48, 48, 28, 24
POINTS = 300
"""Losses drawn at most; each is the mean of the steps it stands for."""

SHARES = ("first", "second", "third")
STYLE = (
    "text{font:11px sans-serif;fill:#555}polyline{fill:none;stroke-width:1.6}"
    ".loss{stroke:#999}.first{stroke:#c0392b}.second{stroke:#2471a3}.third{stroke:#1e8449}"
    ".frame{fill:none;stroke:#ddd}"
)


@dataclass(frozen=True, slots=True)
class ValidationScore:
    """What a model reaches on held-out pairs after some steps.

    Attributes:
        step: Steps done.
        shares: Shares of the queries, 0 … 1, by the name of the measure; the first one counts most,
            and three at most are drawn.
        pool: Media that were ranked; of moments, the queries that were asked.
    """

    step: int
    shares: Mapping[str, float]
    pool: int

    @classmethod
    def of_ranks(cls, step: int, ranks: NDArray[np.int64], pool: int) -> ValidationScore:
        """R@1, R@5 and R@10, from the rank of each text's first relevant medium; 1 is best."""
        return cls(step, {f"R@{k}": success_at_k(ranks, k) for k in (1, 5, 10)}, pool)

    @property
    def headline(self) -> str:
        """The share that counts most, in words."""
        name, share = next(iter(self.shares.items()))
        return f"{name} {share:.1%}"

    def __str__(self) -> str:
        shares = ", ".join(f"{name} {share:.1%}" for name, share in self.shares.items())
        return f"{shares} in {self.pool:,}"


@dataclass(slots=True)
class TrainingHistory:
    """The loss of every step so far, the scores taken on the way, and the time on the clock."""

    losses: list[float] = field(default_factory=list)
    scores: list[ValidationScore] = field(default_factory=list)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> TrainingHistory:
        """Read what `to_json` gave; raises TypeError or KeyError on anything else."""
        scores = [ValidationScore(**score) for score in raw["scores"]]
        return cls([float(loss) for loss in raw["losses"]], scores, float(raw["seconds"]))


def join(parts: Sequence[TrainingHistory]) -> TrainingHistory:
    """Histories of trainings that followed each other as one."""
    whole = TrainingHistory()
    for part in parts:
        first = len(whole.losses)
        whole.losses += part.losses
        whole.scores += [replace(score, step=first + score.step) for score in part.scores]
        whole.seconds += part.seconds
    return whole


def draw_history(history: TrainingHistory) -> str:
    """An SVG document: loss (left axis) and validation shares (right axis) over steps."""
    steps = max(1, len(history.losses))
    losses = _thinned(history.losses)
    highest = max((loss for _, loss in losses), default=1.0) or 1.0

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / steps

    def y(share: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)

    lines = [_line("loss", [(x(step), y(loss / highest)) for step, loss in losses])]
    legend = [f"loss, left, 0 to {highest:.2f}"]
    reached = history.scores[-1].shares if history.scores else {}
    for kind, (name, share) in zip(SHARES, reached.items(), strict=False):
        points = [(x(score.step), y(score.shares[name])) for score in history.scores]
        lines.append(_line(kind, points))
        legend.append(f"{name} {share:.0%}")
    title = escape(f"{steps} steps; {'; '.join(legend)}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{title}"><style>{STYLE}</style>'
        f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" '
        f'height="{HEIGHT - TOP - BOTTOM}"/>{"".join(lines)}'
        f'<text x="{LEFT}" y="{TOP - 10}">{title}</text>'
        f'<text x="{LEFT - 6}" y="{TOP + 8}" text-anchor="end">{highest:.2f}</text>'
        f'<text x="{WIDTH - RIGHT + 6}" y="{TOP + 8}">100 %</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 8}">0</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{steps} steps</text>'
        "</svg>\n"
    )


def _thinned(losses: Sequence[float]) -> list[tuple[float, float]]:
    """(step, mean loss) of at most `POINTS` groups of neighbouring steps."""
    size = max(1, -(-len(losses) // POINTS))
    groups = [losses[first : first + size] for first in range(0, len(losses), size)]
    return [
        (number * size + len(group), sum(group) / len(group)) for number, group in enumerate(groups)
    ]


def _line(kind: str, points: Sequence[tuple[float, float]]) -> str:
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="{kind}" points="{joined}"/>'
