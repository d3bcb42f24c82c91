"""Draws line charts and histograms of shares as SVG for HTML pages, with matplotlib.

The SVG holds no script, file, font or metadata. Its background is transparent, and its colours are
readable in light and dark mode.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from warnings import catch_warnings, filterwarnings

from markupsafe import escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES = (6.4, 3.2)
COLOURS = ("#c0392b", "#2471a3", "#1e8449", "#b9770e", "#7d3c98", "#148f77", "#5d6d7e", "#d35400")
GRID, GREY = "#88888844", "#777777"

Line = Sequence[tuple[float, float]]
"""Points (x, share) in ascending order of x, with x > 0 and 0 ≤ share ≤ 1."""


def line_chart(lines: Mapping[str, Line], *, title: str, ticks: Mapping[float, str]) -> str:
    """Draw shares over a logarithmic axis, one line per name.

    Args:
        lines: Lines by their name in the legend.
        title: Label of the x axis.
        ticks: Labels of the x axis by position.
    """
    with _share_axes(title) as (axes, svg):
        axes.set_xscale("log")
        for number, (name, line) in enumerate(lines.items()):
            colour = COLOURS[number % len(COLOURS)]
            axes.plot(*zip(*line, strict=True), color=colour, linewidth=2, label=name)
        axes.set_xticks(list(ticks), list(ticks.values()))
        axes.minorticks_off()
        axes.legend(frameon=False, labelcolor="linecolor")
    return svg.getvalue()


def histogram(shares: Sequence[float], *, title: str) -> str:
    """Draw one bar per bin of the interval from 0 to 1.

    Args:
        shares: Height of each bar, 0 to 1.
        title: Label of the x axis.
    """
    with _share_axes(title) as (axes, svg):
        width = 1 / len(shares)
        starts = [number * width for number in range(len(shares))]
        axes.bar(starts, shares, width=0.9 * width, align="edge", color=COLOURS[1])
        axes.set_xlim(0, 1)
    return svg.getvalue()


@contextmanager
def _share_axes(title: str) -> Iterator[tuple[Axes, io.StringIO]]:
    """Prepare axes for shares, and write the SVG when the block ends."""
    import matplotlib
    from matplotlib.figure import Figure

    svg = io.StringIO()
    with matplotlib.rc_context():
        matplotlib.rcParams["svg.fonttype"] = "none"
        matplotlib.rcParams["svg.hashsalt"] = "retrieval"
        matplotlib.rcParams["text.parse_math"] = False  # names may hold `$`
        figure = Figure(figsize=INCHES, facecolor="none", layout="constrained")
        axes = figure.add_subplot(facecolor="none")
        axes.set_ylim(0, 1)
        axes.grid(axis="y", color=GRID)
        axes.tick_params(length=0, labelcolor=GREY)  # tick marks would be links inside the SVG
        axes.spines[:].set_visible(False)
        axes.set_xlabel(title, color=GREY)
        yield axes, svg
        file = io.StringIO()
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        with catch_warnings():
            # The SVG holds text, so the viewer's fonts matter and not those of matplotlib.
            filterwarnings("ignore", "Glyph .* missing")
            figure.savefig(file, format="svg", metadata=metadata)
    _, _, content = file.getvalue().partition("<svg")  # an inline SVG has no XML prologue
    svg.write(f'<svg role="img" aria-label="{escape(title)}"{content}')
