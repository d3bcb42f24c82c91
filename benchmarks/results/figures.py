"""Figures of results as SVG: lines over a logarithmic axis, histograms, and moments on a time line.

They stand in pages as they are: no script, no file, no font, colours that suit light and dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import log

from retrieval.localization.spans import Span

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 640, 320, 52, 20, 40, 20
COLOURS = ("#c0392b", "#2471a3", "#1e8449", "#b9770e", "#7d3c98", "#148f77", "#5d6d7e", "#d35400")
GRID, GREY = "#8884", "#777"
LEGEND_STEP = 18

Line = Sequence[tuple[float, float]]
"""Points (x, share) in order of x; x above 0, the share from 0 to 1."""


def line_chart(lines: Mapping[str, Line], *, title: str, ticks: Mapping[float, str]) -> str:
    """Shares over a logarithmic axis, a line for each name.

    Args:
        lines: By the name in the legend; at least one point in all.
        title: Below the axis.
        ticks: Marks of the x axis.
    """
    places = [x for line in lines.values() for x, _ in line]
    least, greatest = min(places), max(places)
    span = log(greatest / least) or 1.0
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at(x: float) -> float:
        return LEFT + wide * log(x / least) / span

    parts = [_shares_axis(wide, high)]
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{at(x):.1f},{TOP + high * (1 - share):.1f}" for x, share in line)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        parts.append(_text(LEFT + 12, TOP + LEGEND_STEP * (number + 1), name, colour))
    for x, label in ticks.items():
        parts.append(_text(at(x), HEIGHT - BOTTOM + 16, label, GREY, "middle"))
    return _svg(title, parts)


def histogram(shares: Sequence[float], *, title: str, ticks: Sequence[str]) -> str:
    """Bars side by side.

    Args:
        shares: Height of each bar, 0 to 1.
        title: Below the axis.
        ticks: Marks of the x axis, evenly spread from its beginning to its end.
    """
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    step = wide / len(shares)
    parts = [_shares_axis(wide, high)]
    parts += [
        f'<rect x="{LEFT + number * step + 1:.1f}" y="{TOP + high * (1 - share):.1f}" '
        f'width="{step - 2:.1f}" height="{high * share:.1f}" fill="{COLOURS[1]}"/>'
        for number, share in enumerate(shares)
    ]
    for number, label in enumerate(ticks):
        x = LEFT + wide * number / (len(ticks) - 1)
        parts.append(_text(x, HEIGHT - BOTTOM + 16, label, GREY, "middle"))
    return _svg(title, parts)


def time_line(duration_seconds: float, found: Span | None, true: Sequence[Span]) -> str:
    """A video's length as a bar: the found moment in orange, the true ones in green below it.

    The colours are those of the gallery, whose style names the classes.
    """
    width, height = 320, 26
    end = max([duration_seconds, 1e-6, *(span[1] for span in true), *([found[1]] if found else [])])

    def bar(span: Span, top: int, tall: int, kind: str) -> str:
        left, right = (width * seconds / end for seconds in span)
        return (
            f'<rect class="{kind}" x="{left:.1f}" y="{top}" '
            f'width="{max(right - left, 1.0):.1f}" height="{tall}"/>'
        )

    bars = [bar(found, 0, 18, "moment")] if found else []
    bars += [bar(span, 20, 6, "truth") for span in true]
    label = "true " + ", ".join(f"{start:.1f}-{stop:.1f} s" for start, stop in true)
    if found:
        label += f"; found {found[0]:.1f}-{found[1]:.1f} s"
    return (
        f'<svg class="curve" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(label)}"><rect x="0" y="0" width="{width}" height="18" '
        f'fill="{GRID}"/>{"".join(bars)}</svg>'
    )


def _shares_axis(wide: float, high: float) -> str:
    parts = []
    for tenth in range(0, 11, 2):
        y = TOP + high * (1 - tenth / 10)
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + wide}" y1="{y}" y2="{y}" stroke="{GRID}"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{tenth / 10:g}", GREY, "end"))
    return "".join(parts)


def _text(x: float, y: float, text: str, colour: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _svg(title: str, parts: Sequence[str]) -> str:
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" font-family="sans-serif" font-size="12">'
        f"{''.join(parts)}{_text(middle, HEIGHT - 6, title, GREY, 'middle')}</svg>\n"
    )
