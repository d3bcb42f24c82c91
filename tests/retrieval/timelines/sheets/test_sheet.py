"""Contact sheets and previews show every hit, whatever its texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from retrieval.errors import QueryError
from retrieval.timelines.sheets import sheet
from retrieval.timelines.sheets.layout import PDF_HEIGHT, PDF_PAGE, SHEET
from retrieval.timelines.sheets.preview import LABEL_HEIGHT, SIZE
from retrieval.timelines.sheets.text import Pen
from retrieval.types import Medium
from support.exports import export_here, hit_of
from support.media_files import make_tone, sound_bytes
from support.numbered_videos import write_numbered

HOSTILE = "\x1b[31m\u202e <script>\n日本語 🐶 العربية " + "long " * 1_000 + "\ud800"


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    write_numbered(folder / "v.mp4", 30)
    (folder / "r.wav").write_bytes(sound_bytes(make_tone(3.0)))
    Image.new("RGB", (30, 90), (0, 0, 200)).save(folder / "thin.png")
    return folder


def hits_of(media: Path, copies: int = 1) -> list:  # type: ignore[type-arg]
    return [
        hit_of(media / "v.mp4", 0.2, 0.8, caption=HOSTILE),
        hit_of(media / "r.wav", 1.0, 2.0, rank=2, modality=Medium.AUDIO, score=None),
        hit_of(media / "thin.png", rank=3, modality=Medium.IMAGE),
        hit_of(media / "gone.mp4", 0, 1, rank=4),
    ] * copies


def test_one_jpeg_with_rows_of_four(media: Path, tmp_path: Path) -> None:
    report = export_here(hits_of(media, 2), tmp_path / "s.jpg", HOSTILE)
    assert {failure.rank for failure in report.failures} == {4}
    with Image.open(tmp_path / "s.jpg") as image:
        assert image.size == (SHEET.width, SHEET.page_height(2))
        top = SHEET.margin + SHEET.heading
        blue = image.getpixel((SHEET.margin + 2 * (SHEET.cell_width + SHEET.gap)
                               + SHEET.cell_width // 2, top + 150))  # fmt: skip
        assert blue[2] > 150 > 90 > blue[0]  # type: ignore[index]


def test_pdf_pages_of_twelve(media: Path, tmp_path: Path) -> None:
    export_here(hits_of(media, 7), tmp_path / "s.pdf")
    content = (tmp_path / "s.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.count(b"/Type /Page\n") == 3
    assert f"/Width {PDF_PAGE.width}".encode() in content
    assert f"/Height {PDF_HEIGHT}".encode() in content
    assert PDF_PAGE.page_height(3) <= PDF_HEIGHT


def test_a_sheet_is_limited(media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "MAX_HITS", 7)
    with pytest.raises(QueryError, match=r"holds 7 hits, got 8.*write a PDF"):
        export_here(hits_of(media, 2), tmp_path / "s.jpg")
    assert export_here(hits_of(media, 2), tmp_path / "s.pdf").files  # the advice


def test_a_preview_shows_each_moment(media: Path, tmp_path: Path) -> None:
    export_here(hits_of(media), tmp_path / "p.webp")
    with Image.open(tmp_path / "p.webp") as image:
        assert image.size == (SIZE[0], SIZE[1] + LABEL_HEIGHT)
        assert image.n_frames == 5 + 1 + 1  # 0.6 s at 8 per second, a recording, an image


def test_lines_are_cut_to_their_width() -> None:
    pen = Pen(20)
    for text in (HOSTILE, "short", "", "日" * 500, "w" * 500):
        line = pen.cut(text, 300)
        assert pen.length(line) <= 300
        assert "\n" not in line
    assert pen.cut("short", 300) == "short"
    assert pen.cut("w" * 500, 300).endswith("…")
