"""Convert images to upright 8-bit RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from retrieval.errors import DamagedMediaError

_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By the value of the EXIF orientation tag."""

_RANGES = (1, 255, 4_095, 65_535, 2_147_483_647, 4_294_967_295)
"""Largest values of common depths: masks and floats, 8, 12, 16, 31 and 32 bits."""

_BLOCK_ROWS = 256


def read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if the tags cannot be read."""
    # ImageOps.exif_transpose also rewrites the tags, which fails if other tags are broken.
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Transpose an image as its EXIF orientation says."""
    transposition = _TRANSPOSITIONS.get(orientation)
    return image if transposition is None else image.transpose(transposition)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to RGB: transparency on white, values of more than 8 bits scaled."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(scale_to_8_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        rgb = Image.new("RGB", image.size, "white")
        rgb.paste(layer, mask=layer.getchannel("A"))
        return rgb
    return image.convert("RGB")


def scale_to_8_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale integers or floats of any shape by the smallest common range that holds them.

    Pillow's own conversion clips them silently. Values below 0 or beyond all ranges are stretched
    from their minimum to their maximum.

    Raises:
        DamagedMediaError: A value is NaN or infinite.
    """
    minimum, maximum = float(values.min()), float(values.max())
    if not np.isfinite([minimum, maximum]).all():
        raise DamagedMediaError("image holds NaN or infinite values; replace it")
    ranges = {*_RANGES, np.iinfo(values.dtype).max} if values.dtype.kind in "iu" else _RANGES
    limit = next((limit for limit in sorted(ranges) if maximum <= limit), None)
    offset, factor, rounding = 0.0, 1.0, 0.0
    if minimum < 0 or limit is None:
        offset, factor = minimum, 255 / max(maximum - minimum, np.finfo(np.float64).tiny)
    elif limit == 1:
        factor, rounding = 255.0, 0.5
    elif values.dtype.kind == "f" and limit == 255:
        rounding = 0.5
    else:
        factor = 256 / (limit + 1)
    scaled = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _BLOCK_ROWS):  # float64 copies of all rows would be large
        rows = slice(start, start + _BLOCK_ROWS)
        block = (values[rows].astype(np.float64) - offset) * factor + rounding
        scaled[rows] = np.clip(block, 0, 255).astype(np.uint8)
    return scaled
