import base64
import io
import re
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retrieval.gallery.curve import Curve, draw_curve
from retrieval.gallery.page import GallerySection, media_link, write_gallery
from retrieval.gallery.thumbnails import thumbnail
from retrieval.types import Hit, Medium, TextMatch, TextSource
from support.browser import Browser


@pytest.fixture
def picture(tmp_path: Path) -> Hit:
    path = tmp_path / 'it\'s "a" <b> #1.png'
    Image.new("RGB", (40, 30), "red").save(path)
    return Hit(1, 0.5, 0, str(path).replace("%", "%25"), Medium.IMAGE, Medium.IMAGE, None, None,
               "s", likely=True, metadata={"caption": "<script>alert(1)</script>"})  # fmt: skip


@pytest.fixture
def video(tmp_path: Path) -> Hit:
    return Hit(2, 0.25, 1, str(tmp_path / "gone.mp4"), Medium.VIDEO, Medium.VIDEO, 12.0, 34.5,
               "s", likely=False)  # fmt: skip


def curve() -> Curve:
    starts = np.arange(0, 60, 2, dtype=np.float32)
    return Curve(starts, starts + 2, np.sin(starts / 9).astype(np.float32), truth=(10.0, 30.0))


def write(tmp_path: Path, hits: list[Hit], query: str = "a <red> circle") -> str:
    section = GallerySection(query, hits, curves={2: curve()})
    write_gallery(tmp_path / "page.html", [section], title="T & T")
    return (tmp_path / "page.html").read_text()


def test_fault_36_names_and_captions_are_text_only(
    tmp_path: Path, picture: Hit, video: Hit
) -> None:
    page = write(tmp_path, [picture, video])
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "a &lt;red&gt; circle" in page
    assert "T &amp; T" in page
    assert "default-src 'none'" in page


def test_players_start_at_the_moment(tmp_path: Path, video: Hit) -> None:
    assert media_link(video, tmp_path) == "./gone.mp4#t=12.0,34.5"
    page = write(tmp_path, [video])
    assert page.count("<video") == 1
    assert 'src="./gone.mp4#t=12.0,34.5"' in page
    assert 'class="hit unlikely"' in page


@pytest.mark.parametrize(
    ("name", "link"),
    [("-x.mp4", "./-x.mp4"), ("a b#c?.mp4", "./a%20b%23c%3F.mp4"), ("é\n.mp4", "./%C3%A9%0A.mp4")],
)
def test_fault_27_odd_names_are_linked(tmp_path: Path, video: Hit, name: str, link: str) -> None:
    hit = replace(video, uri=str(tmp_path / name), start_seconds=None, end_seconds=None)
    assert media_link(hit, tmp_path) == link


def test_a_missing_file_has_a_placeholder(tmp_path: Path, video: Hit) -> None:
    page = write(tmp_path, [video])
    assert len(re.findall(r'poster="data:image/jpeg;base64,', page)) == 1


def test_members_of_tars_are_shown(tmp_path: Path, picture: Hit) -> None:
    with tarfile.open(tmp_path / "box 100%.tar", "w") as tar:
        tar.add(picture.uri.replace("%25", "%"), "in/a 50% off.png")
    uri = f"{tmp_path}/box 100%25.tar!in/a 50%25 off.png"
    shown = base64.b64decode(thumbnail(replace(picture, uri=uri)).partition(",")[2])
    red, green, blue = Image.open(io.BytesIO(shown)).getpixel((20, 15))
    assert (red > 200, green < 60, blue < 60) == (True, True, True)
    gone = thumbnail(replace(picture, uri=uri.replace("off", "on")))
    assert gone != thumbnail(replace(picture, uri=uri))


def test_the_curve_marks_the_moment_and_the_truth() -> None:
    svg = draw_curve(curve(), 12.0, 34.5)
    assert 'class="moment" x="68.8"' in svg  # 8 + 304 * 12 / 60
    assert 'class="truth" x="58.7"' in svg
    assert len(svg.split('points="')[1].split('"')[0].split()) == 60


def test_the_page_renders_in_a_browser(
    tmp_path: Path, picture: Hit, video: Hit, browser: Browser
) -> None:
    write(tmp_path, [picture, video])
    pixels = browser.screenshot(tmp_path / "page.html", (900, 700))
    assert (np.ptp(pixels, axis=2) > 120).sum() > 1_000  # the red picture and the orange moment
    document = browser.document(tmp_path / "page.html")
    assert document.count("<article") == 2
    assert document.count("<video") == 1
    assert "<polyline" in document


def test_fault_36_a_matching_text_is_text_only_with_marked_words(
    tmp_path: Path, picture: Hit
) -> None:
    text = "a <b>harbour</b> & more"
    match = TextMatch(TextSource.CAPTION, text, ((5, 12),))
    page = write(tmp_path, [replace(picture, score=None, space=None, matched=match)])
    assert "a &lt;b&gt;<mark>harbour</mark>&lt;/b&gt; &amp; more" in page
    assert "1. words" in page
    assert "<b>" not in page
