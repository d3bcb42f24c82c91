"""Read the words of a picture of any size within bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from retrieval.media.ocr.engine import DETECTION_SIDE, Engine, Line

MAX_PIXELS = 16_000_000
"""Larger pictures are scaled down."""

MIN_SHORT_SIDE = 16
"""A picture with a shorter side cannot hold readable writing."""

WANTED_SHORT_SIDE = 736
MAX_ENLARGEMENT = 3.0
"""Small pictures are enlarged by at most this factor: the detector misses small letters."""

MAX_ASPECT_RATIO = 3.0
"""Longer pictures, such as screenshots of whole pages, are read in tiles if the detector would
read them at a reduced size."""

MAX_TILES = 64
"""Tiles of one picture; the rest of a longer strip is not read."""

OVERLAP_ALONG_X, OVERLAP_ALONG_Y = 0.5, 0.1
"""Overlap of tiles on both sides, as a share of the short side. Larger words can be cut."""


@dataclass(frozen=True, slots=True)
class Writing:
    """The words in a picture.

    Attributes:
        text: The lines, from top to bottom, separated by line feeds.
        score: Mean confidence of the lines, 0 to 1; 0 without lines.
    """

    text: str
    score: float


def read_writing(image: Image.Image, engine: Engine) -> Writing:
    """Read the words of an upright RGB picture.

    Args:
        image: The picture, of any size.
        engine: Reads the lines of one tile.
    """
    if min(image.size) < MIN_SHORT_SIDE:
        return Writing("", 0.0)
    lines = [line for tile in _tiles(image) for line in _lines_of(tile, engine)]
    score = float(np.mean([line.score for line in lines])) if lines else 0.0
    return Writing("\n".join(line.text for line in lines), score)


@dataclass(frozen=True, slots=True)
class _Tile:
    """A part of a picture that contributes the lines whose centres are in [start, end).

    Attributes:
        along_x: The tiles follow each other from left to right, else from top to bottom.
    """

    image: Image.Image
    start: float
    end: float
    along_x: bool


def _tiles(image: Image.Image) -> Iterator[_Tile]:
    width, height = image.size
    along_x = width > height
    short, length = sorted(image.size)
    if length <= max(MAX_ASPECT_RATIO * short, DETECTION_SIDE):
        yield _Tile(_scaled(image), 0, np.inf, along_x)
        return
    step = max(2 * short, DETECTION_SIDE)
    overlap = max(1, round((OVERLAP_ALONG_X if along_x else OVERLAP_ALONG_Y) * short))
    for start in range(0, min(length, MAX_TILES * step), step):
        first, last = max(0, start - overlap), min(length, start + step + overlap)
        box = (first, 0, last, height) if along_x else (0, first, width, last)
        part = image.crop(box)
        scaled = _scaled(part)
        factor = scaled.width / part.width
        end = np.inf if last == length else start + step - first
        yield _Tile(scaled, (start - first) * factor, end * factor, along_x)
        if last == length:
            return


def _scaled(image: Image.Image) -> Image.Image:
    width, height = image.size
    factor = min(1.0, (MAX_PIXELS / (width * height)) ** 0.5)
    if factor == 1.0:
        factor = min(
            WANTED_SHORT_SIDE / min(image.size), DETECTION_SIDE / max(image.size), MAX_ENLARGEMENT
        )
        factor = max(1.0, factor)
    if factor == 1.0:
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0 if factor < 1 else None)


def _lines_of(tile: _Tile, engine: Engine) -> Iterator[Line]:
    for line in engine(np.asarray(tile.image)):
        if tile.start <= (line.x if tile.along_x else line.y) < tile.end:
            yield line
