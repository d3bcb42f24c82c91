"""Read TIFFs of more than 8 bits, of signed integers or floats, and of several bands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from retrieval.errors import DamagedMediaError, MediaTooLargeError
from retrieval.media.images.conversion import scale_to_8_bits, turn_upright
from retrieval.media.images.limits import check_pixels

MAX_BYTES = 1 << 30
"""Bytes of all bands together."""

_WIDTH, _HEIGHT, _ORIENTATION = 256, 257, 274
_BITS_PER_SAMPLE, _SAMPLES_PER_PIXEL, _SAMPLE_FORMAT = 258, 277, 339
_PHOTOMETRIC, _MIN_IS_WHITE, _MIN_IS_BLACK, _RGB = 262, 0, 1, 2
_PLANAR_CONFIGURATION, _SEPARATE = 284, 2
_EXTRA_SAMPLES, _ASSOCIATED_ALPHA, _ALPHAS = 338, 1, (1, 2)
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3

_READ_BY_PILLOW = ((_UNSIGNED, 16), (_SIGNED, 32), (_FLOAT, 32))
"""Formats of one grey band that Pillow reads as they are."""


def read_tiff_tags(file: BinaryIO) -> Mapping[int, Any]:
    """Return the tags of a TIFF's first image; none if they cannot be read."""
    file.seek(0)
    header = file.read(8)
    if b"+" in header[2:4]:  # BigTIFF
        header += file.read(8)
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(header)
        file.seek(tags.next)
        tags.load(file)
        return dict(tags)
    except Exception:  # Pillow raises arbitrary exceptions on bad data
        return {}


def is_deep_tiff(tags: Mapping[int, Any]) -> bool:
    """Whether a TIFF is grey or RGB with values that Pillow refuses, cuts or changes."""
    photometric = tags.get(_PHOTOMETRIC)
    bits = set(tags.get(_BITS_PER_SAMPLE, (1,)))
    formats = set(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,)))
    bands = int(tags.get(_SAMPLES_PER_PIXEL, 1))
    if photometric not in (_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB):
        return False
    if formats == {_UNSIGNED} and max(bits) <= 8:
        return bool(photometric != _RGB and bands > (2 if _EXTRA_SAMPLES in tags else 1))
    pair = (min(formats), min(bits))
    is_plain = photometric == _MIN_IS_BLACK and bands == 1 and pair in _READ_BY_PILLOW
    return not is_plain


def is_16_bit_rgb(tags: Mapping[int, Any]) -> bool:
    """Whether a TIFF is RGB of unsigned 16 bits, which Pillow cuts to its upper 8 bits."""
    return (
        tags.get(_PHOTOMETRIC) == _RGB
        and tags.get(_SAMPLES_PER_PIXEL) == 3
        and set(tags.get(_BITS_PER_SAMPLE, ())) == {16}
        and set(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))) == {_UNSIGNED}
        and tags.get(_PLANAR_CONFIGURATION) != _SEPARATE
    )


def read_deep_tiff(file: BinaryIO, library: Any) -> tuple[Image.Image, tuple[int, int]]:
    """Read the first image of a TIFF for which `is_deep_tiff` holds, upright.

    Colours and transparency are scaled by their ranges. Of several grey bands, the first three are
    red, green and blue; of two, the first is shown.

    Args:
        file: Open and seekable.
        library: The module imagecodecs.

    Raises:
        MediaTooLargeError: Over `MAX_PIXELS` or `MAX_BYTES`; checked before decoding.
        DamagedMediaError: Pixels of another shape than declared, NaN or infinite values.
    """
    tags = read_tiff_tags(file)
    width, height = int(tags[_WIDTH]), int(tags[_HEIGHT])
    check_pixels(width, height)
    bands = int(tags.get(_SAMPLES_PER_PIXEL, 1))
    size_bytes = width * height * bands * max(tags.get(_BITS_PER_SAMPLE, (1,))) // 8
    if size_bytes > MAX_BYTES:
        raise MediaTooLargeError(
            f"{width} × {height} pixels of {bands} bands, {size_bytes:,} bytes; at most "
            f"{MAX_BYTES:,} are read; write fewer bands"
        )
    file.seek(0)
    values = np.asarray(library.tiff_decode(file.read(), index=0))
    if bands > 1 and tags.get(_PLANAR_CONFIGURATION) == _SEPARATE and values.ndim == 3:
        values = np.moveaxis(values, 0, -1)
    if values.shape not in {(height, width, bands), (height, width)[: 3 - (bands > 1)]}:
        raise DamagedMediaError(
            f"TIFF holds an array of shape {values.shape}, expected ({height}, {width}, {bands}); "
            "write it again"
        )
    if values.dtype.kind not in "uif":
        raise DamagedMediaError(f"TIFF holds values of type {values.dtype}; write real numbers")
    pixels = _to_rgb(values.reshape(height, width, bands), tags)
    image = turn_upright(Image.fromarray(pixels), tags.get(_ORIENTATION, 1))
    return image, image.size


def _to_rgb(values: NDArray[Any], tags: Mapping[int, Any]) -> NDArray[np.uint8]:
    """Convert (height, width, bands) to (height, width, 3), with transparency on white."""
    extra = tuple(tags.get(_EXTRA_SAMPLES, ()))
    bands = values.shape[2]
    colours = min(3 if tags[_PHOTOMETRIC] == _RGB else 1, bands)
    alpha = next((k for k, kind in enumerate(extra, bands - len(extra)) if kind in _ALPHAS), None)
    if colours == 1 and alpha is None and bands >= 3:
        colours = 3
    rgb = scale_to_8_bits(values[:, :, :colours])
    if tags[_PHOTOMETRIC] == _MIN_IS_WHITE:
        rgb = 255 - rgb
    if colours < 3:
        rgb = np.repeat(rgb[:, :, :1], 3, axis=2)
    if alpha is None or alpha < colours:
        return np.asarray(rgb, np.uint8)
    opacity = scale_to_8_bits(values[:, :, alpha]).astype(np.uint16)[:, :, np.newaxis]
    if extra[alpha - bands + len(extra)] != _ASSOCIATED_ALPHA:
        rgb = (rgb * opacity // 255).astype(np.uint8)
    return np.asarray(np.minimum(rgb + (255 - opacity), 255), np.uint8)
