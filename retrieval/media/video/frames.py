"""Decode the frames of a video in order of time, skipping those that are not needed.

Decoding a frame requires the keyframe that starts its group of pictures. The reader takes the
keyframes' times from the container's index and seeks only if the next wanted frame is in a later
group. It trusts an index as long as every seek ends at a keyframe at or before the wanted time.
After a seek that does not, and without an index (MPEG-TS, MPEG-PS), it reads every frame.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import BinaryIO

import av
import av.container
import av.error
import numpy as np
from PIL import Image

from retrieval.errors import UnsupportedMediaError
from retrieval.media.containers.reading import (
    audio_stream,
    check_end,
    decode_packet,
    video_stream,
)
from retrieval.media.containers.timeline import Timeline
from retrieval.media.damage import Damage
from retrieval.media.images.limits import MAX_PIXELS, check_pixels

SAME_TIME = 1e-4
"""Seconds within which two times are equal: containers round their time stamps."""

ContainerOpener = Callable[[], av.container.InputContainer]
"""Opens the file once more, at its beginning."""

_INDEXED_FORMATS = ("mov", "matroska", "avi")
"""Containers with an index; FFmpeg's index of others holds only what it has read."""

_ROUNDING_SECONDS = 0.25
"""A frame that begins at most this long before the last one has an estimated time stamp."""


class _SeekError(Exception):
    """A seek did not end at a keyframe at or before the wanted time."""


