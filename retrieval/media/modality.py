"""Recognize by its content whether a file is an image, a recording or a video."""

from __future__ import annotations

from collections import Counter
from typing import BinaryIO

import av.container

from retrieval.errors import DamagedMediaError, UnsupportedMediaError
from retrieval.media.containers.reading import (
    audio_stream,
    open_container,
    read_packets,
    video_streams,
)
from retrieval.media.damage import Damage
from retrieval.media.files import EXTENSIONS
from retrieval.media.images.signatures import is_image
from retrieval.media.names import extension
from retrieval.media.video.animation import is_animation
from retrieval.types import Medium

_NOUNS = {Medium.IMAGE: "an image", Medium.AUDIO: "a recording", Medium.VIDEO: "a video"}


def find_modality(file: BinaryIO, name: str) -> Medium:
    """Recognize the modality of a file by its content.

    Args:
        file: Open and seekable; its position changes.
        name: Name whose extension must not contradict the content.

    Raises:
        DamagedMediaError: The file is empty.
        UnsupportedMediaError: None of the three, or another one than the extension says.
    """
    file.seek(0)
    head = file.read(32)
    if not head:
        raise DamagedMediaError("the file is empty; replace it")
    expected = EXTENSIONS.get(extension(name), tuple(Medium))
    if is_image(head):
        modality = Medium.VIDEO if is_animation(file, head) else Medium.IMAGE
    else:
        modality = _find_in_container(file, named_audio=expected == (Medium.AUDIO,))
    if modality not in expected:
        raise UnsupportedMediaError(
            f"named .{extension(name)}, but its content is {_NOUNS[modality]}; rename it"
        )
    return modality


def container_modality(
    container: av.container.InputContainer, *, named_audio: bool
) -> Medium | None:
    """Return the modality of an open container; None if it has neither video nor audio.

    Args:
        container: At its beginning; its position changes.
        named_audio: Whether the file has the extension of a recording. Then a single frame is its
            cover.
    """
    has_audio = audio_stream(container) is not None
    if video_streams(container) and not (named_audio and has_audio and _has_covers_only(container)):
        return Medium.VIDEO
    return Medium.AUDIO if has_audio else None


def _find_in_container(file: BinaryIO, *, named_audio: bool) -> Medium:
    try:
        with open_container(file) as container:
            modality = container_modality(container, named_audio=named_audio)
            if modality is not None:
                return modality
            reason = "a container without video or audio that can be decoded"
    except UnsupportedMediaError as error:
        reason = str(error.__cause__ and getattr(error.__cause__, "strerror", error.__cause__))
    raise UnsupportedMediaError(
        f"no image, recording or video that can be opened ({reason}); convert it or exclude it"
    )


def _has_covers_only(container: av.container.InputContainer) -> bool:
    """Whether no video stream has more than one frame."""
    frames: Counter[int] = Counter()
    for packet in read_packets(container, list(video_streams(container)), Damage()):
        if packet.size:
            frames[packet.stream_index] += 1
            if frames[packet.stream_index] > 1:
                return False
    return True
