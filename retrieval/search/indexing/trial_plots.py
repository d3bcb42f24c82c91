"""Plots recall against speed of index trials, as a PNG file and as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from retrieval.search.indexing.trials import Trial

COLOURS = (
    "#c0392b", "#2471a3", "#1e8449", "#b9770e", "#7d3c98", "#148f77", "#5d6d7e", "#d35400",
    "#2e4053", "#a93226", "#7b7d7d",
)  # fmt: skip
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TEXT_ROWS, TEXT_COLUMNS = 16, 60
MIN_RECALL = 0.5


def draw_trials(trials: Sequence[Trial], target: float, path: Path) -> None:
    """Draw a curve for each kind, with a filled dot where it reaches the target recall."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.2), dpi=100, layout="constrained")
    axes = figure.add_subplot(
        xlabel="recall@10 of the hardest query type",
        ylabel=f"queries per second in trials of {trials[0].rows:,} rows",
        xlim=(MIN_RECALL, 1.005),
        yscale="log",
    )
    axes.grid(color="#dddddd")
    axes.axvline(target, color="#999999", linewidth=2)
    for number, trial in enumerate(trials):
        colour = COLOURS[number % len(COLOURS)]
        curve = [point for point in trial.curve if point[0] >= MIN_RECALL]
        axes.plot(*zip(*curve, strict=True) if curve else ([], []), color=colour, linewidth=2)
        axes.plot(
            min(trial.recall.values()),
            trial.queries_per_second,
            "o",
            color=colour,
            markersize=8,
            markerfacecolor=colour if trial.reached else "white",
            label=kind_name(trial),
        )
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(path, format="png")


def plot_text(trials: Sequence[Trial]) -> str:
    """Draw the curves with characters: recall to the right, the logarithm of speed upwards."""
    speeds = [speed for trial in trials for _, speed in trial.curve]
    lowest = math.floor(math.log10(max(1e-3, min(speeds))))
    highest = math.ceil(math.log10(max(1e-3, *speeds, 10 ** (lowest + 1))))
    grid = [[" "] * TEXT_COLUMNS for _ in range(TEXT_ROWS)]
    for letter, trial in zip(LETTERS, trials, strict=False):
        for recall, speed in trial.curve:
            if recall >= MIN_RECALL:
                x = (recall - MIN_RECALL) / (1 - MIN_RECALL)
                y = (math.log10(max(10**lowest, speed)) - lowest) / (highest - lowest)
                row, column = round((1 - y) * (TEXT_ROWS - 1)), round(x * (TEXT_COLUMNS - 1))
                grid[row][column] = letter
    labels = {0: f"{10**highest:g}", TEXT_ROWS - 1: f"{10**lowest:g}"}
    lines = [f"{'queries/s':>9}"]
    lines += [f"{labels.get(n, ''):>9} |{''.join(cells)}" for n, cells in enumerate(grid)]
    lines.append(f"{'':9} +{'-' * TEXT_COLUMNS}")
    lines.append(f"{'':11}{MIN_RECALL:g}{'recall@10':^{TEXT_COLUMNS - 4}}1")
    names = zip(LETTERS, trials, strict=False)
    lines += [f"{'':11}{letter}  {kind_name(trial)}" for letter, trial in names]
    return "\n".join(lines)


def kind_name(trial: Trial) -> str:
    """Return the factory string of a trial, or `exact`."""
    return trial.factory or "exact"
