"""Small pictures of items, as `data:` URIs; unreadable files get a placeholder."""

from __future__ import annotations

import base64
import io
import logging
from typing import BinaryIO

from PIL import Image, ImageDraw

from retrieval.media.archives.members import open_member
from retrieval.media.names import container_of, uri_to_path
from retrieval.types import Hit, Medium

logger = logging.getLogger(__name__)

SIDE = 256
GREY, DARK = (225, 225, 230), (120, 120, 130)


def thumbnail(hit: Hit) -> str:
    """Return a JPEG as `data:` URI: the picture, the middle frame of the span, or a placeholder."""
    buffer = io.BytesIO()
    thumbnail_picture(hit).save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def thumbnail_picture(hit: Hit) -> Image.Image:
    """Return the picture, the middle frame of the span, or a placeholder, with sides ≤ `SIDE`."""
    try:
        return _resize(_picture(hit))
    except Exception as error:  # decoders raise any error for a damaged file
        logger.info("%s: no thumbnail: %s", hit.uri, error)
        return _placeholder(hit.modality, missing=True)


def _resize(image: Image.Image) -> Image.Image:
    """Scale a picture to fit `SIDE`; both sides keep at least a pixel."""
    scale = SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height))


def _picture(hit: Hit) -> Image.Image:
    container, member = container_of(hit.uri)
    path = uri_to_path(container)
    if hit.modality is Medium.AUDIO:
        return _placeholder(hit.modality)
    if member is None:
        return _read(path, hit)
    with open_member(path, member) as file:
        return _read(file, hit)


def _read(file: BinaryIO | str, hit: Hit) -> Image.Image:
    if hit.modality is Medium.IMAGE:
        from retrieval.media.images.reading import read_image

        return read_image(file, draft_side=SIDE)
    from retrieval.media.video.reader import frames_at

    middle = ((hit.start_seconds or 0.0) + (hit.end_seconds or 0.0)) / 2
    return next(picture for _, picture in frames_at(file, [middle]))


def _placeholder(modality: Medium, *, missing: bool = False) -> Image.Image:
    """Draw a plate, with bars for audio and a text for unreadable files."""
    image = Image.new("RGB", (SIDE, SIDE * 9 // 16), GREY)
    pen = ImageDraw.Draw(image)
    heights = (0.3, 0.6, 0.9, 0.5, 0.75, 0.4, 0.65, 0.35)
    for number, height in enumerate(heights if modality is Medium.AUDIO else ()):
        x = 48 + number * 22
        half = height * 45
        pen.rectangle((x, 72 - half, x + 10, 72 + half), DARK)
    if missing:
        pen.text((SIDE / 2, 72), "cannot be shown", fill=DARK, anchor="mm")
    return image
