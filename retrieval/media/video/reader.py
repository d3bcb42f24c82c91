"""Read the frames of a video that are shown at given times.

Times come from the frames' time stamps, with the container's first one as 0, as in players.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, BinaryIO, Protocol

import av
import av.container
import numpy as np
from PIL import Image

from retrieval.errors import DamagedMediaError
from retrieval.media.containers.joined import split_joined
from retrieval.media.containers.reading import PADDING_SECONDS, open_container, possible_seconds
from retrieval.media.damage import Damage
from retrieval.media.files import opened
from retrieval.media.video.animation import AnimationFrameReader, is_animation
from retrieval.media.video.frames import SAME_TIME, FrameReader
from retrieval.media.video.joined import JoinedFrameReader


class VideoReader:
    """One open video, created by `open_video`.

    Attributes:
        width: Pixels after rotation once a frame was read, before that as declared.
        height: Likewise.
        duration_seconds: As declared, None if unknown; as read once `sample` has finished.
        has_sound: Whether there is an audio stream.
        damage: Packets and frames that were left out so far.
    """

    def __init__(self, open_source: Callable[[Damage], FrameSource]) -> None:
        self._open_source = open_source
        self.damage = Damage()
        self._source: FrameSource | None = open_source(self.damage)
        self.width = self._source.width
        self.height = self._source.height
        self.has_sound = self._source.has_sound
        self.duration_seconds = self._source.declared_seconds
        self._possible_seconds = possible_seconds(self._source.bytes)

    def sample(self, frames_per_second: float) -> Iterator[tuple[float, Image.Image]]:
        """Yield (seconds, RGB image) at 0, 1/fps, 2/fps, … until the file ends.

        A frame that is shown for longer than 1/fps is repeated; the last one is shown until the
        sound ends. All repetitions together last no longer than a file of this size can last;
        beyond that, the times up to the next frame are left out.

        Raises:
            DamagedMediaError: No frame can be decoded, or the file is cut short.
        """
        return self._images(_SteadyTimes(frames_per_second, self._possible_seconds), to_end=True)

    def frames_at(self, seconds: Sequence[float]) -> Iterator[tuple[float, Image.Image]]:
        """Yield (seconds, RGB image) for the given times, ascending; past the end the last frame.

        Raises:
            DamagedMediaError: No frame can be decoded.
        """
        return self._images(_GivenTimes(seconds), to_end=False)

    def _images(self, times: _Times, *, to_end: bool) -> Iterator[tuple[float, Image.Image]]:
        converted: Any = None
        image: Image.Image | None = None
        source, self._source = self._source or self._open_source(self.damage), None
        for seconds, frame in self._shown_frames(source, times, to_end=to_end):
            if image is None or frame is not converted:
                converted, image = frame, source.to_image(frame)
                self.width, self.height = image.size
            yield seconds, image

    def _shown_frames(
        self, source: FrameSource, times: _Times, *, to_end: bool
    ) -> Iterator[tuple[float, Any]]:
        """Yield every time with the last frame that begins no later."""
        if times.next is None:
            return
        before: Any = None
        end = 0.0
        for start, duration, frame in source.frames_from(times.next):
            while times.next is not None and start > times.next + SAME_TIME:
                yield times.next, before or frame
                times.repeat_until(start)
            before, end = frame, start + duration
            if times.next is not None and start >= times.next - SAME_TIME:
                yield times.next, frame  # no later frame is shown at this time
                times.advance()
            if times.next is None:
                return
            source.skip_to(times.next)
        if before is None:
            raise DamagedMediaError("no frame of the video can be decoded; replace the file")
        yield from self._repeat_last(source, times, before, end if to_end else np.inf)

    def _repeat_last(
        self, source: FrameSource, times: _Times, frame: Any, end: float
    ) -> Iterator[tuple[float, Any]]:
        """Repeat the last frame until the file ends, or for all remaining times."""
        file_end = max(end, source.end_seconds)
        if file_end > end + PADDING_SECONDS:
            end = file_end
        while times.next is not None and times.next < end - SAME_TIME:
            yield times.next, frame
            times.repeat_until(end)
        if np.isfinite(end):
            self.duration_seconds = file_end
            if times.left_out:
                self.damage.note(
                    f"frames are repeated for {times.left_out:,.0f} s more than a file of this "
                    "size can last; left out"
                )
            source.check_end(file_end)


class FrameSource(Protocol):
    """Yields decoded frames in order of time: `FrameReader` or `AnimationFrameReader`."""

    width: int
    height: int
    has_sound: bool
    declared_seconds: float | None
    bytes: int

    @property
    def end_seconds(self) -> float:
        """End of what was read so far, including audio."""
        ...

    def frames_from(self, seconds: float) -> Iterator[tuple[float, float, Any]]:
        """Yield (start, duration, frame) from the frame shown at a time, or an earlier one."""
        ...

    def skip_to(self, seconds: float) -> None:
        """Permit skipping the frames that end before a time."""
        ...

    def to_image(self, frame: Any) -> Image.Image:
        """Convert a frame to an upright RGB image."""
        ...

    def check_end(self, end_seconds: float) -> None:
        """Raise DamagedMediaError if the file, read to its end, is cut."""
        ...


# ---------------------------------------------------------------- times


class _Times(Protocol):
    """The times of the wanted frames.

    Attributes:
        next: The next time; None after the last one.
        left_out: Seconds that were left out.
    """

    next: float | None
    left_out: float

    def advance(self) -> None:
        """Advance to the next time."""
        ...

    def repeat_until(self, seconds: float) -> None:
        """Advance to the next time while one frame is shown until the given time."""
        ...


class _SteadyTimes:
    """The times 0, 1/fps, 2/fps, … without end, with a limit on repetitions of frames."""

    def __init__(self, frames_per_second: float, max_repeated_seconds: float) -> None:
        self._rate = frames_per_second
        self._number = 0
        self._repetitions_left = round(max_repeated_seconds * frames_per_second)
        self.next: float | None = 0.0
        self.left_out = 0.0

    def advance(self) -> None:
        self._number += 1
        self.next = self._number / self._rate

    def repeat_until(self, seconds: float) -> None:
        self.advance()
        self._repetitions_left -= 1
        following = int(np.ceil((seconds - SAME_TIME) * self._rate))
        if self._repetitions_left < 0 and following > self._number:
            self.left_out += (following - self._number) / self._rate
            self._number = following
            self.next = following / self._rate


class _GivenTimes:
    """Given times in ascending order."""

    def __init__(self, seconds: Sequence[float]) -> None:
        self._rest = iter(sorted(seconds))
        self.next = next(self._rest, None)
        self.left_out = 0.0

    def advance(self) -> None:
        self.next = next(self._rest, None)

    def repeat_until(self, seconds: float) -> None:
        self.advance()


# ---------------------------------------------------------------- opening


@contextmanager
def open_video(file: BinaryIO | str, *, threads: int = 1) -> Iterator[VideoReader]:
    """Open a video for reading.

    Args:
        file: An open, seekable file, or a path.
        threads: Decoding threads; 1 suits a worker process, 0 uses every core.

    Raises:
        UnsupportedMediaError: No known container, or no video stream that can be decoded.
        MediaTooLargeError: Frames over the pixel limit.
    """
    with _source_opener(file, threads) as open_source:
        yield VideoReader(open_source)


@contextmanager
def open_frames(file: BinaryIO | str, *, threads: int = 1) -> Iterator[FrameSource]:
    """Open a video for reading its own frames and their times.

    Raises:
        UnsupportedMediaError: No known container, or no video stream that can be decoded.
        MediaTooLargeError: Frames over the pixel limit.
    """
    with _source_opener(file, threads) as open_source:
        yield open_source(Damage())


@contextmanager
def _source_opener(file: BinaryIO | str, threads: int) -> Iterator[Callable[[Damage], FrameSource]]:
    """Yield a function that opens the frames of a file; the file is closed at the end."""
    with opened(file) as stream, ExitStack() as containers:
        if is_animation(stream, stream.read(32)):
            yield lambda damage: AnimationFrameReader(stream, damage)
            return

        def read_part(part: BinaryIO, damage: Damage) -> FrameReader:
            def open_again() -> av.container.InputContainer:
                return containers.enter_context(open_container(part))

            return FrameReader(open_again, part, threads, damage)

        parts = split_joined(stream)
        if len(parts) == 1:
            yield lambda damage: read_part(stream, damage)
            return
        sizes = [part.seek(0, os.SEEK_END) for part in parts]

        def read_parts(damage: Damage) -> JoinedFrameReader:
            openers = [partial(read_part, part, damage) for part in parts]
            return JoinedFrameReader(list(zip(openers, sizes, strict=True)), damage)

        yield read_parts


def sample_frames(
    file: BinaryIO | str, frames_per_second: float
) -> Iterator[tuple[float, Image.Image]]:
    """Open a video and yield (seconds, RGB image) at a steady rate; see `VideoReader.sample`."""
    with open_video(file) as video:
        yield from video.sample(frames_per_second)


def frames_at(
    file: BinaryIO | str, seconds: Iterable[float], *, threads: int = 0
) -> Iterator[tuple[float, Image.Image]]:
    """Open a video and yield (seconds, RGB image) for times; see `VideoReader.frames_at`."""
    with open_video(file, threads=threads) as video:
        yield from video.frames_at(list(seconds))
