"""Convert what Pillow raises and warns about into this package's errors."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from PIL import Image, UnidentifiedImageError

from retrieval.errors import (
    DamagedMediaError,
    MediaError,
    MediaTooLargeError,
    UnsupportedMediaError,
)
from retrieval.media.images.limits import MAX_PIXELS

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PSD", "AVIF")
"""Formats that Pillow reads; `optional_formats.py` reads the others."""


@contextmanager
def pillow_errors() -> Iterator[None]:
    """Convert exceptions to `MediaError` and suppress Pillow's warnings."""
    with _SUPPRESSION:
        try:
            yield
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise MediaTooLargeError(f"over {MAX_PIXELS:,} pixels; make it smaller") from error
        except MediaError:
            raise
        except UnidentifiedImageError as error:
            raise UnsupportedMediaError(
                f"not a readable image, expected {', '.join(FORMATS)}; convert or replace it"
            ) from error
        except Exception as error:  # decoders raise arbitrary exceptions on bad data
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DamagedMediaError(
                f"image cannot be decoded ({reason[:200]}); replace it"
            ) from error


class _WarningSuppression:
    """Suppresses Pillow's warnings, and makes the one about decompression bombs an error.

    Warning filters belong to the process, and several threads read images: the first thread to
    enter sets the filters, the last one to leave restores the old ones.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._filters = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._threads:
                self._filters.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
            self._threads += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._threads -= 1
            if not self._threads:
                self._filters.close()


_SUPPRESSION = _WarningSuppression()
