"""Lay out the pictures of hits in pages: a heading, then cells with picture, time and caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from retrieval.timelines.moments import Moment
from retrieval.timelines.names import clock
from retrieval.timelines.sheets.text import Pen
from retrieval.types import Medium

Colour = tuple[int, int, int]

PAPER: Colour = (255, 255, 255)
FRAME: Colour = (236, 238, 242)
INK: Colour = (24, 28, 36)
GREY: Colour = (104, 112, 126)
ACCENT: Colour = (20, 92, 176)
BADGE_INK: Colour = (255, 255, 255)
BADGE: Colour = (20, 24, 32)


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes in pixels of a page.

    Attributes:
        rows: Rows per page; None for one page of as many rows as there are.
    """

    width: int = 1_600
    columns: int = 4
    rows: int | None = None
    margin: int = 48
    gap: int = 28
    heading: int = 92
    text: int = 92
    footer: int = 0

    @property
    def cell_width(self) -> int:
        """Width of a cell."""
        return (self.width - 2 * self.margin - (self.columns - 1) * self.gap) // self.columns

    @property
    def picture_size(self) -> tuple[int, int]:
        """Largest size of a picture: 16 : 9."""
        return self.cell_width, self.cell_width * 9 // 16

    @property
    def cell_height(self) -> int:
        """Height of a cell."""
        return self.picture_size[1] + self.text

    def page_height(self, rows: int) -> int:
        """Height of a page with a number of rows."""
        content = rows * self.cell_height + (rows - 1) * self.gap
        return 2 * self.margin + self.heading + content + self.footer


SHEET = Layout()
PDF_PAGE = Layout(width=1_754, columns=4, rows=3, margin=56, gap=26, heading=84, footer=24)
"""A4 in landscape at 150 dots per inch is 1754 × 1240 pixels."""

PDF_HEIGHT = 1_240


@dataclass(frozen=True, slots=True)
class Cell:
    """One hit on a page: its moment, and its picture or None."""

    moment: Moment
    picture: Image.Image | None


def draw_page(
    cells: Sequence[Cell], layout: Layout, title: str, page: str = "", height: int | None = None
) -> Image.Image:
    """Draw one page.

    Args:
        cells: At most as many as the page has places.
        layout: Sizes.
        title: The heading.
        page: Number of the page, such as `2 / 3`.
        height: Pixels; None fits the rows.
    """
    rows = -(-len(cells) // layout.columns)
    image = Image.new("RGB", (layout.width, height or layout.page_height(rows)), PAPER)
    draw = ImageDraw.Draw(image)
    inner = layout.width - 2 * layout.margin
    y = layout.margin + 18
    Pen(34, bold=True).line(draw, (layout.margin, y), title, colour=INK, width=inner - 160)
    small = Pen(18)
    small.line(
        draw,
        (layout.width - layout.margin - small.length(page), y),
        page,
        colour=GREY,
        width=160,
    )
    draw.line((layout.margin, y + 36, layout.width - layout.margin, y + 36), FRAME, 2)
    for number, cell in enumerate(cells):
        row, column = divmod(number, layout.columns)
        x = layout.margin + column * (layout.cell_width + layout.gap)
        top = layout.margin + layout.heading + row * (layout.cell_height + layout.gap)
        _draw_cell(image, draw, cell, layout, (x, top))
    return image


def _draw_cell(
    image: Image.Image,
    draw: ImageDraw.ImageDraw,
    cell: Cell,
    layout: Layout,
    position: tuple[int, int],
) -> None:
    x, y = position
    width, height = layout.picture_size
    draw.rectangle((x, y, x + width - 1, y + height - 1), FRAME)
    if cell.picture is None:
        pen = Pen(17)
        text = "cannot be shown"
        centre = x + (width - pen.length(text)) / 2
        pen.line(draw, (centre, y + height / 2), text, colour=GREY, width=width)
    else:
        left = x + (width - cell.picture.width) // 2
        image.paste(cell.picture, (left, y + (height - cell.picture.height) // 2))
    _draw_rank(draw, cell.moment.hit.rank, (x, y))
    hit = cell.moment.hit
    line = y + height + 20
    time = time_of(cell.moment)
    score = "" if hit.score is None else f"{hit.score:.3f}" + ("" if hit.likely else " ?")
    pen = Pen(19, bold=True)
    score_width = pen.length(score)
    pen.line(draw, (x, line), time or hit.modality.value, colour=ACCENT, width=width - score_width)
    pen.line(draw, (x + width - score_width, line), score, colour=GREY, width=score_width + 1)
    name, caption = cell.moment.file_name, str(hit.metadata.get("caption") or "")
    Pen(18).line(draw, (x, line + 27), name, colour=INK, width=width)
    Pen(17).line(draw, (x, line + 53), caption, colour=GREY, width=width)


def _draw_rank(draw: ImageDraw.ImageDraw, rank: int, position: tuple[int, int]) -> None:
    pen = Pen(18, bold=True)
    text = str(rank)
    x, y = position
    width = pen.length(text) + 18
    draw.rounded_rectangle((x + 8, y + 8, x + 8 + width, y + 36), 6, BADGE)
    pen.line(draw, (x + 17, y + 22), text, colour=BADGE_INK, width=width)


def time_of(moment: Moment) -> str:
    """Return the span of a moment such as `0:12.4 – 0:14.4`; empty without times."""
    start, end = moment.start_seconds, moment.end_seconds
    if moment.hit.modality is Medium.IMAGE or start is None or end is None:
        return ""
    if end == float("inf"):
        return "whole file"
    return f"{_short(start)} – {_short(end)}"


def _short(seconds: float) -> str:
    """Format seconds as `m:ss.s`, or `h:mm:ss.s` from one hour on."""
    text = clock(round(seconds, 1))[:-2]
    return text.removeprefix("00:").removeprefix("0")
