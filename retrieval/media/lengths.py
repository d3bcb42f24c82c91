"""Reads the duration of media files from their headers, without decoding them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

import av

from retrieval.files.reading import open_regular
from retrieval.media.archives.members import open_member
from retrieval.media.containers.reading import audio_stream, open_container, possible_seconds
from retrieval.media.files import EXTENSIONS
from retrieval.media.images.signatures import is_image
from retrieval.media.modality import container_modality
from retrieval.media.names import extension
from retrieval.media.video.animation import estimate_seconds, is_animation
from retrieval.types import Medium


@dataclass(frozen=True, slots=True)
class Length:
    """Modality and duration of a file."""

    modality: Medium
    seconds: float
    has_sound: bool


def read_length(path: str, size: int, member: str | None = None) -> Length | None:
    """Read the duration from the header of a file; None if it cannot be opened.

    Args:
        path: The file, or the archive of the member.
        size: Bytes of the file or member, which limit a declared duration.
        member: Name of the member.
    """
    try:
        if member is not None:
            with open_member(path, member) as content:
                return _length_of(content, member, size)
        with open_regular(path) as content:
            return _length_of(content, path, size)
    except Exception:  # Decoders raise many types for damaged files; `embed` reports the error.
        return None


@dataclass(frozen=True, slots=True)
class LengthTask:
    """Reads the duration of a file in a decoding process; see `retrieval.media.workers.tasks`.

    Attributes:
        name: Name of the file.
        size: Its bytes, which limit a declared duration.
    """

    name: str
    size: int

    def run(self, file: BinaryIO) -> Length | None:
        """Return modality and duration.

        Raises:
            Exception: Any that decoders raise for a damaged file.
        """
        return _length_of(file, self.name, self.size)


def _length_of(content: BinaryIO, name: str, size: int) -> Length | None:
    head = content.read(32)
    if is_animation(content, head):
        return Length(Medium.VIDEO, estimate_seconds(content), has_sound=False)
    if is_image(head):
        return Length(Medium.IMAGE, 0.0, has_sound=False)
    with open_container(content) as container:
        # A declared duration is limited by the size of the file.
        seconds = min((container.duration or 0) / av.time_base, possible_seconds(size))
        sound = audio_stream(container) is not None
        named_audio = EXTENSIONS.get(extension(name)) == (Medium.AUDIO,)
        modality = container_modality(container, named_audio=named_audio)
    return None if modality is None else Length(modality, seconds, sound)
