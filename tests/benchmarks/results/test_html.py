import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.results.examples import examples
from benchmarks.results.html import success_curve, suite_sections, write_html
from benchmarks.results.outcome import Answers, MomentAnswer, Outcome, RankedAnswer
from benchmarks.results.tables import Result, machine
from support.media_files import write_video

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
]  # fmt: skip
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
    write_html(tmp_path / "page.html", [suite_sections(outcome)], machine(), "Results of <b>")
    return (tmp_path / "page.html").read_text()


def test_the_page_has_figures_curves_overlaps_and_examples(page: str) -> None:
    assert "<td>0.125</td><td>0.5</td><td>1,000</td>" in page
    assert page.count("<table>") == 2
    assert "success over the first k items" in page
    assert "success over the first k moments" in page
    assert "moment, IoU 0.7" in page
    assert "share of the queries by the first moment&#x27;s overlap (IoU)" in page
    assert page.count("among the worst") == 8
    assert page.count("among the best") == 4  # of rankings; four moments are all among the worst
    assert "Python" in page


def test_fault_36_names_and_queries_are_text_only(page: str) -> None:
    assert "<script" not in page
    assert f"query 1 {SCRIPT}".replace("<", "&lt;").replace(">", "&gt;") in page
    assert "default-src 'none'" in page


def test_the_page_needs_nothing_beside_it(page: str) -> None:
    without_names_of_languages = page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "http" not in without_names_of_languages.replace("http-equiv", "")
    for link in re.findall(r'(?:src|href|poster)="([^"]*)"', page):
        assert link.startswith("data:image/jpeg;base64,")


def test_the_worst_query_comes_first_and_shows_what_should_be_found() -> None:
    (first, *_), *_ = [examples(Answers("s", "t", rankings())).split("<section>")[1:]]
    assert "query gone" in first
    assert "not among the first 10" in first
    assert first.count("<article") == 4
    assert "should be found" in first
    assert "<img" not in first  # no files, no pictures
    last = examples(Answers("s", "t", rankings())).split("<section>")[5]
    assert "query 0" in last
    assert "among the best: rank 1" in last
    assert last.count('class="hit"') == 1
    assert last.count('class="hit unlikely"') == 2


def test_moments_show_the_found_and_the_true_span() -> None:
    worst = examples(Answers("s", "t", moments())).split("<section>")[1:]
    assert [re.search("moment (\\w+)<", one)[1] for one in worst] == [
        "none", "wrong", "half", "right"
    ]  # fmt: skip
    assert "IoU 0.50" in worst[2]
    assert '<rect class="moment" x="106.7"' in worst[2]  # 320 * 2 / 6
    assert '<rect class="truth" x="106.7"' in worst[2]
    assert 'class="moment"' not in worst[1]  # found in another video


def test_success_is_told_wherever_it_changes() -> None:
    assert success_curve([1, 3, None, 200], 300) == [(1, 0.25), (3, 0.5), (100, 0.5)]
    assert success_curve([1, 3], 5) == [(1, 0.5), (3, 1.0), (5, 1.0)]  # nothing is known beyond
    assert success_curve([None], 0) == [(1, 0.0)]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_the_page_renders_in_a_browser(tmp_path: Path, page: str) -> None:
    shot = tmp_path / "shot.png"
    options = [*QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1300,6000"]
    command = [CHROMIUM, *options, f"--screenshot={shot}", (tmp_path / "page.html").as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    pixels = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    red = (pixels[..., 0] > 200) & (pixels[..., 1:] < 60).all(axis=2)
    assert red.sum() > 10_000  # pictures
    bars = np.abs(pixels - (0x24, 0x71, 0xA3)).max(axis=2) < 8
    assert bars.sum() > 1_000  # the histogram
