"""Pictures: opened within limits, turned upright, made RGB, and fitted to a model's input."""

from __future__ import annotations

import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from retrieval.errors import DamagedMediaError, MediaTooLargeError, UnsupportedMediaError
from retrieval.media.container import Damage
from retrieval.regular_files import check_regular
from retrieval.types import ImageGeometry

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
MAX_PIXELS = 64_000_000
MAX_ANIMATION_FRAMES = 2_000
MAX_ASPECT_RATIO = 32
"""Longer strips are cut to their middle first: 1 × 10,000 pixels would become 224 × 2,240,000."""

# What Pillow's readers raise on broken data, beside the OSError they document.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_INTERPOLATIONS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
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
    with pillow_errors(), open_picture(file) as image:
        width, height = image.size
        orientation = _orientation(image)
        if draft_side is not None:
            image.draft("RGB", (draft_side, draft_side))
        image.load()
        picture = to_rgb(image)
        turn = _UPRIGHT.get(orientation)
        if turn is not None:
            picture = picture.transpose(turn)
        return picture, (height, width) if orientation in (5, 6, 7, 8) else (width, height)


@contextmanager
def pillow_errors() -> Iterator[None]:
    """Turn what Pillow raises on bad files into typed errors, and keep its warnings quiet."""
    with _QUIET:
        try:
            yield
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise MediaTooLargeError(f"over {MAX_PIXELS:,} pixels; make it smaller") from error
        except (DamagedMediaError, MediaTooLargeError):
            raise
        except UnidentifiedImageError as error:
            raise UnsupportedMediaError(
                f"not a readable picture, expected {', '.join(FORMATS)}; convert or replace it"
            ) from error
        except _BROKEN as error:
            raise DamagedMediaError(
                f"picture cannot be decoded ({str(error) or type(error).__name__}); replace it"
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


def open_picture(file: BinaryIO | str, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """Open a picture without decoding it; within the caps, errors as Pillow raises them."""
    if isinstance(file, str):
        check_regular(file)
    image = Image.open(file, formats=formats)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise MediaTooLargeError(
            f"{width} × {height} pixels, at most {MAX_PIXELS:,} are read; make it smaller"
        )
    frames = getattr(image, "n_frames", 1)
    if frames > MAX_ANIMATION_FRAMES:
        raise MediaTooLargeError(
            f"{frames} frames, at most {MAX_ANIMATION_FRAMES:,} are read; save it as a video"
        )
    return image


def _orientation(image: Image.Image) -> int:
    # ImageOps.exif_transpose also writes the tags anew and fails on photographs whose other tags
    # are broken; one tag is all that is needed.
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _BROKEN:
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


def _deep_grey(image: Image.Image) -> Image.Image:
    """Bring 16-bit integers to 8 bits by their high byte, and floats of 0 … 1 to 0 … 255.

    Pillow's own conversion clips them silently.
    """
    values = np.asarray(image)
    if image.mode == "F":
        if not np.isfinite(values).all():
            raise DamagedMediaError("picture holds NaN or infinite values; replace it")
        scale = 255.0 if values.max() <= 1.0 else 1.0
        grey = np.clip(values * scale + 0.5, 0, 255)
    else:
        grey = np.clip(values, 0, 65_535) >> 8
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


# ---------------------------------------------------------------- fitting


def fit(image: Image.Image, geometry: ImageGeometry) -> NDArray[np.uint8]:
    """Resize and crop a picture exactly as open_clip's own preprocessing does.

    Pictures longer than `MAX_ASPECT_RATIO` are cut to their middle first.

    Args:
        image: An RGB picture.
        geometry: The model's input.

    Returns:
        (height, width, 3) uint8, before the model's scaling to floats.
    """
    method = _INTERPOLATIONS[geometry.interpolation]
    target = (geometry.width, geometry.height)
    fill = 0  # torchvision pads with black where a crop is larger than the picture
    if geometry.resize_mode == "squash":
        size = target
    elif geometry.resize_mode == "longest":
        image = _cut_strip(image)
        size = _keep_ratio(image.size, target, longest=True)
        fill = geometry.fill
    elif geometry.width == geometry.height:
        image = _cut_strip(image)
        size = _short_side(image.size, geometry.width)
    else:
        image = _cut_strip(image)
        size = _keep_ratio(image.size, target, longest=False)
        method = Image.Resampling.BICUBIC  # open_clip passes no other for inputs that are oblong
    if size != image.size:
        image = image.resize(size, method)
    return np.array(_crop_centre(image, target, fill))  # a copy: Pillow's own memory is read-only


def _cut_strip(image: Image.Image) -> Image.Image:
    width, height = image.size
    longest = MAX_ASPECT_RATIO * min(width, height)
    if max(width, height) <= longest:
        return image
    return _crop_centre(image, (min(width, longest), min(height, longest)), fill=0)


def _short_side(size: tuple[int, int], side: int) -> tuple[int, int]:
    width, height = size
    long_side = int(side * max(size) / min(size))
    return (side, long_side) if width <= height else (long_side, side)


def _keep_ratio(
    size: tuple[int, int], target: tuple[int, int], *, longest: bool
) -> tuple[int, int]:
    ratios = (size[1] / target[1], size[0] / target[0])
    ratio = max(ratios) if longest else min(ratios)
    return max(1, round(size[0] / ratio)), max(1, round(size[1] / ratio))


def _crop_centre(image: Image.Image, target: tuple[int, int], fill: int) -> Image.Image:
    """Crop to the centre, padding first where the picture is smaller, rounding as torchvision."""
    width, height = image.size
    pad_left = max(0, target[0] - width) // 2
    pad_top = max(0, target[1] - height) // 2
    if target[0] > width or target[1] > height:
        padded = Image.new("RGB", (max(width, target[0]), max(height, target[1])), (fill,) * 3)
        padded.paste(image, (pad_left, pad_top))
        image = padded
    left = round((image.width - target[0]) / 2.0)
    top = round((image.height - target[1]) / 2.0)
    if image.size == target:
        return image
    return image.crop((left, top, left + target[0], top + target[1]))
