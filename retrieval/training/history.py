"""The history of a training run: losses, validation scores, and a plot of both."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from retrieval.evaluation.ranking import success_at_k

MAX_POINTS = 300
"""Largest number of plotted losses; each is the mean of neighbouring steps."""

MAX_CURVES = 3
"""Largest number of plotted measures."""


@dataclass(frozen=True, slots=True)
class ValidationScore:
    """Scores of a model on held-out data.

    Attributes:
        step: Number of finished steps.
        shares: Shares of the queries in [0, 1] by the name of the measure, most important first.
        pool: Number of ranked media; for moments, the number of queries.
    """

    step: int
    shares: Mapping[str, float]
    pool: int

    @classmethod
    def from_ranks(cls, step: int, ranks: NDArray[np.int64], pool: int) -> ValidationScore:
        """Compute R@1, R@5 and R@10 from the rank of each text's first relevant medium."""
        return cls(step, {f"R@{k}": success_at_k(ranks, k) for k in (1, 5, 10)}, pool)

    @property
    def headline(self) -> str:
        """The most important share as text."""
        name, share = next(iter(self.shares.items()))
        return f"{name} {share:.1%}"

    def __str__(self) -> str:
        shares = ", ".join(f"{name} {share:.1%}" for name, share in self.shares.items())
        return f"{shares} in {self.pool:,}"


@dataclass(slots=True)
class TrainingHistory:
    """The loss of every step, the validation scores, and the seconds spent."""

    losses: list[float] = field(default_factory=list)
    scores: list[ValidationScore] = field(default_factory=list)
    seconds: float = 0.0


def join_histories(parts: Sequence[TrainingHistory]) -> TrainingHistory:
    """Concatenate the histories of consecutive runs."""
    joined = TrainingHistory()
    for part in parts:
        first = len(joined.losses)
        joined.losses += part.losses
        joined.scores += [replace(score, step=first + score.step) for score in part.scores]
        joined.seconds += part.seconds
    return joined


def plot_history(history: TrainingHistory) -> str:
    """Plot losses (left axis) and validation shares (right axis) over the steps as an SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    losses = figure.add_subplot(title=f"{len(history.losses)} steps", xlabel="step", ylabel="loss")
    steps, means = smooth_losses(history.losses)
    losses.plot(steps, means, color="tab:gray", label="loss")
    losses.set_ylim(bottom=0)
    shares = losses.twinx()
    shares.set(ylabel="share of the queries", ylim=(0, 1))
    latest = history.scores[-1].shares if history.scores else {}
    for name in list(latest)[:MAX_CURVES]:
        points = [(score.step, score.shares[name]) for score in history.scores]
        shares.plot(*zip(*points, strict=True), label=f"{name} {latest[name]:.0%}")
    figure.legend(loc="outside lower center", ncols=1 + MAX_CURVES)
    file = io.StringIO()
    # Text stays text, and equal histories give equal files.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "retrieval"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def smooth_losses(losses: Sequence[float]) -> tuple[list[int], list[float]]:
    """Average groups of neighbouring steps; at most `MAX_POINTS` last steps and mean losses."""
    size = max(1, -(-len(losses) // MAX_POINTS))
    firsts = np.arange(0, len(losses), size)
    if not len(firsts):
        return [], []
    sums = np.add.reduceat(losses, firsts)
    lasts = np.append(firsts[1:], len(losses))
    return lasts.tolist(), (sums / (lasts - firsts)).tolist()
