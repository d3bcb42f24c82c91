"""Draws hits on terminals that show images: kitty, iTerm2, and those with sixel graphics."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

    from retrieval.search.hits import Hits

COLUMNS = 18
ROWS = 9
"""Size of one picture in character cells."""

CELL_PIXELS = (10, 20)
"""Assumed size of a cell; the terminal scales the picture to the cells."""


def image_printer() -> Callable[[Hits], None] | None:
    """Return a function that draws the first hits in one row; None if the terminal shows no images.

    The environment tells which protocol the terminal has. The extra `terminal-images` is required.
    """
    if find_spec("chafa") is None:
        return None
    import chafa

    info = chafa.TermDb().detect()
    modes = (
        (chafa.PixelMode.CHAFA_PIXEL_MODE_KITTY,
         chafa.TermSeq.CHAFA_TERM_SEQ_BEGIN_KITTY_IMMEDIATE_IMAGE_V1),
        (chafa.PixelMode.CHAFA_PIXEL_MODE_ITERM2,
         chafa.TermSeq.CHAFA_TERM_SEQ_BEGIN_ITERM2_IMAGE),
        (chafa.PixelMode.CHAFA_PIXEL_MODE_SIXELS, chafa.TermSeq.CHAFA_TERM_SEQ_BEGIN_SIXELS),
    )  # fmt: skip
    mode = next((mode for mode, sequence in modes if info.have_seq(sequence)), None)
    if mode is None:
        return None

    def print_images(hits: Hits) -> None:
        count = min(len(hits), max(1, shutil.get_terminal_size().columns // COLUMNS))
        if not count:
            return
        # The raw stream, because the control sequences of the picture must not be escaped.
        raw = getattr(sys.stdout, "raw", sys.stdout)
        raw.write(_encoded(chafa, mode, info, _strip(hits, count), count) + "\n")
        print("".join(f"{hit.rank:<{COLUMNS}}" for hit in hits[:count]))

    return print_images


def _strip(hits: Hits, count: int) -> Image.Image:
    """Draw the thumbnails of the first hits side by side."""
    from PIL import Image

    from retrieval.gallery.thumbnails import thumbnail_picture

    width, height = COLUMNS * CELL_PIXELS[0], ROWS * CELL_PIXELS[1]
    strip = Image.new("RGB", (count * width, height))
    for number, hit in enumerate(hits[:count]):
        picture = thumbnail_picture(hit).convert("RGB")
        picture.thumbnail((width - CELL_PIXELS[0], height))
        strip.paste(picture, (number * width, 0))
    return strip


def _encoded(chafa: Any, mode: Any, info: Any, picture: Image.Image, count: int) -> str:
    config = chafa.CanvasConfig()
    config.width, config.height = count * COLUMNS, ROWS
    config.cell_width, config.cell_height = CELL_PIXELS
    config.pixel_mode = mode
    canvas = chafa.Canvas(config)
    width, height = picture.size
    pixels = chafa.PixelType.CHAFA_PIXEL_RGB8
    canvas.draw_all_pixels(pixels, picture.tobytes(), width, height, 3 * width)
    text: str = canvas.print(term_info=info).decode()
    return text
