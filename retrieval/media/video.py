"""Video: the pictures shown at given times, decoding no more than they need.

A frame can be decoded only after the keyframe that opens its group of pictures. The reader knows
the keyframes' times from the container's index and jumps only where the next picture wanted lies
in a later group than the one at hand; inside a group it reads on. Without an index (MPEG-TS) it
reads from the start to the end. Times count from the container's first time stamp, as in players.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import BinaryIO

import av
import av.container
import av.error
import numpy as np
from PIL import Image

from retrieval.errors import DamagedMediaError, MediaTooLargeError, UnsupportedMediaError
from retrieval.media.container import (
    Damage,
    audio_stream,
    decode_packet,
    open_container,
    origin_seconds,
    read_packets,
    video_stream,
)
from retrieval.media.image import MAX_PIXELS

_SAME_TIME = 1e-4
"""Seconds; time stamps of containers are rounded, at worst to a millisecond's tenth in practice."""


class VideoReader:
    """One open video; made by `open_video`.

    Attributes:
        width: Pixels as shown, after rotation; known once a frame was read, else as declared.
        height: Likewise.
        duration_seconds: As declared; None where unknown, until `sample` has read to the end.
        has_sound: Whether there is a stream of sound.
        damage: Packets that had to be skipped so far.
    """

    def __init__(
        self, container: av.container.InputContainer, stream: av.VideoStream, threads: int
    ) -> None:
        codec = stream.codec_context
        if codec.width * codec.height > MAX_PIXELS:
            raise MediaTooLargeError(
                f"frames of {codec.width} × {codec.height} pixels, at most {MAX_PIXELS:,} are "
                "read; make it smaller"
            )
        codec.thread_count = threads
        codec.thread_type = "AUTO"
        codec.options = {**codec.options, "max_pixels": str(MAX_PIXELS)}
        self._container = container
        self._stream = stream
        self._time_base = float(stream.time_base or 1 / av.time_base)
        self._origin = origin_seconds(container)
        self.damage = Damage()
        self.width = codec.width
        self.height = codec.height
        self.has_sound = audio_stream(container) is not None
        declared = container.duration
        self.duration_seconds = None if not declared else declared / av.time_base

    def sample(self, frames_per_second: float) -> Iterator[tuple[float, Image.Image]]:
        """Yield (seconds, RGB picture) at 0, 1/fps, 2/fps, … until the pictures end.

        A picture that stays on screen longer than 1/fps comes again for every such time.

        Raises:
            DamagedMediaError: Not one frame can be decoded.
        """
        times = (number / frames_per_second for number in count())
        return self._pictures(times, hold_last=False)

    def frames_at(self, seconds: Sequence[float]) -> Iterator[tuple[float, Image.Image]]:
        """Yield (seconds, RGB picture) for the given times, ascending; past the end, the last.

        Raises:
            DamagedMediaError: Not one frame can be decoded.
        """
        return self._pictures(iter(sorted(seconds)), hold_last=True)

    def _pictures(
        self, times: Iterator[float], *, hold_last: bool
    ) -> Iterator[tuple[float, Image.Image]]:
        frame: av.VideoFrame | None = None
        picture: Image.Image | None = None
        for seconds, shown in self._shown(times, hold_last=hold_last):
            if picture is None or shown is not frame:
                frame, picture = shown, _picture(shown)
                self.width, self.height = picture.size
            yield seconds, picture

    def _shown(
        self, times: Iterator[float], *, hold_last: bool
    ) -> Iterator[tuple[float, av.VideoFrame]]:
        """Pair every time with the frame on screen: the last one that begins no later."""
        wanted = next(times, None)
        if wanted is None:
            return
        frames = _Frames(self._container, self._stream, self._origin, self.damage)
        before: av.VideoFrame | None = None
        end = 0.0
        for begins, lasts, frame in frames.from_time(wanted):
            while begins > wanted + _SAME_TIME:
                yield wanted, before or frame
                wanted = next(times, None)
                if wanted is None:
                    return
                frames.skip_to(wanted)
            before, end = frame, begins + lasts
            if begins >= wanted - _SAME_TIME:  # nothing after it can be on screen at this time
                yield wanted, frame
                wanted = next(times, None)
                if wanted is None:
                    return
                frames.skip_to(wanted)
        if before is None:
            raise DamagedMediaError("no frame of the video can be decoded; replace the file")
        if not hold_last:
            self.duration_seconds = max(end, self.duration_seconds or 0.0)
        while wanted is not None and (hold_last or wanted < end - _SAME_TIME):
            yield wanted, before
            wanted = next(times, None)


