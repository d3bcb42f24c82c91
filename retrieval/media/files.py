"""The extensions of media files, and open files."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from retrieval.files.reading import open_regular
from retrieval.media.names import extension, is_tar_name
from retrieval.types import Medium, Scalar, Sidecar, TextSource

_IMAGE = (Medium.IMAGE,)
_AUDIO = (Medium.AUDIO,)
_CONTAINER = (Medium.VIDEO, Medium.AUDIO)  # may hold audio only
_ANIMATION = (Medium.IMAGE, Medium.VIDEO)

EXTENSIONS: dict[str, tuple[Medium, ...]] = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "bmp"), _IMAGE),
    **dict.fromkeys(("tif", "tiff", "psd", "avif", "heic", "heif", "hif", "jxl"), _IMAGE),
    **dict.fromkeys(("dng", "cr2", "cr3", "nef", "nrw", "arw", "sr2", "orf", "rw2"), _IMAGE),
    **dict.fromkeys(("raf", "pef", "srw", "3fr", "iiq", "erf", "mrw", "x3f"), _IMAGE),
    **dict.fromkeys(("gif", "webp"), _ANIMATION),
    **dict.fromkeys(("wav", "flac", "oga", "opus", "mp3", "m4a", "m4b", "aac"), _AUDIO),
    **dict.fromkeys(("aif", "aiff", "aifc", "mka", "wma", "amr", "ac3", "eac3"), _AUDIO),
    **dict.fromkeys(("wv", "tta", "au", "snd", "caf", "w64", "rf64", "mp2"), _AUDIO),
    **dict.fromkeys(("mp4", "m4v", "mov", "mkv", "webm", "avi", "ogg", "ogv", "3gp"), _CONTAINER),
    **dict.fromkeys(("ts", "mts", "m2ts", "m2t", "mpg", "mpeg", "vob", "3g2"), _CONTAINER),
    **dict.fromkeys(("wmv", "asf", "flv", "f4v", "mxf"), _CONTAINER),
}
"""Modalities that a file may have, by extension. Listing a folder skips other files."""


def possible_modalities(name: str) -> tuple[Medium, ...]:
    """Return the modalities that a file may have, by its extension; all for an unknown one."""
    return EXTENSIONS.get(extension(name), tuple(Medium))


def is_media_name(name: str) -> bool:
    """Whether a folder listing includes files of this name: media and tars."""
    return extension(name) in EXTENSIONS or is_tar_name(name)


@dataclass(frozen=True, slots=True)
class TranscriptFile:
    """A transcript beside a media file, on the disk or in the same archive.

    Attributes:
        uri: Identifies the file in messages and failures.
        sidecar: Its name and state.
        path: Path on disk; None in an archive.
        content: Content in an archive.
    """

    uri: str
    sidecar: Sidecar
    path: str | None = None
    content: bytes = b""

    def open(self) -> BinaryIO:
        """Open the file for reading.

        Raises:
            OSError: The file is gone, unreadable, or not a regular file.
        """
        return io.BytesIO(self.content) if self.path is None else open_regular(self.path)


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A media file opened for reading, from the disk or from an archive.

    Attributes:
        uri: Identifies the file in the collection.
        name: Path on disk, or name of the archive member.
        file: Seekable. A member is valid until its archive's iterator advances.
        bytes: Size.
        mtime: Modification time, seconds since the epoch.
        caption: Caption from the source.
        columns: Further metadata from the source.
        transcripts: The transcript files beside it.
        rereads: Text sources to read although the content is known.
    """

    uri: str
    name: str
    file: BinaryIO
    bytes: int
    mtime: float
    caption: str | None = None
    columns: dict[str, Scalar] = field(default_factory=dict)
    transcripts: tuple[TranscriptFile, ...] = ()
    rereads: frozenset[TextSource] = frozenset()


@contextmanager
def opened(file: BinaryIO | str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a path, or rewind a file that is open already and leave it open afterwards."""
    # FFmpeg takes the part of a name before a colon for a protocol; Python opens any name.
    if isinstance(file, (str, os.PathLike)):
        with open_regular(file) as stream:
            yield stream
    else:
        file.seek(0)
        yield file
