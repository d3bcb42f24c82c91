"""Open containers of audio and video safely, and read past damaged packets."""

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
    declared_bytes,
    find_next_matroska,
    ogg_is_complete,
    wav_continues,
)
from retrieval.media.damage import Damage
from retrieval.media.files import opened

# docs/media.md explains why each demuxer is safe: none reads a playlist, a script or an address.
DEMUXERS = (
    *("mov", "matroska", "webm", "avi", "mpegts", "mpeg", "flv", "asf", "mxf", "ogg"),
    *("wav", "w64", "aiff", "au", "caf", "flac", "mp3", "aac", "ac3", "eac3", "amr", "wv", "tta"),
)

# FFmpeg may read only the given file.
_LIMITS = {"protocol_whitelist": "file", "format_whitelist": ",".join(DEMUXERS)}

# Without it, WAV and W64 are read in hundreds of small packets a second.
_OPTIONS = {**_LIMITS, "max_size": str(1 << 16)}

_WITH_DURATION = frozenset(
    (
        *("mov", "matroska", "webm", "avi", "flv", "asf", "mxf"),
        *("wav", "w64", "aiff", "au", "caf", "flac", "wv", "tta"),
    )
)
"""Demuxers whose files declare a duration. FFmpeg estimates the others' from bit rates."""

_DURATION_BY_BYTES = frozenset(("avi", "wav", "w64", "aiff", "au", "caf"))
"""Demuxers that report the duration of the remaining bytes of a cut file."""

_READ_BEYOND_END = frozenset(("wav", "mp3", "mxf"))
"""Demuxers that read beyond the declared end, or whose header declares less than the file."""

_MAX_TRAILING_BYTES = 4096

_BUFFER_BYTES = 1 << 16
_MAX_FAILURES_IN_A_ROW = 100

_MAX_MISSING_SHARE = 0.01
PADDING_SECONDS = 0.25
"""Streams that end within this time of each other end together: encoders pad and round."""

_MIN_POSSIBLE_SECONDS = 60.0
_MIN_BYTES_PER_SECOND = 32.0
"""Far below the rate of any codec; bounds the duration of a file by its size."""


@contextmanager
def open_container(
    file: BinaryIO | str | os.PathLike[str], *, metadata_errors: str = "replace"
) -> Iterator[av.container.InputContainer]:
    """Open a container of audio or video without opening other files that it refers to.

    Args:
        file: An open, seekable file, or a path.
        metadata_errors: How metadata that is not UTF-8 is decoded.

    Raises:
        UnsupportedMediaError: No known container, or one without its index (`moov`).
    """
    with opened(file) as stream:
        # Read a WAV to the end of the file if its header declares too little.
        options = _OPTIONS | {"ignore_length": str(int(wav_continues(stream)))}
        stream.seek(0)
        try:
            container = av.open(
                stream,
                mode="r",
                options=options,
                metadata_errors=metadata_errors,
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
    """Return the first video stream that is not the cover of a recording."""
    return next(iter(video_streams(container)), None)


def video_streams(container: av.container.InputContainer) -> list[av.VideoStream]:
    """Return the video streams that can be decoded, without those marked as covers."""
    return [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic
        and stream.codec_context is not None
    ]


def audio_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """Return the first audio stream with a known codec."""
    streams = container.streams.audio
    return next((each for each in streams if each.codec_context is not None), None)


def origin_seconds(container: av.container.InputContainer) -> float:
    """Return the time stamp that players show as 0:00; audio and video share it."""
    start = container.start_time
    return 0.0 if start is None else start / av.time_base


def read_packets(
    container: av.container.InputContainer, streams: list[Any], damage: Damage
) -> Iterator[av.Packet[Any]]:
    """Yield the packets of streams from the current position, counting unreadable ones."""
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
    """Decode one packet; a broken one is counted and yields no frames."""
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
    """Return the maximum duration of a file of this size; longer time stamps are implausible."""
    return _MIN_POSSIBLE_SECONDS + file_bytes / _MIN_BYTES_PER_SECOND


def check_end(
    container: av.container.InputContainer,
    file: BinaryIO,
    read_seconds: float,
    damage: Damage,
    *,
    last_byte: int,
) -> None:
    """Compare the duration that was read with the declared one.

    A file that lacks bytes is refused as cut. One that is complete but shorter than declared has a
    wrong header, which is noted.

    Args:
        container: Read to its end.
        file: The container's file.
        read_seconds: End of the last sample or frame.
        damage: Receives the note.
        last_byte: Position in the file of the last packet's end.

    Raises:
        DamagedMediaError: The file is cut.
    """
    name = container.format.name.split(",")[0]
    size = _size(file)
    declared_end = declared_bytes(file, size)
    declared = (container.duration or 0) / av.time_base
    is_cut = (declared_end or 0) > size
    if is_cut and declared_end and name in _DURATION_BY_BYTES:
        declared = max(declared, read_seconds * declared_end / size)
    if name == "ogg" and not ogg_is_complete(file, size):
        damage.note("the last page is incomplete or has no end mark; the file may be cut")
    end = find_next_matroska(file, last_byte) if name == "matroska" else declared_end
    if end is not None and name not in _READ_BEYOND_END and size - end > _MAX_TRAILING_BYTES:
        damage.note(f"{size - end:,} bytes follow the end of the recording or video; left out")
    if declared - read_seconds <= max(_MAX_MISSING_SHARE * declared, PADDING_SECONDS):
        return
    if is_cut or (name in _WITH_DURATION and damage.at_end):
        raise DamagedMediaError(
            f"ends early or is damaged: {read_seconds:.1f} of {declared:.1f} seconds can be read; "
            "replace the file"
        )
    if name in _WITH_DURATION:
        damage.note(f"the header declares {declared:.1f} s, the file holds {read_seconds:.1f} s")
