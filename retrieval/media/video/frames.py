"""The frames of a video in order of time, decoding no more of them than are needed.

A frame can be decoded only after the keyframe that opens its group of pictures. The reader knows
the keyframes' times from the container's index and jumps only where the next picture wanted lies
in a later group than the one at hand; inside a group it reads on. An index is trusted as long as
every jump ends at a keyframe at or before the time wanted; after one that does not, and where there
is no index (MPEG-TS, MPEG-PS), every frame is read from the start to the end.
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

from retrieval.errors import MediaTooLargeError, UnsupportedMediaError
from retrieval.media.containers.reading import audio_stream, check_end, decode_packet, video_stream
from retrieval.media.containers.timeline import Timeline
from retrieval.media.damage import Damage
from retrieval.media.images.signatures import MAX_PIXELS

SAME_TIME = 1e-4
"""Seconds; time stamps of containers are rounded, at worst to a millisecond's tenth in practice."""

OpenAgain = Callable[[], av.container.InputContainer]
"""Opens the file once more, at its beginning."""

_INDEXED = ("mov", "matroska", "avi")
"""Containers with an index of their own; FFmpeg's index of others holds what it has seen."""

_ROUNDING_SECONDS = 0.25
"""A frame that begins so little before the one shown earlier has a stamp that was guessed."""


class _AstrayError(Exception):
    """A jump did not end at a keyframe at or before the time wanted."""


