"""Pictures: opened within limits, turned upright, made RGB, and fitted to a model's input."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, JpegImagePlugin, UnidentifiedImageError

from retrieval.errors import (
    DamagedMediaError,
    MediaError,
    MediaTooLargeError,
    UnsupportedMediaError,
)
from retrieval.media.damage import Damage
from retrieval.media.files import opened
from retrieval.media.images.optional_formats import read_other
from retrieval.media.images.signatures import MAX_PIXELS

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PSD", "AVIF")
"""What Pillow reads here; `other_pictures.py` adds HEIF, JPEG XL and raw photographs."""

MAX_JPEG_PIXELS = 256_000_000
"""Of a JPEG, which is decoded at a half, a quarter or an eighth of its size."""

MAX_MISSING_SHARE = 0.1
"""A JPEG may lack this share of its rows."""

MAX_ANIMATION_FRAMES = 2_000
MAX_SIDE = 4_096
"""A raw photograph is read from its preview if that has this many pixels, or as many as wanted."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# ---------------------------------------------------------------- reading


def read_image(file: BinaryIO | str, *, draft_side: int | None = None) -> Image.Image:
    """Read a picture: upright, RGB, transparency laid on white, the first frame of an animation.

    Args:
        file: An open file at its beginning, or a path.
        draft_side: Decode a large JPEG at 1/2, 1/4 or 1/8, so that both its sides still have this
            many pixels; None decodes every pixel.

    Raises:
        UnsupportedMediaError: Not one of `FORMATS`.
        DamagedMediaError: Truncated or broken.
        MediaTooLargeError: Over `MAX_PIXELS` or `MAX_ANIMATION_FRAMES`; found before decoding.
    """
    return read_image_and_size(file, draft_side=draft_side)[0]


