import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.results.examples import EXPECTED, TimeLine, best_and_worst
from benchmarks.results.html import success_curve, suite_sections, write_html
from benchmarks.results.outcome import Answers, MomentAnswer, Outcome, RankedAnswer, Result
from benchmarks.results.tables import machine
from support.browser import Browser
from support.media_files import write_video

SCRIPT = "<script>alert(1)</script>"


def rankings(count: int = 10) -> list[RankedAnswer]:
    """Query n finds its item at rank n + 1; the last one not at all."""
    items = [f"item {number}" for number in range(count)]
    scores = [1 - number / count for number in range(count)]
    answers = [
        RankedAnswer(f"q{n}", f"query {n} {SCRIPT}", items, scores, [f"item {n}"])
        for n in range(count - 1)
    ]
    return [*answers, RankedAnswer("gone", "query gone", items, scores, ["another"])]


def moments() -> list[MomentAnswer]:
    right = ("v", 2.0, 4.0, 0.9)
    wrong = ("other", 2.0, 4.0, 0.8)
    half = ("v", 2.0, 3.0, 0.7)
    return [
        MomentAnswer(name, f"moment {name}", "v", [(2.0, 4.0)], 6.0, found)
        for name, found in (("right", [right]), ("wrong", [wrong, right]), ("half", [half]),
                            ("none", []))
    ]  # fmt: skip


@pytest.fixture
def outcome(tmp_path: Path) -> Outcome:
    picture = tmp_path / "a <b> 100%.png"
    Image.new("RGB", (40, 30), "red").save(picture)
    video = write_video(tmp_path / "v.mp4", [128] * 60)
    return Outcome(
        [Result("pictures", f"text → image {SCRIPT}", "R@1", 0.125, published=0.5, pool=1_000),
         Result("videos", "moment", "R1@0.5", 0.5, baseline=0.25)],
        answers=[
            Answers("pictures", "text → image", rankings(),
                    {f"item {n}": picture for n in range(9)} | {"item 9": tmp_path / "notes.txt"}),
            Answers("videos", "moment", moments(), {"v": video, "other": tmp_path / "gone.mp4"}),
            Answers("videos", "empty", []),
        ],
    )  # fmt: skip


@pytest.fixture
def page(tmp_path: Path, outcome: Outcome) -> str:
    write_html(tmp_path / "page.html", suite_sections(outcome), machine(), "Results of <b>")
    return (tmp_path / "page.html").read_text()


def test_the_page_has_figures_curves_overlaps_and_examples(page: str) -> None:
    assert "<td>0.125</td><td>0.5</td><td>1,000</td>" in page
    assert page.count("<table>") == 2
    assert "success over the first k items" in page
    assert "success over the first k moments" in page
    assert "moment, IoU 0.7" in page
    assert "share of the queries by the first moment's overlap (IoU)" in page
    assert page.count("among the worst") == 8
    assert page.count("among the best") == 4  # of rankings; four moments are all among the worst
    assert "Python" in page


def test_fault_36_names_and_queries_are_text_only(page: str) -> None:
    assert "<script" not in page
    assert f"query 1 {SCRIPT}".replace("<", "&lt;").replace(">", "&gt;") in page
    assert "default-src 'none'" in page


def test_the_page_references_no_other_file(page: str) -> None:
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert "http" not in without_namespaces.replace("http-equiv", "")
    for link in re.findall(r'(?:src|href|poster)="([^"]*)"', page):
        assert link.startswith("data:image/jpeg;base64,")


def test_the_worst_query_comes_first_with_its_relevant_item() -> None:
    examples = best_and_worst(Answers("s", "t", rankings()))
    first = examples[0]
    assert first.query == "query gone"
    assert first.note == "t, among the worst: not among the first 10"
    assert [card.head for card in first.cards] == ["1. 1.000", "2. 0.900", "3. 0.800", EXPECTED]
    assert not any(card.picture for card in first.cards)  # no files
    best = examples[4]
    assert best.query.startswith("query 0")
    assert best.note == "t, among the best: rank 1"
    assert [card.relevant for card in best.cards] == [True, False, False]
    assert len(examples) == 8


def test_moments_show_the_found_and_the_true_span() -> None:
    examples = best_and_worst(Answers("s", "t", moments()))
    assert [example.query for example in examples] == [
        "moment none", "moment wrong", "moment half", "moment right"
    ]  # fmt: skip
    none, wrong, half, right = (example.cards for example in examples)
    assert examples[2].note.endswith("IoU 0.50")
    assert half[0].time_line == TimeLine(6.0, (2.0, 3.0), [(2.0, 4.0)])
    assert half[1].time_line == TimeLine(6.0, None, [(2.0, 4.0)])
    assert [card.head for card in none] == [EXPECTED]
    assert wrong[0].time_line is None  # in another video
    assert [card.relevant for card in wrong + right] == [False, True, True, True]
    assert TimeLine(0.0, (0.0, 7.0), [(0.0, 5.0)]).end_seconds == 7.0  # unknown duration


def test_time_lines_show_the_found_and_the_true_spans(page: str) -> None:
    assert '<rect class="moment" x="106.7" y="0" width="53.3"' in page  # 320 * 2 / 6
    assert '<rect class="truth" x="106.7" y="20" width="106.7"' in page
    assert 'aria-label="true 2.0-4.0 s; found 2.0-3.0 s"' in page
    assert page.count('class="moment"') == 2
    assert page.count('class="hit unlikely"') == 22


def test_a_success_curve_has_a_point_wherever_it_changes() -> None:
    assert success_curve([1, 3, None, 200], 300) == [(1, 0.25), (3, 0.5), (100, 0.5)]
    assert success_curve([1, 3], 5) == [(1, 0.5), (3, 1.0), (5, 1.0)]  # nothing is known beyond
    assert success_curve([None], 0) == [(1, 0.0)]


def test_the_page_renders_in_a_browser(tmp_path: Path, page: str, browser: Browser) -> None:
    pixels = browser.screenshot(tmp_path / "page.html", (1300, 6000))
    red = (pixels[..., 0] > 200) & (pixels[..., 1:] < 60).all(axis=2)
    assert red.sum() > 10_000  # pictures
    bars = np.abs(pixels - (0x24, 0x71, 0xA3)).max(axis=2) < 8
    assert bars.sum() > 1_000  # the histogram
