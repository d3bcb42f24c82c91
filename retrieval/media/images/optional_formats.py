"""Pictures that Pillow alone cannot read: HEIF, JPEG XL, raw photographs. The extra `images`."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from retrieval.errors import DamagedMediaError, MediaTooLargeError, UnsupportedMediaError
from retrieval.media.images.jpeg_xl import size_of_jpeg_xl
from retrieval.media.images.signatures import MAX_PIXELS, is_heif, is_jpeg_xl, is_raw, is_tiff

Sized = tuple[Image.Image, tuple[int, int]]
"""A picture, upright, and the file's own upright (width, height)."""

MAX_RAW_PIXELS = 256_000_000
"""Of a raw photograph, which is read from its preview or at half its size."""

_RAW_TAGS = frozenset((50706, 33421, 37399))  # DNG's version, and colour filters
_SUB_PICTURES, _MAKER, _KIND, _PREVIEW = 330, 271, 254, 1
_TURNS = {
    3: Image.Transpose.ROTATE_180,
    5: Image.Transpose.ROTATE_90,
    6: Image.Transpose.ROTATE_270,
}


def read_other(file: BinaryIO, wanted_side: int) -> Sized | None:
    """Read a picture of one of these formats; None if it is of another.

    Args:
        file: Open and seekable; rewound where the result is None.
        wanted_side: Pixels that the shorter side should have.

    Raises:
        UnsupportedMediaError: The library for the format is not installed.
        MediaTooLargeError: Over the pixel caps; found before decoding.
        DamagedMediaError: Broken. Other exceptions of the libraries pass.
    """
    file.seek(0)
    head = file.read(32)
    reader: Callable[[BinaryIO, int], Sized] | None = None
    if is_jpeg_xl(head):
        reader = _read_jpeg_xl
    elif is_heif(head) and not _is_avif(file):
        reader = _read_heif
    elif is_raw(head) or (is_tiff(head) and _is_raw_tiff(file, head)):
        reader = _read_raw
    file.seek(0)
    return None if reader is None else reader(file, wanted_side)


def _library(name: str, what: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise UnsupportedMediaError(
            f"{what} needs the library {name}; install retrieval with its extra `images`"
        ) from error


def _check_size(width: int, height: int, most: int = MAX_PIXELS) -> None:
    if width * height > most:
        raise MediaTooLargeError(
            f"{width} × {height} pixels, at most {most:,} are read; make it smaller"
        )


def _is_avif(file: BinaryIO) -> bool:
    """Whether the brands of a file that calls itself HEIF name AVIF too."""
    file.seek(0)
    head = file.read(512)
    brands = head[8 : int.from_bytes(head[:4], "big")]
    return b"avif" in brands and not any(one in brands for one in (b"heic", b"heix"))


def _read_heif(file: BinaryIO, wanted_side: int) -> Sized:
    library = _library("pillow_heif", "HEIF")
    opened = library.open_heif(file, convert_hdr_to_8bit=True)
    width, height = opened.size
    _check_size(width, height)
    return opened.to_pillow(), (width, height)


def _read_jpeg_xl(file: BinaryIO, wanted_side: int) -> Sized:
    library = _library("imagecodecs", "JPEG XL")
    content = file.read()
    _check_size(*size_of_jpeg_xl(content))
    pixels = np.asarray(library.jpegxl_decode(content, index=0))
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        pixels = np.clip(np.nan_to_num(pixels) * 255 + 0.5, 0, 255).astype(np.uint8)
    picture = Image.fromarray(pixels.squeeze(axis=2) if pixels.shape[2:] == (1,) else pixels)
    return picture, picture.size


# ---------------------------------------------------------------- raw photographs


def _is_raw_tiff(file: BinaryIO, head: bytes) -> bool:
    if head[8:10] == b"CR":  # Canon's CR2
        return True
    file.seek(0)
    try:
        with Image.open(file, formats=("TIFF",)) as image:
            tags = image.tag_v2  # type: ignore[attr-defined]
            preview = tags.get(_KIND) == _PREVIEW and _SUB_PICTURES in tags and _MAKER in tags
            return preview or not _RAW_TAGS.isdisjoint(tags)
    except Exception:
        # Pillow reads no mosaic of colour filters, and LibRaw no other TIFF.
        file.seek(0)
        return any(mark in file.read(1 << 16) for mark in _raw_marks(head))


def _raw_marks(head: bytes) -> list[bytes]:
    """The tags of raw photographs as they are written into a TIFF."""
    order = "<" if head.startswith(b"II") else ">"
    return [struct.pack(f"{order}HH", tag, kind) for tag, kind in ((50706, 1), (33421, 3))]


def _read_raw(file: BinaryIO, wanted_side: int) -> Sized:
    library = _library("rawpy", "a raw photograph")
    try:
        with library.imread(file) as raw:
            width, height = raw.sizes.width, raw.sizes.height
            _check_size(width, height, MAX_RAW_PIXELS)
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


def _read_preview(library: Any, raw: Any, side: int) -> Image.Image | None:
    """Read the preview that the camera made, upright; None where it is missing or too small."""
    try:
        preview = raw.extract_thumb()
    except library.LibRawError:
        return None
    if preview.format == library.ThumbFormat.BITMAP:
        picture = Image.fromarray(preview.data)
        turned = False
    else:
        picture = Image.open(io.BytesIO(preview.data), formats=("JPEG",))
        _check_size(*picture.size)
        turned = picture.getexif().get(0x0112, 1) != 1
    if min(picture.size) < side:
        return None
    turn = _TURNS.get(_flip_of(picture) if turned else raw.sizes.flip)
    return picture if turn is None else picture.transpose(turn)


def _flip_of(picture: Image.Image) -> int:
    """The camera's turn in LibRaw's numbers, from the preview's own tag."""
    return {3: 3, 6: 6, 8: 5}.get(picture.getexif().get(0x0112, 1), 0)