class _Frames:
    """Walks over decoded frames with their times, jumping ahead by keyframes when told to."""

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.VideoStream,
        origin: float,
        damage: Damage,
    ) -> None:
        self._container = container
        self._stream = stream
        self._codec = stream.codec_context
        self._origin = origin
        self._damage = damage
        self._time_base = float(stream.time_base or 1 / av.time_base)
        # AVI stores the order of decoding only; what FFmpeg guesses of showing can run backwards.
        self._by_dts = container.format.name == "avi"
        self._keys = self._read_keyframes()
        self._jump_to: int | None = None  # number of a keyframe
        self._now = -np.inf
        self._wanted = 0.0
        rate = stream.average_rate or stream.guessed_rate
        self._usual_length = 1 / float(rate) if rate else 0.04

    def skip_to(self, seconds: float) -> None:
        """Jump before the next frame, if the time lies in a later group of pictures."""
        self._wanted = seconds
        number = bisect_right(self._keys, seconds + _SAME_TIME) - 1
        if number >= 0 and self._keys[number] > self._now + _SAME_TIME:
            self._jump_to = number

    def from_time(self, seconds: float) -> Iterator[tuple[float, float, av.VideoFrame]]:
        """Yield (begin, length, frame) from the keyframe at or before a time to the end."""
        self.skip_to(seconds)
        while True:
            landing = self._seek()
            for begins, lasts, frame in self._read(landing):
                self._now = begins
                yield begins, lasts, frame
                if self._jump_to is not None:
                    break
            else:
                return

    def _seek(self) -> float:
        """Carry out the jump that was asked for; returns the time of its keyframe."""
        if self._jump_to is None:
            return -np.inf
        landing = self._keys[self._jump_to]
        self._jump_to = None
        offset = round((landing + self._origin) / self._time_base)
        self._container.seek(offset, stream=self._stream)
        return landing

    def _read(self, landing: float) -> Iterator[tuple[float, float, av.VideoFrame]]:
        clock = landing if np.isfinite(landing) else 0.0
        late: float | None = None  # how long the decoder holds frames back, in decoding times
        newest = -np.inf  # begin of the latest frame known to be shown before the time wanted
        for packet in read_packets(self._container, self._stream, self._damage):
            if packet.pts is not None and not self._by_dts:
                shown = packet.pts * self._time_base - self._origin
                # A frame that another one replaces before the time wanted is decoded only where
                # others are built on it. Such a later frame comes earlier in decoding order.
                self._codec.skip_frame = "NONREF" if shown < newest else "DEFAULT"
                if newest < shown <= self._wanted + _SAME_TIME:
                    newest = shown
            for frame in decode_packet(packet, self._damage):
                begins = self._begin(frame, clock)
                if self._by_dts:
                    late = begins - clock if late is None else late
                    begins = begins - late if frame.dts is not None else clock
                lasts = float(frame.duration or 0) * self._time_base or self._usual_length
                clock = begins + lasts
                yield begins, lasts, frame

    def _begin(self, frame: av.VideoFrame, clock: float) -> float:
        """Give a frame's time stamp; where it has none, it follows the frame before."""
        stamp = frame.dts if self._by_dts else frame.pts
        return clock if stamp is None else stamp * self._time_base - self._origin

    def _read_keyframes(self) -> list[float]:
        """Read the keyframes' times from the container's index; empty where there is none.

        Some indexes hold decoding times; the first keyframe tells how far they are from showing.
        """
        if self._container.format.name == "mpegts":
            return []  # its index grows while reading, and holds what was seen only
        try:
            self._container.seek(0)  # Matroska reads its index at the first seek
            keys = [e.timestamp for e in self._stream.index_entries if e.is_keyframe]
            if len(keys) < 2:
                return []
            stamps = (packet.pts for packet in self._container.demux(self._stream))
            first = next(stamp for stamp in stamps if stamp is not None)
            self._container.seek(0)
        except (av.error.FFmpegError, StopIteration):
            return []
        shift = 0 if self._by_dts else first - keys[0]
        return sorted((key + shift) * self._time_base - self._origin for key in keys)


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


# ---------------------------------------------------------------- opening


@contextmanager
def open_video(file: BinaryIO | str, *, threads: int = 1) -> Iterator[VideoReader]:
    """Open a video for reading.

    Args:
        file: An open, seekable file, or a path.
        threads: Decoding threads; 1 suits a worker among others, 0 takes every core.

    Raises:
        UnsupportedMediaError: No known container, or no moving picture in it.
        MediaTooLargeError: Frames over the pixel cap.
    """
    with open_container(file) as container:
        stream = video_stream(container)
        if stream is None:
            raise UnsupportedMediaError("no moving picture in this file; it may be a recording")
        yield VideoReader(container, stream, threads)


def sample_frames(
    file: BinaryIO | str, frames_per_second: float
) -> Iterator[tuple[float, Image.Image]]:
    """Open a video and yield (seconds, RGB picture) at a steady rate; see `VideoReader.sample`."""
    with open_video(file) as video:
        yield from video.sample(frames_per_second)


def frames_at(
    file: BinaryIO | str, seconds: Iterable[float], *, threads: int = 0
) -> Iterator[tuple[float, Image.Image]]:
    """Open a video and yield (seconds, RGB picture) for times; see `VideoReader.frames_at`."""
    with open_video(file, threads=threads) as video:
        yield from video.frames_at(list(seconds))
