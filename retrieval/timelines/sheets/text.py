"""Draw text with fonts that have its characters, shortened to a width."""

from __future__ import annotations

import unicodedata
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import ImageDraw, ImageFont

from retrieval.timelines.names import one_line

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

FALLBACK_FAMILIES = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Source Han Sans", "IPAGothic"),
    *("WenQuanYi Zen Hei", "Droid Sans Fallback", "Hiragino Sans", "PingFang SC", "Yu Gothic"),
    *("Microsoft YaHei", "Malgun Gothic", "Arial Unicode MS", "Noto Sans Devanagari"),
    *("Noto Sans Thai", "Noto Sans Symbols 2", "Noto Emoji", "Symbola"),
)
"""Installed families that are asked for characters that DejaVu Sans lacks, in this order."""

MAX_CHARACTERS = 400
"""Longer texts are cut before they are measured."""


class Pen:
    """Draws lines of text at one size.

    Args:
        size: Pixels.
        bold: Whether the text is bold.
    """

    def __init__(self, size: int, *, bold: bool = False) -> None:
        self._size = size
        self._bold = bold

    def line(
        self,
        draw: ImageDraw.ImageDraw,
        position: tuple[float, float],
        text: str,
        *,
        colour: tuple[int, int, int],
        width: float,
    ) -> None:
        """Draw one line whose left end and vertical middle are given, cut to a width."""
        x, y = position
        for run, font in self._runs(self.cut(text, width)):
            draw.text((x, y), run, fill=colour, font=font, anchor="lm")
            x += font.getlength(run)

    def cut(self, text: str, width: float) -> str:
        """Return a text on one line; an ellipsis replaces its end if it is wider."""
        text = one_line(text)[:MAX_CHARACTERS]
        text = one_line("".join(c for c in text if not self._is_missing_symbol(c)))
        if self.length(text) <= width:
            return text
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self.length(text[:middle].rstrip() + "…") <= width:
                low = middle
            else:
                high = middle - 1
        return text[:low].rstrip() + "…"

    def length(self, text: str) -> float:
        """Return the width of a text in pixels."""
        return float(sum(font.getlength(run) for run, font in self._runs(text)))

    def _is_missing_symbol(self, character: str) -> bool:
        """Whether a character is an emoji or other symbol that no font has."""
        if unicodedata.category(character) != "So":
            return False
        return ord(character) not in _characters(_font_for(character, bold=self._bold))

    def _runs(self, text: str) -> list[tuple[str, FreeTypeFont]]:
        """Split a text into runs of one font."""
        fonts = [_font_for(character, bold=self._bold) for character in text]
        runs = []
        for path, group in groupby(zip(text, fonts, strict=True), key=lambda pair: pair[1]):
            runs.append(("".join(c for c, _ in group), _font(path, self._size)))
        return runs


@cache
def _font(path: str, size: int) -> FreeTypeFont:
    return ImageFont.truetype(path, size)


@cache
def _characters(path: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(path).get_charmap())


@cache
def _base_font(*, bold: bool) -> str:
    """Return the path of DejaVu Sans, which matplotlib brings along."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name)


@cache
def _fallback_fonts() -> tuple[str, ...]:
    from matplotlib import font_manager

    by_family: dict[str, str] = {}
    for entry in font_manager.fontManager.ttflist:
        if entry.style == "normal" and entry.name in FALLBACK_FAMILIES:
            by_family.setdefault(entry.name, entry.fname)
    return tuple(by_family[name] for name in FALLBACK_FAMILIES if name in by_family)


@cache
def _font_for(character: str, *, bold: bool) -> str:
    base = _base_font(bold=bold)
    if ord(character) in _characters(base) or unicodedata.category(character)[0] in "MC":
        return base
    return next((path for path in _fallback_fonts() if ord(character) in _characters(path)), base)
