"""Animated GIF and WebP, read as videos by Pillow: FFmpeg reads no animated WebP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image

from retrieval.errors import DamagedMediaError
from retrieval.media.damage import Damage
from retrieval.media.images.reading import MAX_ANIMATION_FRAMES, open_picture, pillow_errors, to_rgb

FORMATS = ("GIF", "WEBP")

_USUAL_SECONDS = 0.1
_SHORTEST_SECONDS = 0.02
"""A shorter delay, or none, means 0.1 s, as in browsers."""


def is_animation(file: BinaryIO, head: bytes) -> bool:
    """Whether a file is a GIF or WebP of several pictures; its position is lost."""
    if not head.startswith(b"GIF8") and head[8:12] != b"WEBP":
        return False
    file.seek(0)
    try:
        with pillow_errors(), Image.open(file, formats=FORMATS) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:
        return False  # it is read as one picture, which says what is wrong with it


def guess_seconds(file: BinaryIO) -> float:
    """Guess how long an animation runs: all its pictures as long as the first."""
    file.seek(0)
    with pillow_errors(), open_picture(file, FORMATS) as image:
        return getattr(image, "n_frames", 1) * _seconds(image)


def _seconds(image: Image.Image) -> float:
    delay = float(image.info.get("duration") or 0) / 1_000
    return delay if delay >= _SHORTEST_SECONDS else _USUAL_SECONDS


class AnimationFrames:
    """Walks over the pictures of an animation; what `Frames` is for containers.

    Attributes:
        width: Pixels.
        height: Pixels.
        has_sound: Never.
        declared_seconds: Unknown before the pictures are read.
        end_seconds: End of the last picture read so far.
    """

    has_sound = False
    declared_seconds: float | None = None

    def __init__(self, file: BinaryIO, damage: Damage) -> None:
        self._file = file
        self._damage = damage
        self.end_seconds = 0.0
        self.bytes = file.seek(0, os.SEEK_END)
        file.seek(0)
        with pillow_errors():
            self._image = open_picture(file, FORMATS)
            self.width, self.height = self._image.size

    def skip_to(self, seconds: float) -> None:
        """Do nothing: each picture is painted over the one before."""

    def from_time(self, seconds: float) -> Iterator[tuple[float, float, Image.Image]]:
        """Yield (begin, length, RGB picture) from the first picture to the last."""
        begins = 0.0
        for number in range(MAX_ANIMATION_FRAMES):
            try:
                with pillow_errors():
                    self._image.seek(number)
                    picture = to_rgb(self._image).copy()
                    lasts = _seconds(self._image)
            except DamagedMediaError as error:
                if isinstance(error.__cause__, EOFError) and number:
                    return
                raise
            self.end_seconds = begins + lasts
            yield begins, lasts, picture
            begins += lasts

    def picture(self, frame: Image.Image) -> Image.Image:
        """A frame is a picture already."""
        return frame

    def check_end(self, end_seconds: float) -> None:
        """Note a GIF without its end mark; a WebP that is cut cannot be opened."""
        if self._image.format == "GIF":
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b";":
                self._damage.note("the animation has no end mark; the file may be cut")
