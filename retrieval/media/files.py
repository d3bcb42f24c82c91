"""Media files: the extensions by which they are chosen, and how they are opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from retrieval.files.reading import open_regular
from retrieval.media.names import extension, is_tar_name
from retrieval.types import Medium, Scalar

_IMAGE = (Medium.IMAGE,)
_SOUND = (Medium.AUDIO,)
_CONTAINER = (Medium.VIDEO, Medium.AUDIO)  # may hold sound alone
_ANIMATION = (Medium.IMAGE, Medium.VIDEO)

EXTENSIONS: dict[str, tuple[Medium, ...]] = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "bmp"), _IMAGE),
    **dict.fromkeys(("tif", "tiff", "psd", "avif", "heic", "heif", "hif", "jxl"), _IMAGE),
    **dict.fromkeys(("dng", "cr2", "cr3", "nef", "nrw", "arw", "sr2", "orf", "rw2"), _IMAGE),
    **dict.fromkeys(("raf", "pef", "srw", "3fr", "iiq", "erf", "mrw", "x3f"), _IMAGE),
    **dict.fromkeys(("gif", "webp"), _ANIMATION),
    **dict.fromkeys(("wav", "flac", "oga", "opus", "mp3", "m4a", "m4b", "aac"), _SOUND),
    **dict.fromkeys(("aif", "aiff", "aifc", "mka", "wma", "amr", "ac3", "eac3"), _SOUND),
    **dict.fromkeys(("wv", "tta", "au", "snd", "caf", "w64", "rf64", "mp2"), _SOUND),
    **dict.fromkeys(("mp4", "m4v", "mov", "mkv", "webm", "avi", "ogg", "ogv", "3gp"), _CONTAINER),
    **dict.fromkeys(("ts", "mts", "m2ts", "m2t", "mpg", "mpeg", "vob", "3g2"), _CONTAINER),
    **dict.fromkeys(("wmv", "asf", "flv", "f4v", "mxf"), _CONTAINER),
}
"""What a file of each extension may hold; a folder's other files are not looked at."""


def is_media_name(name: str) -> bool:
    """Whether a folder's file of this name is listed."""
    return extension(name) in EXTENSIONS or is_tar_name(name)


@dataclass(frozen=True, slots=True)
class OpenFile:
    """One media file that is open for reading, from the disk or from a tar; `name` as it is there.

    The file is seekable and valid until the next one is asked for.
    """

    uri: str
    name: str
    file: BinaryIO
    bytes: int
    mtime: float
    caption: str | None = None
    columns: dict[str, Scalar] = field(default_factory=dict)


@contextmanager
def opened(file: BinaryIO | str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a path; rewind a file that is already open, and leave it open at the end."""
    # FFmpeg would read the part of a name before a colon as a protocol; Python opens any name.
    if isinstance(file, (str, os.PathLike)):
        with open_regular(file) as stream:
            yield stream
    else:
        file.seek(0)
        yield file