class FrameReader:
    """Decodes frames with their times, seeking ahead to keyframes on request.

    Attributes:
        container: The open file.
        stream: Its video stream.
        timeline: Positions of its streams.
        width: Declared pixels, before rotation.
        height: Declared pixels, before rotation.
        has_sound: Whether there is an audio stream that can be decoded.
        bytes: Size of the file.
        declared_seconds: Duration in the header; None if unknown.
    """

    def __init__(
        self, open_again: ContainerOpener, file: BinaryIO, threads: int, damage: Damage
    ) -> None:
        self._open_again = open_again
        self._file = file
        self._threads = threads
        self._damage = damage
        self._open()
        self.width = int(self._codec.width)
        self.height = int(self._codec.height)
        self.has_sound = audio_stream(self.container) is not None
        self.bytes = int(self.container.size)
        declared = self.container.duration
        self.declared_seconds = None if not declared else declared / av.time_base
        self._keyframes: list[float] | None = None
        self._next_seek: int | None = None  # index of a keyframe
        self._last_seek = -1  # index of a keyframe
        self._now = -np.inf
        self._wanted = 0.0

    def _open(self) -> None:
        self.container = self._open_again()
        stream = video_stream(self.container)
        if stream is None:
            raise UnsupportedMediaError(
                "no video stream that can be decoded in this file; it may be a recording"
            )
        codec = stream.codec_context
        check_pixels(codec.width, codec.height)
        codec.thread_count = self._threads
        codec.thread_type = "AUTO"
        codec.options = {**codec.options, "max_pixels": str(MAX_PIXELS)}
        self.stream = stream
        self._codec = codec
        self.timeline = Timeline(self.container, self._damage)
        self._time_base = float(stream.time_base or 1 / av.time_base)
        # AVI stores only the decoding order; FFmpeg's estimated presentation times can run back.
        self._by_dts = self.container.format.name == "avi"
        rate = stream.average_rate or stream.guessed_rate
        self._default_duration = 1 / float(rate) if rate else 0.04

    @property
    def end_seconds(self) -> float:
        """End of what was read so far, including audio."""
        return self.timeline.end_seconds

    def check_end(self, end_seconds: float) -> None:
        """Raise DamagedMediaError if the file, read to its end, is cut."""
        check_end(
            self.container, self._file, end_seconds, self._damage, last_byte=self.timeline.last_byte
        )

    def to_image(self, frame: av.VideoFrame) -> Image.Image:
        """Convert a frame to RGB and rotate it as its display matrix says."""
        image = Image.fromarray(frame.to_ndarray(format="rgb24"))
        quarter_turns = round(frame.rotation / 90) % 4
        return image.transpose(_ROTATIONS[quarter_turns]) if quarter_turns else image

    def skip_to(self, seconds: float) -> None:
        """Seek before the next frame, if the time is in a later group of pictures."""
        self._wanted = seconds
        if self._keyframes is None:
            self._keyframes = self._read_keyframes()
        if self.timeline.restarts:
            return  # the index has the times of the first clock
        index = bisect_right(self._keyframes, seconds + SAME_TIME) - 1
        # Never seek twice to the same keyframe: it may begin at another time than in the index.
        if index > self._last_seek and self._keyframes[index] > self._now + SAME_TIME:
            self._next_seek = index

    def frames_from(self, seconds: float) -> Iterator[tuple[float, float, av.VideoFrame]]:
        """Yield (start, duration, frame) from the keyframe at or before a time to the end."""
        self.skip_to(seconds)
        while True:
            keyframe = self._seek()
            try:
                for start, duration, frame in self._read(keyframe):
                    self._now = start
                    yield start, duration, frame
                    if self._next_seek is not None:
                        break
                else:
                    return
            except (_SeekError, av.error.FFmpegError):
                if keyframe == -np.inf:
                    raise
                self._keyframes = []
                self._open()

    def _seek(self) -> float:
        """Perform the requested seek and return its keyframe's time; -inf without a seek."""
        if self._next_seek is None or not self._keyframes:
            return -np.inf
        keyframe = self._keyframes[self._next_seek]
        self._last_seek, self._next_seek = self._next_seek, None
        offset = round((keyframe + self.timeline.origin_seconds) / self._time_base)
        try:
            self.container.seek(offset, stream=self.stream)
        except av.error.FFmpegError:
            self._keyframes = []
            self._open()
            return -np.inf
        self.timeline.after_seek()
        return keyframe

    def _read(self, keyframe: float) -> Iterator[tuple[float, float, av.VideoFrame]]:
        """Yield (start, duration, frame) in order of time from the container's position."""
        clock = keyframe if np.isfinite(keyframe) else 0.0
        delay: float | None = None  # of the decoder, in decoding times
        latest = -np.inf  # start of the latest frame yielded
        overlapping = 0
        # A seek is trusted once it returned a keyframe that is not too late.
        target = self._wanted + SAME_TIME if np.isfinite(keyframe) else None
        for frame in self._decoded(target):
            start = self._start_of(frame, clock)
            if self._by_dts:
                delay = start - clock if delay is None else delay
                start = start - delay if frame.dts is not None else clock
            if target is not None and (not frame.key_frame or start > target):
                raise _SeekError
            target = None
            duration = float(frame.duration or 0) * self._time_base or self._default_duration
            clock = start + duration
            if start < latest - _ROUNDING_SECONDS:
                overlapping += 1
                continue
            start = latest = max(start, latest)
            yield start, duration, frame
        if target is not None:  # a seek beyond the last frame
            raise _SeekError
        if overlapping:
            self._damage.note(f"{overlapping} frames begin before an earlier one; left out")

    def _decoded(self, target: float | None) -> Iterator[av.VideoFrame]:
        """Decode packets; the first one must be a keyframe at or before the target, if any."""
        latest_needed = -np.inf  # start of the latest frame shown no later than the wanted time
        for packet in self.timeline.packets(self.stream):
            if target is not None and packet.size:
                stamp = packet.dts if self._by_dts or packet.pts is None else packet.pts
                if not packet.is_keyframe or stamp is None or self._to_seconds(stamp) > target:
                    raise _SeekError
                target = None
            if packet.pts is not None and not self._by_dts:
                start = self._to_seconds(packet.pts)
                # A frame that is replaced before the wanted time is decoded only as a reference for
                # others. The frame that replaces it comes earlier in decoding order.
                self._codec.skip_frame = "NONREF" if start < latest_needed else "DEFAULT"
                if latest_needed < start <= self._wanted + SAME_TIME:
                    latest_needed = start
            yield from decode_packet(packet, self._damage)

    def _to_seconds(self, stamp: int) -> float:
        return stamp * self._time_base - self.timeline.origin_seconds

    def _start_of(self, frame: av.VideoFrame, clock: float) -> float:
        """Return a frame's time stamp, or the end of the frame before if it has none."""
        stamp = frame.dts if self._by_dts else frame.pts
        return clock if stamp is None else self._to_seconds(stamp)

    def _read_keyframes(self) -> list[float]:
        """Return the keyframes' times from the container's index; empty without an index.

        Some indexes hold decoding times. The first keyframe gives their offset to the presentation
        times.
        """
        if self.container.format.name.split(",")[0] not in _INDEXED_FORMATS:
            return []
        try:
            self.container.seek(0)  # Matroska reads its index at the first seek
            keys = [entry.timestamp for entry in self.stream.index_entries if entry.is_keyframe]
            if len(keys) < 2:
                self._open()
                return []
            stamps = (packet.pts for packet in self.container.demux(self.stream))
            first = next(stamp for stamp in stamps if stamp is not None)
            self.container.seek(0)
        except (av.error.FFmpegError, StopIteration):
            self._open()
            return []
        offset = 0 if self._by_dts else first - keys[0]
        return sorted(self._to_seconds(key + offset) for key in keys)


_ROTATIONS = {
    1: Image.Transpose.ROTATE_90,
    2: Image.Transpose.ROTATE_180,
    3: Image.Transpose.ROTATE_270,
}
"""By counterclockwise quarter turns."""
