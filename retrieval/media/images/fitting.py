"""Resize and crop images to the input of a model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retrieval.types import ImageGeometry

MAX_ASPECT_RATIO = 32
"""Longer strips are cropped first: 1 × 10,000 pixels would become 224 × 2,240,000."""

_INTERPOLATIONS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}


def fit(image: Image.Image, geometry: ImageGeometry) -> NDArray[np.uint8]:
    """Resize and crop an image exactly as open_clip's preprocessing does.

    Images longer than `MAX_ASPECT_RATIO` are cropped to their centre first.

    Args:
        image: An RGB image.
        geometry: The model's input.

    Returns:
        (height, width, 3) uint8, before the model's scaling to floats.
    """
    interpolation = _INTERPOLATIONS[geometry.interpolation]
    target = (geometry.width, geometry.height)
    fill = 0  # torchvision pads with black if a crop is larger than the image
    if geometry.resize_mode == "squash":
        size = target
    elif geometry.resize_mode == "longest":
        image = _crop_strip(image)
        size = _scale_to(image.size, target, longest=True)
        fill = geometry.fill
    elif geometry.width == geometry.height:
        image = _crop_strip(image)
        size = _scale_short_side(image.size, geometry.width)
    else:
        image = _crop_strip(image)
        size = _scale_to(image.size, target, longest=False)
        interpolation = Image.Resampling.BICUBIC  # open_clip's only one for oblong inputs
    if size != image.size:
        image = image.resize(size, interpolation)
    return np.array(_crop_centre(image, target, fill))  # a copy: Pillow's memory is read-only


def _crop_strip(image: Image.Image) -> Image.Image:
    width, height = image.size
    longest = MAX_ASPECT_RATIO * min(width, height)
    if max(width, height) <= longest:
        return image
    return _crop_centre(image, (min(width, longest), min(height, longest)), fill=0)


def _scale_short_side(size: tuple[int, int], side: int) -> tuple[int, int]:
    width, height = size
    long_side = int(side * max(size) / min(size))
    return (side, long_side) if width <= height else (long_side, side)


def _scale_to(size: tuple[int, int], target: tuple[int, int], *, longest: bool) -> tuple[int, int]:
    ratios = (size[1] / target[1], size[0] / target[0])
    ratio = max(ratios) if longest else min(ratios)
    return max(1, round(size[0] / ratio)), max(1, round(size[1] / ratio))


def _crop_centre(image: Image.Image, target: tuple[int, int], fill: int) -> Image.Image:
    """Crop to the centre with torchvision's rounding, after padding a smaller image."""
    width, height = image.size
    if target[0] > width or target[1] > height:
        padded = Image.new("RGB", (max(width, target[0]), max(height, target[1])), (fill,) * 3)
        offset = (max(0, target[0] - width) // 2, max(0, target[1] - height) // 2)
        padded.paste(image, offset)
        image = padded
    if image.size == target:
        return image
    left = round((image.width - target[0]) / 2.0)
    top = round((image.height - target[1]) / 2.0)
    return image.crop((left, top, left + target[0], top + target[1]))
