"""Cut a span of a video or recording by copying its streams, without any loss.

A copied video can begin only at a keyframe, so it usually begins before the span.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av
import av.container
import av.error

from retrieval.errors import DamagedMediaError, MediaError, UnsupportedMediaError
from retrieval.media.containers.reading import audio_stream, open_container, video_stream
from retrieval.media.containers.timeline import Timeline
from retrieval.media.damage import Damage
from retrieval.media.names import extension
from retrieval.timelines.clips.cutting import Cut, Report
from retrieval.timelines.clips.span import tolerance
from retrieval.timelines.clips.writer import open_output
from retrieval.timelines.source_files import open_source

CONTAINERS = {
    **dict.fromkeys(("mp4", "m4v", "f4v"), ("mp4", "mp4")),
    **dict.fromkeys(("m4a", "m4b"), ("m4a", "mp4")),
    "mov": ("mov", "mov"),
    "mp3": ("mp3", "mp3"),
    "flac": ("flac", "flac"),
    "wav": ("wav", "wav"),
}
"""Suffix and FFmpeg's muxer of a copy, by the extension of the source."""

_MATROSKA = ("mkv", "matroska")
_INDEXED_FORMATS = ("mov", "matroska", "avi")


def copy_container(name: str, *, is_recording: bool) -> tuple[str, str]:
    """Return suffix and muxer of the copy of a file; Matroska, which holds any codec, otherwise."""
    fallback = ("mka", "matroska") if is_recording else _MATROSKA
    return CONTAINERS.get(extension(name), fallback)


@dataclass(slots=True)
class _Limits:
    """What is copied: packets from `start_seconds` on, until `end_seconds`."""

    start_seconds: float
    end_seconds: float


def copy_span(uri: str, span: tuple[float, float], out: str, muxer: str, report: Report) -> Cut:
    """Copy the packets of a span, from the keyframe at or before its start.

    Args:
        uri: A video or recording.
        span: Start and end in seconds.
        out: Path of the file to write; it exists.
        muxer: FFmpeg's name of the container.
        report: Receives the progress.

    Raises:
        MediaError: The file cannot be opened, or its streams cannot be copied into the container.
    """
    with ExitStack() as stack:
        source = stack.enter_context(open_source(uri))
        if source.read(4) in (b"GIF8", b"RIFF") and extension(uri) in ("gif", "webp"):
            raise UnsupportedMediaError("an animation has no streams to copy; encode it")
        first = _first_seconds(source, span[0])
        container = stack.enter_context(open_container(source))
        file: BinaryIO = stack.enter_context(open(out, "r+b"))
        output = stack.enter_context(open_output(file, muxer))
        try:
            cut = _copy(container, output, _Limits(first, span[1]), report)
        except MediaError:
            raise
        except (av.error.FFmpegError, ValueError) as error:
            raise UnsupportedMediaError(
                f"its streams cannot be copied into .{os.path.splitext(out)[1][1:] or muxer} "
                f"({error}); encode the clip instead"
            ) from error
    return cut


def _first_seconds(file: BinaryIO, start_seconds: float) -> float:
    """Return the time of the last keyframe at or before a time, or of the first one."""
    with open_container(file) as container:
        stream = video_stream(container)
        if stream is None:
            return _packet_seconds(container, start_seconds)
        keyframe = None
        for seconds in _keyframes(container, stream, start_seconds):
            if keyframe is not None and seconds > start_seconds + tolerance(start_seconds):
                break
            keyframe = seconds
    if keyframe is None:
        raise DamagedMediaError("the video has no keyframe; encode the clip instead")
    return keyframe


def _packet_seconds(container: av.container.InputContainer, start_seconds: float) -> float:
    """Return the start of the packet of a recording that contains a time."""
    timeline = Timeline(container, Damage())
    packets: Iterator[Any] = timeline.all_packets()
    for packet in packets:
        if packet.pts is not None and packet.size:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            if end - timeline.origin_seconds > start_seconds + tolerance(start_seconds):
                return float(packet.pts * packet.time_base) - timeline.origin_seconds
    raise DamagedMediaError("no packet of this span can be read; check the file")