def read_image_and_size(
    file: BinaryIO | str, *, draft_side: int | None = None, damage: Damage | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """Read a picture as `read_image` does; also give the file's own upright (width, height)."""
    damage = damage or Damage()
    with pillow_errors(), opened(file) as stream:
        other = read_other(stream, draft_side or MAX_SIDE)
        if other is not None:
            picture, size = other
            return to_rgb(picture), size
        with open_picture(stream) as image:
            return _upright(image, stream, draft_side, damage)


def _upright(
    image: Image.Image, file: BinaryIO, draft_side: int | None, damage: Damage
) -> tuple[Image.Image, tuple[int, int]]:
    width, height = image.size
    orientation = _orientation(image)
    if draft_side is not None:
        image.draft("RGB", (draft_side, draft_side))
    elif width * height > MAX_PIXELS:
        image.draft("RGB", (width // 2, height // 2))
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(width, height)
    try:
        image.load()
    except OSError:
        if image.format not in ("JPEG", "MPO"):
            raise
        image = read_cut_jpeg(file, image, damage)
    picture = to_rgb(image)
    turn = _UPRIGHT.get(orientation)
    if turn is not None:
        picture = picture.transpose(turn)
    return picture, (height, width) if orientation in (5, 6, 7, 8) else (width, height)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Turn a picture that is open already into what `read_image` gives of its file.

    Raises:
        DamagedMediaError: Truncated or broken.
        MediaTooLargeError: Over `MAX_PIXELS`.
    """
    with pillow_errors():
        _check_size(image)
        image.load()
        picture = to_rgb(image)
        turn = _UPRIGHT.get(_orientation(image))
        return picture if turn is None else picture.transpose(turn)


@contextmanager
def pillow_errors() -> Iterator[None]:
    """Turn what Pillow raises on bad files into typed errors, and keep its warnings quiet."""
    with _QUIET:
        try:
            yield
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise MediaTooLargeError(f"over {MAX_PIXELS:,} pixels; make it smaller") from error
        except MediaError:
            raise
        except UnidentifiedImageError as error:
            raise UnsupportedMediaError(
                f"not a readable picture, expected {', '.join(FORMATS)}; convert or replace it"
            ) from error
        except Exception as error:  # decoders raise whatever they like on bad data
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DamagedMediaError(
                f"picture cannot be decoded ({reason[:200]}); replace it"
            ) from error


class _Quiet:
    """Pillow's warnings unheard, but for bombs, which are errors.

    Filters belong to the process, and several threads read pictures: the first one in sets them,
    the last one out brings the old ones back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._filters.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._filters.close()


_QUIET = _Quiet()


def _too_large(width: int, height: int, most: int = MAX_PIXELS) -> MediaTooLargeError:
    return MediaTooLargeError(
        f"{width} × {height} pixels, at most {most:,} are read; make it smaller"
    )


def open_picture(file: BinaryIO, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """Open a picture without decoding it; within the caps, errors as Pillow raises them."""
    try:
        image = Image.open(file, formats=formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        file.seek(0)
        if not file.read(3) == b"\xff\xd8\xff":
            raise
        file.seek(0)
        image = JpegImagePlugin.JpegImageFile(file)
    width, height = image.size
    most = MAX_JPEG_PIXELS if image.format in ("JPEG", "MPO") else MAX_PIXELS
    if width * height > most:
        raise _too_large(width, height, most)
    if image.format == "MPO":
        return image  # only the first of its pictures is read
    frames = getattr(image, "n_frames", 1)
    if frames > MAX_ANIMATION_FRAMES:
        raise MediaTooLargeError(
            f"{frames} frames, at most {MAX_ANIMATION_FRAMES:,} are read; save it as a video"
        )
    return image


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_large(width, height)


def _orientation(image: Image.Image) -> int:
    # ImageOps.exif_transpose also writes the tags anew and fails on photographs whose other tags
    # are broken; one tag is all that is needed.
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1


def to_rgb(image: Image.Image) -> Image.Image:
    """Make an RGB picture; transparency is laid on white, deep greys are scaled to 8 bits."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        picture = Image.new("RGB", image.size, "white")
        picture.paste(layer, mask=layer.getchannel("A"))
        return picture
    return image.convert("RGB")


_RANGES = (1, 255, 4_095, 65_535, 2_147_483_647, 4_294_967_295)
"""Largest values of the usual depths: masks and floats, 8, 12, 16, 31 and 32 bits."""


def _deep_grey(image: Image.Image) -> Image.Image:
    """Bring deep integers and floats to 8 bits by the usual range that holds their values.

    Pillow's own conversion clips them silently. Values below 0 or beyond any usual range are
    stretched from their least to their greatest.
    """
    values = np.asarray(image).astype(np.float64)
    least, greatest = values.min(), values.max()
    if not np.isfinite([least, greatest]).all():
        raise DamagedMediaError("picture holds NaN or infinite values; replace it")
    limit = next((limit for limit in _RANGES if greatest <= limit), None)
    if least < 0 or limit is None:
        grey = (values - least) * (255 / max(greatest - least, np.finfo(np.float64).tiny))
    elif limit == 1:
        grey = values * 255 + 0.5
    elif image.mode == "F" and limit == 255:
        grey = values + 0.5
    else:
        grey = values * (256 / (limit + 1))
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).convert("RGB")


# ---------------------------------------------------------------- damaged JPEGs


def read_cut_jpeg(file: BinaryIO, image: Image.Image, damage: Damage) -> Image.Image:
    """Read a JPEG that lacks its last bytes; the rows that are missing stay grey.

    Args:
        file: The file, open; its position is lost.
        image: What it was opened as, at the size that is wanted.
        damage: Gets a note.

    Raises:
        OSError: More than `MAX_MISSING_SHARE` of its rows is missing.
    """
    file.seek(0)
    content = file.read()
    with JpegImagePlugin.JpegImageFile(io.BytesIO(content + b"\xff\xd9")) as again:
        again.draft("RGB", image.size)
        again.load()
        pixels = np.asarray(again.convert("RGB"))
        if again.info.get("progressive"):  # its scans cover all rows; the last one may be cut
            whole = content.count(b"\xff\xda") >= (6 if again.mode == "L" else 10)
            missing = 0.0 if whole else 1.0
        else:
            told = np.flatnonzero((pixels != 128).any(axis=(1, 2)))
            missing = 1 - (told[-1] + 1 if len(told) else 0) / len(pixels)
        if missing > MAX_MISSING_SHARE:
            raise OSError(f"image file is truncated, {missing:.0%} of its rows are missing")
        damage.note(f"the end of the file is missing; {missing:.1%} of the picture's rows are grey")
        return again.copy()
