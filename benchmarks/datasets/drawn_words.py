"""Draws pictures of words in many fonts, sizes and colours, on many backgrounds."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from retrieval.encoders.probe_texts import PROBE_TEXTS

FONTS: Final = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique",
    "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSerif-Bold",
    "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic", "STIXGeneral", "STIXGeneralBol",
    "STIXGeneralItalic", "STIXGeneralBolIta",
)  # fmt: skip
"""Fonts in matplotlib's package. Pillow's own font is used as well."""

BACKGROUNDS: Final = ("plain", "gradient", "noise", "blobs")
SIZES: Final = (12, 16, 22, 30, 44, 64)
"""Heights of the letters in pixels."""

PICTURE_SIZE: Final = (960, 640)
LINES, WORDS_PER_LINE = 3, 3
MAX_TURN_DEGREES = 6.0


@dataclass(frozen=True, slots=True)
class DrawnWords:
    """A picture and the words in it."""

    image: Image.Image
    words: tuple[str, ...]
    font: str
    letter_pixels: int
    background: str


def draw_pictures(count: int, *, seed: int = 0) -> Iterator[DrawnWords]:
    """Draw pictures of English words and numbers; fonts, sizes and backgrounds take turns."""
    rng = np.random.default_rng(seed)
    vocabulary = sorted({w for text in PROBE_TEXTS for w in text.split() if w.isalpha()})
    fonts = (*FONTS, "Pillow")
    for number in range(count):
        words = [str(word) for word in rng.choice(vocabulary, LINES * WORDS_PER_LINE)]
        words[-1] = str(rng.integers(10, 100_000))
        words[0] = words[0].upper()
        font, pixels = fonts[number % len(fonts)], SIZES[number % len(SIZES)]
        background = BACKGROUNDS[number // len(SIZES) % len(BACKGROUNDS)]
        image = _draw(words, _load(font, pixels), background, rng)
        yield DrawnWords(_compressed(image, rng), tuple(words), font, pixels, background)


def _load(name: str, pixels: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if name == "Pillow":
        return ImageFont.load_default(pixels)
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / f"{name}.ttf"), pixels)


def _draw(
    words: list[str],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    background: str,
    rng: np.random.Generator,
) -> Image.Image:
    lines = [words[n : n + WORDS_PER_LINE] for n in range(0, len(words), WORDS_PER_LINE)]
    text = "\n".join(" ".join(line) for line in lines)
    pixels = _background(background, rng)
    is_dark = bool(pixels.mean() < 128)
    level = rng.integers(200, 256, 3) if is_dark else rng.integers(0, 56, 3)
    layer = Image.new("L", PICTURE_SIZE)
    left, top, right, bottom = ImageDraw.Draw(layer).multiline_textbbox((0, 0), text, font)
    x = rng.uniform(0.03, 0.1) * PICTURE_SIZE[0] - left
    y = rng.uniform(0.1, 0.9) * max(0.0, PICTURE_SIZE[1] - (bottom - top) - 40) + 20 - top
    ImageDraw.Draw(layer).multiline_text((x, y), text, 255, font)
    if right - left < 0.8 * PICTURE_SIZE[0]:
        centre = (x + right / 2, y + bottom / 2)
        turn = rng.uniform(-MAX_TURN_DEGREES, MAX_TURN_DEGREES)
        layer = layer.rotate(turn, Image.Resampling.BICUBIC, center=centre)
    image = Image.fromarray(pixels)
    image.paste(tuple(int(value) for value in level), mask=layer)
    return image


def _background(kind: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Make (height, width, 3) uint8 that is dark or light everywhere."""
    width, height = PICTURE_SIZE
    low, high = (0, 90) if rng.random() < 0.5 else (165, 256)
    values: NDArray[np.float64] | NDArray[np.integer]
    if kind == "plain":
        values = np.broadcast_to(rng.integers(low, high, 3), (height, width, 3))
    elif kind == "gradient":
        first, last = rng.integers(low, high, (2, 3))
        share = np.linspace(0, 1, width)[None, :, None]
        values = np.broadcast_to((1 - share) * first + share * last, (height, width, 3))
    elif kind == "noise":
        values = rng.integers(low, high, 3) + rng.normal(0, 14, (height, width, 3))
    else:  # smooth patches of colour
        patches = rng.integers(low, high, (6, 9, 3)).astype(np.uint8)
        values = np.asarray(Image.fromarray(patches).resize(PICTURE_SIZE, Image.Resampling.BICUBIC))
    return np.clip(values, 0, 255).astype(np.uint8)


def _compressed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Compress a picture as JPEG and read it again."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(rng.integers(60, 96)))
    return Image.open(file).convert("RGB")
