"""Read still images within limits, as upright RGB."""

from __future__ import annotations

import io
from typing import BinaryIO

import numpy as np
from PIL import Image, JpegImagePlugin

from retrieval.errors import MediaTooLargeError
from retrieval.media.damage import Damage
from retrieval.media.files import opened
from retrieval.media.images.conversion import read_orientation, to_rgb, turn_upright
from retrieval.media.images.errors import FORMATS, pillow_errors
from retrieval.media.images.limits import (
    MAX_ANIMATION_FRAMES,
    MAX_JPEG_PIXELS,
    MAX_PIXELS,
    check_pixels,
)
from retrieval.media.images.optional_formats import read_optional_format

MAX_MISSING_SHARE = 0.1
"""A cut JPEG may lack this share of its rows."""

MAX_SIDE = 4_096
"""A raw photograph is read from a preview with this many pixels, unless fewer are wanted."""


def read_image(file: BinaryIO | str, *, draft_side: int | None = None) -> Image.Image:
    """Read an image as upright RGB, with transparency on white; of an animation the first frame.

    Args:
        file: An open file, or a path.
        draft_side: Decode a large JPEG at 1/2, 1/4 or 1/8 so that both sides still have this many
            pixels; None decodes every pixel.

    Raises:
        UnsupportedMediaError: Not an image in a known format.
        DamagedMediaError: Truncated or broken.
        MediaTooLargeError: Over `MAX_PIXELS` or `MAX_ANIMATION_FRAMES`; checked before decoding.
    """
    return read_image_and_size(file, draft_side=draft_side)[0]


def read_image_and_size(
    file: BinaryIO | str, *, draft_side: int | None = None, damage: Damage | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """Read an image as `read_image` does; also return the file's own upright (width, height)."""
    damage = damage or Damage()
    with pillow_errors(), opened(file) as stream:
        optional = read_optional_format(stream, draft_side or MAX_SIDE)
        if optional is not None:
            image, size = optional
            return to_rgb(image), size
        with open_image(stream) as image:
            return _decode(image, stream, draft_side, damage)


def _decode(
    image: Image.Image, file: BinaryIO, draft_side: int | None, damage: Damage
) -> tuple[Image.Image, tuple[int, int]]:
    width, height = image.size
    orientation = read_orientation(image)
    if draft_side is not None:
        image.draft("RGB", (draft_side, draft_side))
    elif width * height > MAX_PIXELS:
        image.draft("RGB", (width // 2, height // 2))
    if image.width * image.height > MAX_PIXELS:
        check_pixels(width, height)
    try:
        image.load()
    except OSError:
        if image.format not in ("JPEG", "MPO"):
            raise
        image = _read_cut_jpeg(file, image, damage)
    size = (height, width) if orientation in (5, 6, 7, 8) else (width, height)
    return turn_upright(to_rgb(image), orientation), size


def upright_rgb(image: Image.Image) -> Image.Image:
    """Convert an image that is open already to what `read_image` returns for its file.

    Raises:
        DamagedMediaError: Truncated or broken.
        MediaTooLargeError: Over `MAX_PIXELS`.
    """
    with pillow_errors():
        check_pixels(*image.size)
        image.load()
        return turn_upright(to_rgb(image), read_orientation(image))


def open_image(file: BinaryIO, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """Open an image within the limits without decoding it; raises Pillow's errors too."""
    try:
        image = Image.open(file, formats=formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        file.seek(0)
        if file.read(3) != b"\xff\xd8\xff":
            raise
        file.seek(0)
        image = JpegImagePlugin.JpegImageFile(file)
    is_jpeg = image.format in ("JPEG", "MPO")
    check_pixels(*image.size, MAX_JPEG_PIXELS if is_jpeg else None)
    if image.format == "MPO":
        return image  # only its first image is read
    frames = getattr(image, "n_frames", 1)
    if frames > MAX_ANIMATION_FRAMES:
        raise MediaTooLargeError(
            f"{frames} frames, at most {MAX_ANIMATION_FRAMES:,} are read; save it as a video"
        )
    return image


def _read_cut_jpeg(file: BinaryIO, image: Image.Image, damage: Damage) -> Image.Image:
    """Read a JPEG that lacks its last bytes; the missing rows are grey.

    Args:
        file: The open file; its position changes.
        image: The file as opened, at the wanted size.
        damage: Receives a note.

    Raises:
        OSError: More than `MAX_MISSING_SHARE` of the rows is missing.
    """
    file.seek(0)
    content = file.read()
    with JpegImagePlugin.JpegImageFile(io.BytesIO(content + b"\xff\xd9")) as completed:
        completed.draft("RGB", image.size)
        completed.load()
        pixels = np.asarray(completed.convert("RGB"))
        if completed.info.get("progressive"):  # each scan covers all rows; the last may be cut
            scans = 6 if completed.mode == "L" else 10
            missing = 0.0 if content.count(b"\xff\xda") >= scans else 1.0
        else:
            decoded_rows = np.flatnonzero((pixels != 128).any(axis=(1, 2)))
            missing = 1 - (decoded_rows[-1] + 1 if len(decoded_rows) else 0) / len(pixels)
        if missing > MAX_MISSING_SHARE:
            raise OSError(f"image file is truncated, {missing:.0%} of its rows are missing")
        damage.note(f"the end of the file is missing; {missing:.1%} of the image's rows are grey")
        return completed.copy()
