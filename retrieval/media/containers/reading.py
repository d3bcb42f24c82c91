"""Containers of sound and video by FFmpeg: opened within limits, read past damaged packets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import av
import av.container
import av.error

from retrieval.errors import DamagedMediaError, UnsupportedMediaError
from retrieval.media.containers.declared_size import (
    goes_on,
    next_matroska,
    ogg_has_end,
    promised_bytes,
)
from retrieval.media.damage import Damage
from retrieval.media.files import opened

# docs/media.md says of each demuxer why it is safe. None reads a playlist, a script or an address.
DEMUXERS = (
    *("mov", "matroska", "webm", "avi", "mpegts", "mpeg", "flv", "asf", "mxf", "ogg"),
    *("wav", "w64", "aiff", "au", "caf", "flac", "mp3", "aac", "ac3", "eac3", "amr", "wv", "tta"),
)

# A file can only ever show itself.
_LIMITS = {"protocol_whitelist": "file", "format_whitelist": ",".join(DEMUXERS)}

# WAV and W64 would else come in hundreds of small packets a second.
_OPTIONS = {**_LIMITS, "max_size": str(1 << 16)}

_STATES_ITS_LENGTH = frozenset(
    (
        *("mov", "matroska", "webm", "avi", "flv", "asf", "mxf"),
        *("wav", "w64", "aiff", "au", "caf", "flac", "wv", "tta"),
    )
)
"""Demuxers whose files say how long they are. FFmpeg guesses the others' length from bit rates."""

_LENGTH_BY_BYTES = frozenset(("avi", "wav", "w64", "aiff", "au", "caf"))
"""Demuxers that trim the length of a file that is cut to what it still holds."""

_READ_ON = frozenset(("wav", "mp3", "mxf"))
"""Demuxers that read what follows the end that the header declares, or whose header says less."""

_REST_BYTES = 4096

_BUFFER_BYTES = 1 << 16
_MAX_FAILURES_IN_A_ROW = 100

_MISSING_SHARE = 0.01
PADDING_SECONDS = 0.25
"""Encoders pad and round: streams that end within so much of each other end together."""

_REPEATED_SECONDS = 60.0
_BYTES_PER_SECOND = 32.0
"""Far below any codec's rate: what a file of so many bytes may last without new content."""


@contextmanager
def open_container(
    file: BinaryIO | str | os.PathLike[str],
) -> Iterator[av.container.InputContainer]:
    """Open a container of sound or video; other files that it names are never opened.

    Args:
        file: An open, seekable file, or a path.

    Raises:
        UnsupportedMediaError: No known container, or one without its index (`moov`).
    """
    with opened(file) as stream:
        # A WAV is read to the end of the file if its header says too little.
        options = _OPTIONS | {"ignore_length": str(int(goes_on(stream, _size(stream))))}
        stream.seek(0)
        try:
            container = av.open(
                stream,
                mode="r",
                options=options,
                metadata_errors="replace",
                buffer_size=_BUFFER_BYTES,
                io_open=_refuse,
            )
        except (av.error.FFmpegError, ValueError, OverflowError, AttributeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UnsupportedMediaError(
                f"no recording or video that can be opened ({reason}); "
                "convert it, as to MP4, FLAC or OGG"
            ) from error
        with container:
            yield container


def _size(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)


def _refuse(url: str, flags: int, options: dict[str, str]) -> Any:
    raise PermissionError(f"{url}: media files may not open other files")


# ---------------------------------------------------------------- streams and packets


def video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """Give the first moving picture; the cover of a recording is none."""
    return next(iter(moving_pictures(container)), None)


def moving_pictures(container: av.container.InputContainer) -> list[av.VideoStream]:
    """Give the streams of pictures, without the covers that the container marks as such."""
    return [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic
        and stream.codec_context is not None
    ]


def audio_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """Give the first stream of sound whose codec is known."""
    streams = (one for one in container.streams.audio if one.codec_context is not None)
    return next(streams, None)


def origin_seconds(container: av.container.InputContainer) -> float:
    """Give the time stamp that players show as 0:00; sound and picture share it."""
    start = container.start_time
    return 0.0 if start is None else start / av.time_base


def read_packets(
    container: av.container.InputContainer, streams: list[Any], damage: Damage
) -> Iterator[av.Packet[Any]]:
    """Read streams' packets from the current position; one that cannot be read is counted."""
    failures = 0
    while failures < _MAX_FAILURES_IN_A_ROW:
        try:
            for packet in container.demux(streams):
                failures = 0
                yield packet
            return
        except (av.error.FFmpegError, ValueError):
            damage.add_packet()
            failures += 1


def decode_packet(packet: av.Packet[Any], damage: Damage) -> list[Any]:
    """Decode one packet; a broken one gives no frames and is counted, the next ones still come."""
    try:
        frames = list(packet.decode())
    except (av.error.FFmpegError, ValueError):
        damage.add_packet()
        return []
    if packet.size:
        damage.at_end = bool(packet.is_corrupt)
    return frames


# ---------------------------------------------------------------- lengths


def possible_seconds(file_bytes: int) -> float:
    """How long a file of so many bytes can last at most; beyond it, its time stamps are absurd."""
    return _REPEATED_SECONDS + file_bytes / _BYTES_PER_SECOND


def check_end(
    container: av.container.InputContainer,
    file: BinaryIO,
    read_seconds: float,
    damage: Damage,
    *,
    last_byte: int,
) -> None:
    """Compare what was read of a file with what its header declares.

    A file that lacks bytes is cut, and refused. One that has all its bytes and still is shorter
    than declared has a wrong header, which is noted.

    Args:
        container: Read to its end.
        file: What it was opened on.
        read_seconds: End of the last sound or picture.
        damage: Gets the note.
        last_byte: Where in the file the last packet ends.

    Raises:
        DamagedMediaError: The file is cut.
    """
    name = container.format.name.split(",")[0]
    size = _size(file)
    promised = promised_bytes(file, size)
    declared = (container.duration or 0) / av.time_base
    missing = (promised or 0) > size
    if missing and promised and name in _LENGTH_BY_BYTES:
        declared = max(declared, read_seconds * promised / size)
    if name == "ogg" and not ogg_has_end(file, size):
        damage.note("the last page bears no end mark or is not whole; the file may be cut")
    ends = next_matroska(file, last_byte) if name == "matroska" else promised
    if ends is not None and name not in _READ_ON and size - ends > _REST_BYTES:
        damage.note(f"{size - ends:,} bytes follow the end of the recording or video; left out")
    if declared - read_seconds <= max(_MISSING_SHARE * declared, PADDING_SECONDS):
        return
    if missing or (name in _STATES_ITS_LENGTH and damage.at_end):
        raise DamagedMediaError(
            f"ends early or is damaged: {read_seconds:.1f} of {declared:.1f} seconds can be read; "
            "replace the file"
        )
    if name in _STATES_ITS_LENGTH:
        damage.note(f"the header declares {declared:.1f} s, the file holds {read_seconds:.1f} s")
