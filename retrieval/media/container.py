"""Containers of sound and video by FFmpeg: opened within limits, read past damaged packets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import av
import av.container
import av.error

from retrieval.errors import UnsupportedMediaError
from retrieval.regular_files import open_regular

# No playlist, script or address: a file can only ever show itself.
_LIMITS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,matroska,webm,avi,mp3,wav,flac,ogg,mpegts,mpeg,aac",
}

_BUFFER_BYTES = 1 << 16
_MAX_FAILURES_IN_A_ROW = 100


@dataclass(slots=True)
class Damage:
    """Counts the packets of a file that had to be skipped."""

    packets: int = 0


@contextmanager
def open_container(file: BinaryIO | str) -> Iterator[av.container.InputContainer]:
    """Open a container of sound or video; other files that it names are never opened.

    Args:
        file: An open, seekable file, or a path.

    Raises:
        UnsupportedMediaError: No known container, or one without its index (`moov`).
    """
    # FFmpeg would read the part of a name before a colon as a protocol; Python opens any name.
    with _opened(file) as stream:
        try:
            container = av.open(
                stream,
                mode="r",
                options=dict(_LIMITS),
                metadata_errors="replace",
                buffer_size=_BUFFER_BYTES,
                io_open=_refuse,
            )
        except av.error.FFmpegError as error:
            raise UnsupportedMediaError(
                f"no recording or video that can be opened ({error.strerror}); "
                "convert it, as to MP4, FLAC or OGG"
            ) from error
        with container:
            yield container


@contextmanager
def _opened(file: BinaryIO | str) -> Iterator[BinaryIO]:
    if isinstance(file, (str, os.PathLike)):
        with open_regular(file) as stream:
            yield stream
    else:
        file.seek(0)
        yield file


def _refuse(url: str, flags: int, options: dict[str, str]) -> Any:
    raise PermissionError(f"{url}: media files may not open other files")


def video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """Give the first moving picture; the cover of a recording is none."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    return None


def audio_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """Give the first stream of sound."""
    return next(iter(container.streams.audio), None)


def origin_seconds(container: av.container.InputContainer) -> float:
    """Give the time stamp that players show as 0:00; sound and picture share it."""
    start = container.start_time
    return 0.0 if start is None else start / av.time_base


def read_packets(
    container: av.container.InputContainer, stream: av.stream.Stream, damage: Damage
) -> Iterator[av.Packet[Any]]:
    """Read a stream's packets from the current position; one that cannot be read is counted."""
    failures = 0
    while failures < _MAX_FAILURES_IN_A_ROW:
        try:
            for packet in container.demux(stream):
                failures = 0
                yield packet
            return
        except av.error.FFmpegError:
            damage.packets += 1
            failures += 1


def decode_packet(packet: av.Packet[Any], damage: Damage) -> list[Any]:
    """Decode one packet; a broken one gives no frames and is counted, the next ones still come."""
    try:
        return list(packet.decode())
    except av.error.FFmpegError:
        damage.packets += 1
        return []
