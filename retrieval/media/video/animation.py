"""Read animated GIF and WebP as videos with Pillow, because FFmpeg reads no animated WebP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image

from retrieval.errors import DamagedMediaError
from retrieval.media.damage import Damage
from retrieval.media.images.conversion import to_rgb
from retrieval.media.images.errors import pillow_errors
from retrieval.media.images.limits import MAX_ANIMATION_FRAMES
from retrieval.media.images.reading import open_image

FORMATS = ("GIF", "WEBP")

_DEFAULT_SECONDS = 0.1
_MIN_SECONDS = 0.02
"""A shorter delay, or none, means 0.1 s, as in browsers."""


def is_animation(file: BinaryIO, head: bytes) -> bool:
    """Whether a file is a GIF or WebP of several frames; its position changes."""
    if not head.startswith(b"GIF8") and head[8:12] != b"WEBP":
        return False
    file.seek(0)
    try:
        with pillow_errors(), Image.open(file, formats=FORMATS) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:
        return False  # reading it as a still image raises the proper error


def estimate_seconds(file: BinaryIO) -> float:
    """Estimate the duration of an animation from the delay of its first frame."""
    file.seek(0)
    with pillow_errors(), open_image(file, FORMATS) as image:
        return getattr(image, "n_frames", 1) * _delay_seconds(image)


def _delay_seconds(image: Image.Image) -> float:
    delay = float(image.info.get("duration") or 0) / 1_000
    return delay if delay >= _MIN_SECONDS else _DEFAULT_SECONDS


class AnimationFrameReader:
    """Reads the frames of an animation; a `retrieval.media.video.reader.FrameSource`.

    Attributes:
        width: Pixels.
        height: Pixels.
        has_sound: Always False.
        declared_seconds: Always None.
        end_seconds: End of the last frame read so far.
        bytes: Size of the file.
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
            self._image = open_image(file, FORMATS)
            self.width, self.height = self._image.size

    def skip_to(self, seconds: float) -> None:
        """Do nothing, because each frame is drawn over the one before."""

    def frames_from(self, seconds: float) -> Iterator[tuple[float, float, Image.Image]]:
        """Yield (start, duration, RGB image) of all frames."""
        start = 0.0
        for number in range(MAX_ANIMATION_FRAMES):
            try:
                with pillow_errors():
                    self._image.seek(number)
                    frame = to_rgb(self._image).copy()
                    duration = _delay_seconds(self._image)
            except DamagedMediaError as error:
                if isinstance(error.__cause__, EOFError) and number:
                    return
                raise
            self.end_seconds = start + duration
            yield start, duration, frame
            start += duration

    def to_image(self, frame: Image.Image) -> Image.Image:
        """Return the frame, which is an image already."""
        return frame

    def check_end(self, end_seconds: float) -> None:
        """Note a GIF without its end mark; opening a cut WebP fails."""
        if self._image.format == "GIF":
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b";":
                self._damage.note("the animation has no end mark; the file may be cut")