class Frames:
    """Walks over decoded frames with their times, jumping ahead by keyframes when told to.

    Attributes:
        container: The file, as it is open now.
        stream: Its pictures.
        timeline: Where its streams are.
        width: Pixels as declared, before rotation.
        height: Likewise.
        has_sound: Whether there is a stream of sound that can be decoded.
        bytes: Size of the file.
        declared_seconds: Length as the header says; None where unknown.
    """

    def __init__(self, open_again: OpenAgain, file: BinaryIO, threads: int, damage: Damage) -> None:
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
        self._keys: list[float] | None = None
        self._jump_to: int | None = None  # number of a keyframe
        self._jumped = -1  # number of the last one
        self._now = -np.inf
        self._wanted = 0.0

    def _open(self) -> None:
        self.container = self._open_again()
        stream = video_stream(self.container)
        if stream is None:
            raise UnsupportedMediaError(
                "no moving picture that can be decoded in this file; it may be a recording"
            )
        codec = stream.codec_context
        if codec.width * codec.height > MAX_PIXELS:
            raise MediaTooLargeError(
                f"frames of {codec.width} × {codec.height} pixels, at most {MAX_PIXELS:,} are "
                "read; make it smaller"
            )
        codec.thread_count = self._threads
        codec.thread_type = "AUTO"
        codec.options = {**codec.options, "max_pixels": str(MAX_PIXELS)}
        self.stream = stream
        self._codec = codec
        self.timeline = Timeline(self.container, self._damage)
        self._time_base = float(stream.time_base or 1 / av.time_base)
        # AVI stores the order of decoding only; what FFmpeg guesses of showing can run backwards.
        self._by_dts = self.container.format.name == "avi"
        rate = stream.average_rate or stream.guessed_rate
        self._usual_length = 1 / float(rate) if rate else 0.04

    @property
    def end_seconds(self) -> float:
        """End of whatever was read so far, sound included."""
        return self.timeline.end_seconds

    def check_end(self, end_seconds: float) -> None:
        """Raise DamagedMediaError if the file is cut, now that it is read to its end."""
        check_end(
            self.container, self._file, end_seconds, self._damage, last_byte=self.timeline.last_byte
        )

    def picture(self, frame: av.VideoFrame) -> Image.Image:
        """Convert a frame to RGB and turn it as its display matrix says."""
        return _picture(frame)

    def skip_to(self, seconds: float) -> None:
        """Jump before the next frame, if the time lies in a later group of pictures."""
        self._wanted = seconds
        if self._keys is None:
            self._keys = self._read_keyframes()
        if self.timeline.restarts:
            return  # the index knows nothing of another clock
        number = bisect_right(self._keys, seconds + SAME_TIME) - 1
        # Never twice to the same one: it may begin elsewhere than the index says.
        if number > self._jumped and self._keys[number] > self._now + SAME_TIME:
            self._jump_to = number

    def from_time(self, seconds: float) -> Iterator[tuple[float, float, av.VideoFrame]]:
        """Yield (begin, length, frame) from the keyframe at or before a time to the end."""
        self.skip_to(seconds)
        while True:
            landing = self._seek()
            try:
                for begins, lasts, frame in self._read(landing):
                    self._now = begins
                    yield begins, lasts, frame
                    if self._jump_to is not None:
                        break
                else:
                    return
            except (_AstrayError, av.error.FFmpegError):
                if landing == -np.inf:
                    raise
                self._keys = []
                self._open()

    def _seek(self) -> float:
        """Carry out the jump that was asked for; returns the time of its keyframe."""
        if self._jump_to is None or not self._keys:
            return -np.inf
        landing = self._keys[self._jump_to]
        self._jumped, self._jump_to = self._jump_to, None
        offset = round((landing + self.timeline.origin_seconds) / self._time_base)
        try:
            self.container.seek(offset, stream=self.stream)
        except av.error.FFmpegError:
            self._keys = []
            self._open()
            return -np.inf
        self.timeline.sought()
        return landing

    def _read(self, landing: float) -> Iterator[tuple[float, float, av.VideoFrame]]:
        """Yield (begin, length, frame) in order of time from where the container stands."""
        clock = landing if np.isfinite(landing) else 0.0
        late: float | None = None  # how long the decoder holds frames back, in decoding times
        latest = -np.inf  # begin of the latest frame yielded
        overlapping = 0
        # A jump is trusted once it brought a keyframe that is not too late.
        target = self._wanted + SAME_TIME if np.isfinite(landing) else None
        for frame in self._decoded(target):
            begins = self._begin(frame, clock)
            if self._by_dts:
                late = begins - clock if late is None else late
                begins = begins - late if frame.dts is not None else clock
            if target is not None and (not frame.key_frame or begins > target):
                raise _AstrayError
            target = None
            lasts = float(frame.duration or 0) * self._time_base or self._usual_length
            clock = begins + lasts
            if begins < latest - _ROUNDING_SECONDS:
                overlapping += 1
                continue
            begins = latest = max(begins, latest)
            yield begins, lasts, frame
        if target is not None:  # a jump beyond the last frame
            raise _AstrayError
        if overlapping:
            self._damage.note(f"{overlapping} frames begin before an earlier one; left out")

    def _decoded(self, target: float | None) -> Iterator[av.VideoFrame]:
        """Decode packets; the first one must be a keyframe at or before the target, if any."""
        newest = -np.inf  # begin of the latest frame known to be shown before the time wanted
        for packet in self.timeline.packets(self.stream):
            if target is not None and packet.size:
                stamp = packet.dts if self._by_dts or packet.pts is None else packet.pts
                if not packet.is_keyframe or stamp is None or self._seconds(stamp) > target:
                    raise _AstrayError
                target = None
            if packet.pts is not None and not self._by_dts:
                shown = self._seconds(packet.pts)
                # A frame that another one replaces before the time wanted is decoded only where
                # others are built on it. Such a later frame comes earlier in decoding order.
                self._codec.skip_frame = "NONREF" if shown < newest else "DEFAULT"
                if newest < shown <= self._wanted + SAME_TIME:
                    newest = shown
            yield from decode_packet(packet, self._damage)

    def _seconds(self, stamp: int) -> float:
        return stamp * self._time_base - self.timeline.origin_seconds

    def _begin(self, frame: av.VideoFrame, clock: float) -> float:
        """Give a frame's time stamp; where it has none, it follows the frame before."""
        stamp = frame.dts if self._by_dts else frame.pts
        return clock if stamp is None else self._seconds(stamp)

    def _read_keyframes(self) -> list[float]:
        """Read the keyframes' times from the container's index; empty where there is none.

        Some indexes hold decoding times; the first keyframe tells how far they are from showing.
        """
        if self.container.format.name.split(",")[0] not in _INDEXED:
            return []
        try:
            self.container.seek(0)  # Matroska reads its index at the first seek
            keys = [e.timestamp for e in self.stream.index_entries if e.is_keyframe]
            if len(keys) < 2:
                self._open()
                return []
            stamps = (packet.pts for packet in self.container.demux(self.stream))
            first = next(stamp for stamp in stamps if stamp is not None)
            self.container.seek(0)
        except (av.error.FFmpegError, StopIteration):
            self._open()
            return []
        shift = 0 if self._by_dts else first - keys[0]
        return sorted(self._seconds(key + shift) for key in keys)


def _picture(frame: av.VideoFrame) -> Image.Image:
    """Convert a frame to RGB and turn it as its display matrix says."""
    image = Image.fromarray(frame.to_ndarray(format="rgb24"))
    quarter_turns = round(frame.rotation / 90) % 4
    if quarter_turns:
        image = image.transpose(_COUNTERCLOCKWISE[quarter_turns])
    return image


_COUNTERCLOCKWISE = {
    1: Image.Transpose.ROTATE_90,
    2: Image.Transpose.ROTATE_180,
    3: Image.Transpose.ROTATE_270,
}
