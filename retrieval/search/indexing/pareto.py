"""The trials of an index as people look at them: recall against speed, in a picture and in text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from retrieval.search.indexing.card import IndexCard
from retrieval.search.indexing.choice import Trial

SIZE = (900, 520)
LEFT, RIGHT, TOP, BOTTOM = 70, 250, 36, 48
COLOURS = (
    "#c0392b", "#2471a3", "#1e8449", "#b9770e", "#7d3c98", "#148f77", "#5d6d7e", "#d35400",
    "#2e4053", "#a93226", "#7b7d7d",
)  # fmt: skip
LETTERS = "abcdefghijklmnopqrstuvwxyz"
ROWS_OF_TEXT, COLUMNS_OF_TEXT = 16, 60
LEAST_RECALL = 0.5


class Axes:
    """Recall from a half to one, and speed by its logarithm, as places 0 … 1."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        speeds = [speed for trial in trials for _, speed in trial.curve]
        self.slowest = 10 ** math.floor(math.log10(max(1e-3, min(speeds))))
        self.fastest = 10 ** math.ceil(math.log10(max(1e-3, *speeds, 10 * self.slowest)))

    def place(self, recall: float, speed: float) -> tuple[float, float]:
        """Of a point, from the left and from the bottom."""
        span = math.log10(self.fastest / self.slowest)
        return (
            max(0.0, (recall - LEAST_RECALL) / (1 - LEAST_RECALL)),
            math.log10(max(self.slowest, speed) / self.slowest) / span,
        )

    def decades(self) -> list[float]:
        """Speeds that are marked."""
        count = round(math.log10(self.fastest / self.slowest))
        return [self.slowest * 10**number for number in range(count + 1)]


def draw_trials(card: IndexCard, path: Path) -> None:
    """Write a PNG: a line for each kind that was tried, a dot where it was tuned to the target."""
    axes = Axes(card.trials)
    picture = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(13)
    width, height = SIZE[0] - LEFT - RIGHT, SIZE[1] - TOP - BOTTOM

    def at(recall: float, speed: float) -> tuple[float, float]:
        x, y = axes.place(recall, speed)
        return LEFT + x * width, TOP + (1 - y) * height

    for tenth in range(5, 11):
        x, _ = at(tenth / 10, axes.slowest)
        draw.line((x, TOP, x, TOP + height), fill="#dddddd")
        draw.text((x, TOP + height + 6), f"{tenth / 10:.1f}", "#555555", font, anchor="ma")
    for speed in axes.decades():
        _, y = at(LEAST_RECALL, speed)
        draw.line((LEFT, y, LEFT + width, y), fill="#dddddd")
        draw.text((LEFT - 6, y), f"{speed:g}", "#555555", font, anchor="rm")
    target, _ = at(card.request.recall, axes.slowest)
    draw.line((target, TOP, target, TOP + height), fill="#999999", width=2)
    draw.text((LEFT, 10), f"queries a second in trials of {card.trials[0].rows:,} rows", "#222222",
              font)  # fmt: skip
    draw.text((LEFT + width / 2, SIZE[1] - 8), "recall@10 of the hardest kind of query",
              "#222222", font, anchor="ms")  # fmt: skip
    for number, trial in enumerate(card.trials):
        colour = COLOURS[number % len(COLOURS)]
        points = [at(*point) for point in trial.curve if point[0] >= LEAST_RECALL]
        if len(points) > 1:
            draw.line(points, fill=colour, width=2)
        x, y = at(min(trial.recall.values()), trial.queries_per_second)
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=colour if trial.reached else "white",
                     outline=colour, width=2)  # fmt: skip
        place = (LEFT + width + 16, TOP + 20 * number)
        draw.text(place, name_of(trial), colour, font)
    picture.save(path)


def plot_text(trials: Sequence[Trial]) -> str:
    """The same in a terminal: a letter for each kind, recall to the right, speed upwards."""
    axes = Axes(trials)
    grid = [[" "] * COLUMNS_OF_TEXT for _ in range(ROWS_OF_TEXT)]
    for letter, trial in zip(LETTERS, trials, strict=False):
        for recall, speed in trial.curve:
            if recall < LEAST_RECALL:
                continue
            x, y = axes.place(recall, speed)
            row = round((1 - y) * (ROWS_OF_TEXT - 1))
            grid[row][round(x * (COLUMNS_OF_TEXT - 1))] = letter
    lines = [f"{'queries/s':>9}"]
    ends = {0: f"{axes.fastest:g}", ROWS_OF_TEXT - 1: f"{axes.slowest:g}"}
    for number, cells in enumerate(grid):
        lines.append(f"{ends.get(number, ''):>9} |{''.join(cells)}")
    lines.append(f"{'':9} +{'-' * COLUMNS_OF_TEXT}")
    lines.append(f"{'':11}{LEAST_RECALL:g}{'recall@10':^{COLUMNS_OF_TEXT - 4}}1")
    names = zip(LETTERS, trials, strict=False)
    lines += [f"{'':11}{letter}  {name_of(trial)}" for letter, trial in names]
    return "\n".join(lines)


def name_of(trial: Trial) -> str:
    """The kind of a trial."""
    return trial.factory or "exact"
