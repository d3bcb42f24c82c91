"""Read HEIF, JPEG XL, raw photographs and deep TIFFs with the extra `images`."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from retrieval.errors import DamagedMediaError, UnsupportedMediaError
from retrieval.media.images.conversion import read_orientation, to_rgb, turn_upright
from retrieval.media.images.deep_tiff import (
    is_16_bit_rgb,
    is_deep_tiff,
    read_deep_tiff,
    read_tiff_tags,
)
from retrieval.media.images.jpeg_xl import read_jpeg_xl_size
from retrieval.media.images.limits import MAX_RAW_PIXELS, check_pixels
from retrieval.media.images.signatures import is_heif, is_jpeg_xl, is_raw, is_tiff

SizedImage = tuple[Image.Image, tuple[int, int]]
"""An upright image, and the file's own upright (width, height)."""

_DNG_VERSION, _CFA_PATTERN, _TIFF_EP_STANDARD = 50706, 33421, 37399
_RAW_TAGS = frozenset((_DNG_VERSION, _CFA_PATTERN, _TIFF_EP_STANDARD))
_SUB_IFDS, _MAKE, _NEW_SUBFILE_TYPE, _PREVIEW = 330, 271, 254, 1
_ORIENTATIONS = {3: 3, 5: 8, 6: 6}
"""EXIF orientation by LibRaw's `flip`."""


def read_optional_format(file: BinaryIO, wanted_side: int) -> SizedImage | None:
    """Read an image in one of these formats; None if it has another format.

    Args:
        file: Open and seekable; at its beginning if the result is None.
        wanted_side: Pixels that the shorter side should have.

    Raises:
        UnsupportedMediaError: The library for the format is not installed.
        MediaTooLargeError: Over the pixel limits; checked before decoding.
        DamagedMediaError: Broken. Other exceptions of the libraries pass through.
    """
    file.seek(0)
    head = file.read(32)
    reader: Callable[[BinaryIO, int], SizedImage] | None = None
    if is_jpeg_xl(head):
        reader = _read_jpeg_xl
    elif is_heif(head) and not _is_avif(file):
        reader = _read_heif
    elif is_raw(head) or (is_tiff(head) and _is_raw_tiff(file, head)):
        reader = _read_raw
    elif is_tiff(head) and is_deep_tiff(read_tiff_tags(file)):
        reader = _read_deep_tiff
    file.seek(0)
    return None if reader is None else reader(file, wanted_side)


def _load_library(name: str, format_name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise UnsupportedMediaError(
            f"{format_name} needs the library {name}; install retrieval with its extra `images`"
        ) from error


def _is_avif(file: BinaryIO) -> bool:
    """Whether a file with a HEIF brand is AVIF by its compatible brands."""
    file.seek(0)
    head = file.read(512)
    brands = head[8 : int.from_bytes(head[:4], "big")]
    return b"avif" in brands and not any(brand in brands for brand in (b"heic", b"heix"))


def _read_heif(file: BinaryIO, wanted_side: int) -> SizedImage:
    library = _load_library("pillow_heif", "HEIF")
    image = library.open_heif(file, convert_hdr_to_8bit=True)
    check_pixels(*image.size)
    return image.to_pillow(), image.size


def _read_jpeg_xl(file: BinaryIO, wanted_side: int) -> SizedImage:
    library = _load_library("imagecodecs", "JPEG XL")
    content = file.read()
    check_pixels(*read_jpeg_xl_size(content))
    pixels = np.asarray(library.jpegxl_decode(content, index=0))
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        pixels = np.clip(np.nan_to_num(pixels) * 255 + 0.5, 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels.squeeze(axis=2) if pixels.shape[2:] == (1,) else pixels)
    return image, image.size


def _read_deep_tiff(file: BinaryIO, wanted_side: int) -> SizedImage:
    try:
        library = _load_library("imagecodecs", "a TIFF of these values")
    except UnsupportedMediaError:
        if not is_16_bit_rgb(read_tiff_tags(file)):
            raise
        file.seek(0)
        with Image.open(file, formats=("TIFF",)) as image:
            check_pixels(*image.size)
            image.load()
            # Pillow keeps the upper 8 of 16 bits, which shows that the range is not one of 12 bits.
            if np.asarray(image).max() < 16:
                raise
            upright = turn_upright(to_rgb(image), read_orientation(image))
            return upright, upright.size
    return read_deep_tiff(file, library)


# ---------------------------------------------------------------- raw photographs


def _is_raw_tiff(file: BinaryIO, head: bytes) -> bool:
    if head[8:10] == b"CR":  # Canon's CR2
        return True
    file.seek(0)
    try:
        with Image.open(file, formats=("TIFF",)) as image:
            tags = image.tag_v2  # type: ignore[attr-defined]
            is_preview = tags.get(_NEW_SUBFILE_TYPE) == _PREVIEW
            has_raw = is_preview and _SUB_IFDS in tags and _MAKE in tags
            return has_raw or not _RAW_TAGS.isdisjoint(tags)
    except Exception:
        # Pillow cannot open images of colour filter arrays; search for the tags instead.
        file.seek(0)
        content = file.read(1 << 16)
        order = "<" if head.startswith(b"II") else ">"
        tags = ((_DNG_VERSION, 1), (_CFA_PATTERN, 3))  # number and type
        return any(struct.pack(f"{order}HH", *tag) in content for tag in tags)


def _read_raw(file: BinaryIO, wanted_side: int) -> SizedImage:
    library = _load_library("rawpy", "a raw photograph")
    try:
        with library.imread(file) as raw:
            width, height = raw.sizes.width, raw.sizes.height
            check_pixels(width, height, MAX_RAW_PIXELS)
            if raw.sizes.flip in (5, 6):
                width, height = height, width
            preview = _read_preview(library, raw, min(wanted_side, width, height))
            if preview is not None:
                return preview, (width, height)
            pixels = raw.postprocess(half_size=True, use_camera_wb=True, no_auto_bright=True)
            return Image.fromarray(pixels), (width, height)
    except library.LibRawError as error:
        reason = error.args[0] if error.args else type(error).__name__
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise DamagedMediaError(f"raw photograph cannot be decoded ({text}); replace it") from error


def _read_preview(library: Any, raw: Any, min_side: int) -> Image.Image | None:
    """Read the camera's preview, upright; None if it is missing or too small."""
    try:
        preview = raw.extract_thumb()
    except library.LibRawError:
        return None
    orientation = _ORIENTATIONS.get(raw.sizes.flip, 1)
    if preview.format == library.ThumbFormat.BITMAP:
        image = Image.fromarray(preview.data)
    else:
        image = Image.open(io.BytesIO(preview.data), formats=("JPEG",))
        check_pixels(*image.size)
        own_orientation = read_orientation(image)
        if own_orientation != 1:
            orientation = own_orientation
    return turn_upright(image, orientation) if min(image.size) >= min_side else None
