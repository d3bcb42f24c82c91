"""What a file is, by its content: a picture, a recording or a video."""

from __future__ import annotations

from collections import Counter
from typing import BinaryIO

import av.container

from retrieval.errors import DamagedMediaError, UnsupportedMediaError
from retrieval.media.containers.reading import (
    audio_stream,
    moving_pictures,
    open_container,
    read_packets,
)
from retrieval.media.damage import Damage
from retrieval.media.files import EXTENSIONS
from retrieval.media.images.signatures import is_picture
from retrieval.media.names import extension
from retrieval.media.video.animation import is_animation
from retrieval.types import Medium

_NOUNS = {Medium.IMAGE: "a picture", Medium.AUDIO: "a recording", Medium.VIDEO: "a video"}


def find_modality(file: BinaryIO, name: str) -> Medium:
    """Tell by its content whether a file is a picture, a recording or a video.

    Args:
        file: Open and seekable; its position is lost.
        name: Its extension must not name another modality.

    Raises:
        DamagedMediaError: The file is empty.
        UnsupportedMediaError: None of the three, or another than its extension says.
    """
    file.seek(0)
    head = file.read(32)
    if not head:
        raise DamagedMediaError("the file is empty; replace it")
    expected = EXTENSIONS.get(extension(name), tuple(Medium))
    if is_picture(head):
        modality = Medium.VIDEO if is_animation(file, head) else Medium.IMAGE
    else:
        modality = _by_container(file, head, named_sound=expected == (Medium.AUDIO,))
    if modality not in expected:
        raise UnsupportedMediaError(
            f"named .{extension(name)}, but its content is {_NOUNS[modality]}; rename it"
        )
    return modality


def container_modality(
    container: av.container.InputContainer, *, named_sound: bool
) -> Medium | None:
    """Tell what an open container holds; None for neither pictures nor sound.

    Args:
        container: At its beginning; it is read on where that is needed.
        named_sound: Whether the file's name is one of a recording. Then a single picture is its
            cover.
    """
    sound = audio_stream(container) is not None
    if moving_pictures(container) and not (named_sound and sound and _are_covers(container)):
        return Medium.VIDEO
    return Medium.AUDIO if sound else None


def _by_container(file: BinaryIO, head: bytes, *, named_sound: bool) -> Medium:
    try:
        with open_container(file) as container:
            modality = container_modality(container, named_sound=named_sound)
            if modality is not None:
                return modality
            reason = "a container without picture and sound that can be decoded"
    except UnsupportedMediaError as error:
        reason = str(error.__cause__ and getattr(error.__cause__, "strerror", error.__cause__))
    raise UnsupportedMediaError(
        f"no picture, recording or video that can be opened ({reason}); convert it or leave it out"
    )


def _are_covers(container: av.container.InputContainer) -> bool:
    """Whether each stream of pictures has one picture only."""
    streams = moving_pictures(container)
    pictures: Counter[int] = Counter()
    for packet in read_packets(container, list(streams), Damage()):
        if packet.size:
            pictures[packet.stream_index] += 1
            if pictures[packet.stream_index] > 1:
                return False
    return True
