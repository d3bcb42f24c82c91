"""Converts pictures in memory, PIL images and arrays, to queries."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from retrieval.errors import QueryError, RetrievalError

if TYPE_CHECKING:
    from PIL import Image


def picture_of(value: object) -> Image.Image | None:
    """Convert a value to an upright RGB picture on a white background; None if it is no picture.

    Args:
        value: A PIL image, or an array of uint8: (height, width), (height, width, 3) or
            (height, width, 4).

    Raises:
        QueryError: The array has another shape or type, or the picture cannot be read.
    """
    from PIL import Image

    from retrieval.media.images.reading import upright_rgb

    if isinstance(value, np.ndarray) or _is_tensor(value):
        value = Image.fromarray(_pixels(np.asarray(value)))
    if not isinstance(value, Image.Image):
        return None
    try:
        return upright_rgb(value)
    except RetrievalError as error:
        raise QueryError(f"the picture cannot be a query: {error}") from error


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _pixels(array: np.ndarray) -> np.ndarray:
    shape = array.shape
    if array.dtype == np.uint8 and array.ndim == 3 and shape[2] == 1:
        array = array[:, :, 0]
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise QueryError(
            f"a query array must be a picture of uint8, (height, width, 3), got {array.dtype} "
            f"{shape}; scale floats to 0 … 255, and put the channels last"
        )
    if not array.size:
        raise QueryError(f"an array of shape {shape} contains no pixels")
    return np.ascontiguousarray(array)
