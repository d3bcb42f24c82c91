"""Small pictures of any item, for pages; a file that cannot be shown gets a placeholder."""

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
    """A `data:` URI of a JPEG: the picture, the frame in the middle of the span, or a note."""
    try:
        image = _contained(_picture(hit))
    except Exception as error:  # decoders raise anything on a broken file, and a page goes on
        logger.info("%s: no thumbnail: %s", hit.uri, error)
        image = _note(hit.modality, missing=True)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _contained(image: Image.Image) -> Image.Image:
    """A picture scaled to fit; one that is hundreds of times longer than wide keeps a pixel."""
    scale = SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height))


def _picture(hit: Hit) -> Image.Image:
    container, member = container_of(hit.uri)
    path = uri_to_path(container)
    if hit.modality is Medium.AUDIO:
        return _note(hit.modality)
    if member is None:
        return _shown(path, hit)
    with open_member(path, member) as file:
        return _shown(file, hit)


def _shown(file: BinaryIO | str, hit: Hit) -> Image.Image:
    if hit.modality is Medium.IMAGE:
        from retrieval.media.images.reading import read_image

        return read_image(file, draft_side=SIDE)
    from retrieval.media.video.reader import frames_at

    middle = ((hit.start_seconds or 0.0) + (hit.end_seconds or 0.0)) / 2
    return next(picture for _, picture in frames_at(file, [middle]))


def _note(modality: Medium, *, missing: bool = False) -> Image.Image:
    """A plate with a few bars, for sound and for files that are gone."""
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
