import re

import pytest

from benchmarks.results.figures import COLOURS, histogram, line_chart
from benchmarks.speed.text_and_media import plot


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>(.*?)</text>", svg)


def points(svg: str, colour: str) -> list[tuple[float, float]]:
    """Corners of the longest path of a colour."""
    paths = re.findall(rf'<path d="([^"]*)"[^>]*stroke: {colour}', svg)
    corners = re.findall(r"[ML] ([\d.]+) ([\d.]+)", max(paths, key=len))
    return [(float(x), float(y)) for x, y in corners]


def bars(svg: str) -> list[float]:
    """Heights of the bars."""
    paths = re.findall(rf'<path d="([^"]*)"[^>]*fill: {COLOURS[1]}', svg)
    heights = []
    for path in paths:
        ys = [float(y) for _, y in re.findall(r"[ML] ([\d.]+) ([\d.]+)", path)]
        heights.append(max(ys) - min(ys))
    return heights


def test_lines_are_drawn_over_a_logarithmic_axis() -> None:
    lines = {"a <b> $c$": [(1, 0.0), (10, 0.5), (100, 1.0)]}
    svg = line_chart(lines, title="t & u", ticks={10: "ten"})
    (x1, y1), (x2, y2), (x3, y3) = points(svg, COLOURS[0])
    assert x2 - x1 == pytest.approx(x3 - x2)
    assert y1 - y2 == pytest.approx(y2 - y3)
    assert y3 < y1
    assert {"a &lt;b&gt; $c$", "t &amp; u", "ten", "0.0", "1.0"} <= set(texts(svg))
    assert 'aria-label="t &amp; u"' in svg


def test_a_line_of_one_point_is_drawn() -> None:
    assert "1" in texts(line_chart({"a": [(1, 0.5)]}, title="t", ticks={1: "1"}))


def test_bars_are_as_high_as_their_share() -> None:
    svg = histogram([0.0, 0.25, 1.0], title="t")
    empty, quarter, full = bars(svg)
    assert empty == 0
    assert quarter == pytest.approx(full / 4)


@pytest.mark.parametrize("svg", [
    line_chart({"\u6f22": [(1, 0.5), (2, 1.0)]}, title="\u5b57", ticks={1: "1"}),
    histogram([0.5], title="\u6f22"),
])  # fmt: skip
def test_a_figure_is_one_element_without_references(svg: str) -> None:
    assert svg.startswith("<svg ")
    assert svg.rstrip().endswith("</svg>")
    assert "href" not in svg
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", svg)


def test_texts_and_media_are_drawn_in_one_chart() -> None:
    line = [(0.25, 0.5), (0.5, 0.75), (1.0, 1.0)]
    svg = plot({"text": line, "media": line}, 1_000)
    assert points(svg, COLOURS[0]) == points(svg, COLOURS[1])
    assert {"text queries", "media queries", "25.0%", "100.0%"} <= set(texts(svg))
    assert "1,000 × 512" in svg
