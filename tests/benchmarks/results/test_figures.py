import re

from benchmarks.ranking.text_and_media import draw
from benchmarks.results.figures import histogram, line_chart, time_line


def test_lines_are_drawn_over_a_logarithmic_axis() -> None:
    svg = line_chart({"a <b>": [(1, 0.0), (10, 0.5), (100, 1.0)]}, title="t", ticks={10: "ten"})
    assert 'points="52.0,280.0 336.0,150.0 620.0,20.0"' in svg
    assert "a &lt;b&gt;" in svg
    assert re.search(r'<text x="336.0"[^>]*>ten</text>', svg)


def test_a_line_of_one_point_is_no_error() -> None:
    assert 'points="52.0,150.0"' in line_chart({"a": [(1, 0.5)]}, title="t", ticks={1: "1"})


def test_bars_are_as_high_as_their_share() -> None:
    svg = histogram([0.0, 0.25, 1.0], title="t", ticks=("0", "1"))
    heights = [float(height) for height in re.findall(r'<rect [^>]*height="([\d.]+)"', svg)]
    assert heights == [0.0, 65.0, 260.0]


def test_a_time_line_shows_what_was_found_and_what_is_true() -> None:
    svg = time_line(10.0, (2.0, 4.0), [(0.0, 5.0), (8.0, 10.0)])
    assert '<rect class="moment" x="64.0" y="0" width="64.0"' in svg
    assert svg.count('class="truth"') == 2
    assert "true 0.0-5.0 s, 8.0-10.0 s; found 2.0-4.0 s" in svg
    assert "moment" not in time_line(10.0, None, [(0.0, 5.0)])
    assert 'width="320.0"' in time_line(0.0, None, [(0.0, 5.0)])  # of unknown length


def test_texts_and_media_are_drawn_side_by_side() -> None:
    line = [(0.25, 0.5), (0.5, 0.75), (1.0, 1.0)]
    svg = draw({"text": line, "media": line}, 1_000)
    assert svg.count('points="52.0,150.0 336.0,85.0 620.0,20.0"') == 2
    assert "media queries" in svg
    assert "1,000 × 512" in svg
    assert "25.0%" in svg
