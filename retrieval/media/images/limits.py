"""Limits on the size of images, checked before decoding."""

from __future__ import annotations

from retrieval.errors import MediaTooLargeError

MAX_PIXELS = 64_000_000
"""Pixels of an image, or of a video frame."""

MAX_JPEG_PIXELS = 256_000_000
"""Pixels of a JPEG, which is decoded at 1/2, 1/4 or 1/8 of its size."""

MAX_RAW_PIXELS = 256_000_000
"""Pixels of a raw photograph, which is read from its preview or at half its size."""

MAX_ANIMATION_FRAMES = 2_000


def check_pixels(width: int, height: int, limit: int | None = None) -> None:
    """Check the number of pixels against a limit, by default `MAX_PIXELS`.

    Raises:
        MediaTooLargeError: There are more.
    """
    limit = MAX_PIXELS if limit is None else limit
    if width * height > limit:
        raise MediaTooLargeError(
            f"{width} × {height} pixels, at most {limit:,} are read; make it smaller"
        )