def _keyframes(
    container: av.container.InputContainer, stream: Any, start_seconds: float
) -> Iterator[float]:
    """Yield the times of keyframes: from one before a time on, or all without an index."""
    timeline = Timeline(container, Damage())
    origin = timeline.origin_seconds
    target = start_seconds + tolerance(start_seconds)
    if container.format.name.split(",")[0] in _INDEXED_FORMATS:
        try:
            container.seek(round((target + origin) / stream.time_base), stream=stream)
            packet = next(packet for packet in container.demux(stream) if packet.size)
            seconds = None if packet.pts is None else float(packet.pts * packet.time_base) - origin
            if packet.is_keyframe and seconds is not None and seconds <= target:
                yield seconds
                yield float("inf")
                return
        except (av.error.FFmpegError, StopIteration):
            pass
        container.seek(0)
    for packet in timeline.packets(stream):
        if packet.is_keyframe and packet.pts is not None:
            yield float(packet.pts * packet.time_base) - origin


class _StreamCopy:
    """Selects the packets of one stream and gives them time stamps from the copy's start."""

    def __init__(self, target: Any, unit: Fraction, origin: float, limits: _Limits) -> None:
        self._target = target
        self._shift = round((limits.start_seconds + origin) / float(unit))
        start, end = limits.start_seconds, limits.end_seconds
        self._first = (start - tolerance(start) + origin) / float(unit)
        self._end = math.inf if math.isinf(end) else (end - tolerance(end) + origin) / float(unit)
        self._undated: list[Any] = []  # packets before the first one with a decoding time
        self._late: list[Any] = []  # packets after the end, which earlier ones may depend on
        self._last_dts: int | None = None
        self.is_done = False
        self.first: int | None = None  # earliest and latest presentation times
        self.last = 0

    def add(self, packet: Any) -> list[Any]:
        """Take the next packet in decoding order; return those that can be written."""
        if packet.pts is None:
            packet.pts = packet.dts
        if packet.pts is None or packet.pts < self._first:
            return []  # it depends on what comes before the keyframe
        if packet.dts is not None and packet.dts >= self._end:
            self.is_done = True
            return self.finish()
        if packet.pts >= self._end:
            self._late.append(packet)
            return []
        packets, self._late = [*self._undated, *self._late, packet], []
        if packet.dts is None:
            self._undated = packets
            return []
        self._undated = []
        return self._dated(packets, packet.dts)

    def finish(self) -> list[Any]:
        """Return the packets that still wait for a decoding time."""
        packets, self._undated = self._undated, []
        return self._dated(packets, min((p.pts for p in packets), default=0))

    def _dated(self, packets: list[Any], last_dts: int) -> list[Any]:
        for position, packet in enumerate(packets):
            if packet.dts is None:
                packet.dts = last_dts - (len(packets) - 1 - position) * max(1, packet.duration or 1)
            self.first = packet.pts if self.first is None else min(self.first, packet.pts)
            self.last = max(self.last, packet.pts + (packet.duration or 0))
            dts = packet.dts - self._shift
            if self._last_dts is not None:
                dts = max(dts, self._last_dts + 1)
            self._last_dts = dts
            packet.pts, packet.dts = max(packet.pts - self._shift, dts), dts
            packet.stream = self._target
        return packets


def _copy(
    container: av.container.InputContainer,
    output: av.container.OutputContainer,
    limits: _Limits,
    report: Report,
) -> Cut:
    video: Any = video_stream(container)
    audio: Any = audio_stream(container)
    timeline = Timeline(container, Damage())
    origin = timeline.origin_seconds
    copies: dict[int, _StreamCopy] = {}
    for stream in (video, audio):
        if stream is not None:
            # The stream is copied as it is; there may be no encoder of its codec.
            target = output.add_stream_from_template(stream, opaque=True)
            copies[stream.index] = _StreamCopy(target, stream.time_base, origin, limits)
    _seek(container, video, limits.start_seconds + origin)
    packets: Iterator[Any] = timeline.all_packets()
    for packet in packets:
        copy = copies[packet.stream_index]
        if packet.size and not copy.is_done:
            output.mux(copy.add(packet))
            report(max(0.0, copy.last * float(packet.time_base) - origin - limits.start_seconds))
        if all(copy.is_done for copy in copies.values()):
            break
    for copy in copies.values():
        output.mux(copy.finish())
    leading = video or audio
    if leading is None or copies[leading.index].first is None:
        raise DamagedMediaError("no packet of this span can be read; check the file")
    first, last = copies[leading.index].first, copies[leading.index].last
    unit = float(leading.time_base)
    return Cut((first or 0) * unit - origin, last * unit - origin)


def _seek(container: av.container.InputContainer, video: Any, seconds: float) -> None:
    """Seek to a keyframe where the container has an index."""
    if video is None or container.format.name.split(",")[0] not in _INDEXED_FORMATS:
        return
    try:
        container.seek(round(seconds / float(Fraction(video.time_base))), stream=video)
    except av.error.FFmpegError:
        container.seek(0)
