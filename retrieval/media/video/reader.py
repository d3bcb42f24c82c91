"""Video: the pictures shown at given times, decoding no more than they need.

Times come from the frames' time stamps and count from the container's first one, as in players.
How the frames are reached is in `frames.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO, Protocol

import av
import av.container
import numpy as np
from PIL import Image

from retrieval.errors import DamagedMediaError
from retrieval.media.containers.reading import PADDING_SECONDS, open_container, possible_seconds
from retrieval.media.damage import Damage
from retrieval.media.files import opened
from retrieval.media.video.animation import AnimationFrames, is_animation
from retrieval.media.video.frames import SAME_TIME, Frames


class VideoReader:
    """One open video; made by `open_video`.

    Attributes:
        width: Pixels as shown, after rotation; known once a frame was read, else as declared.
        height: Likewise.
        duration_seconds: As declared, None where unknown; as read, once `sample` is at its end.
        has_sound: Whether there is a stream of sound.
        damage: What is skipped or left out so far.
    """

    def __init__(self, begin: Callable[[Damage], _Walk]) -> None:
        self._begin = begin
        self.damage = Damage()
        self._walk: _Walk | None = begin(self.damage)
        self.width = self._walk.width
        self.height = self._walk.height
        self.has_sound = self._walk.has_sound
        self.duration_seconds = self._walk.declared_seconds
        self._possible_seconds = possible_seconds(self._walk.bytes)

    def sample(self, frames_per_second: float) -> Iterator[tuple[float, Image.Image]]:
        """Yield (seconds, RGB picture) at 0, 1/fps, 2/fps, … until the file ends.

        A picture that stays on screen longer than 1/fps comes again for every such time; the last
        one stays until the sound ends. Together they come again for no longer than a file of this
        size can last; then the times up to the next picture are left out.

        Raises:
            DamagedMediaError: Not one frame can be decoded, or the file is cut short.
        """
        return self._pictures(_Steady(frames_per_second, self._possible_seconds), hold_last=False)

    def frames_at(self, seconds: Sequence[float]) -> Iterator[tuple[float, Image.Image]]:
        """Yield (seconds, RGB picture) for the given times, ascending; past the end, the last.

        Raises:
            DamagedMediaError: Not one frame can be decoded.
        """
        return self._pictures(_Listed(seconds), hold_last=True)

    def _pictures(self, times: _Times, *, hold_last: bool) -> Iterator[tuple[float, Image.Image]]:
        frame: Any = None
        picture: Image.Image | None = None
        walk, self._walk = self._walk or self._begin(self.damage), None
        for seconds, shown in self._shown(walk, times, hold_last=hold_last):
            if picture is None or shown is not frame:
                frame, picture = shown, walk.picture(shown)
                self.width, self.height = picture.size
            yield seconds, picture

    def _shown(self, walk: _Walk, times: _Times, *, hold_last: bool) -> Iterator[tuple[float, Any]]:
        """Pair every time with the frame on screen: the last one that begins no later."""
        if times.wanted is None:
            return
        before: Any = None
        end = 0.0
        for begins, lasts, frame in walk.from_time(times.wanted):
            while times.wanted is not None and begins > times.wanted + SAME_TIME:
                yield times.wanted, before or frame
                times.hold_until(begins)
            before, end = frame, begins + lasts
            if times.wanted is not None and begins >= times.wanted - SAME_TIME:
                yield times.wanted, frame  # nothing after it can be on screen at this time
                times.step()
            if times.wanted is None:
                return
            walk.skip_to(times.wanted)
        if before is None:
            raise DamagedMediaError("no frame of the video can be decoded; replace the file")
        yield from self._stay(walk, times, before, np.inf if hold_last else end)

    def _stay(
        self, walk: _Walk, times: _Times, last: Any, end: float
    ) -> Iterator[tuple[float, Any]]:
        """Show the last frame until the file ends, or for all times there are."""
        whole = max(end, walk.end_seconds)
        if whole > end + PADDING_SECONDS:
            end = whole
        while times.wanted is not None and times.wanted < end - SAME_TIME:
            yield times.wanted, last
            times.hold_until(end)
        if np.isfinite(end):
            self.duration_seconds = whole
            self._note_left_out(times.left_out)
            walk.check_end(whole)

    def _note_left_out(self, seconds: float) -> None:
        if seconds:
            self.damage.note(
                f"pictures stand still for {seconds:,.0f} s longer than a file of this size can "
                "last; left out"
            )


class _Walk(Protocol):
    """Walks over decoded frames in order of time: `Frames` or `AnimationFrames`."""

    width: int
    height: int
    has_sound: bool
    declared_seconds: float | None
    bytes: int

    @property
    def end_seconds(self) -> float:
        """End of whatever was read so far, sound included."""
        ...

    def from_time(self, seconds: float) -> Iterator[tuple[float, float, Any]]:
        """Yield (begin, length, frame) from the frame on screen at a time, or before it."""
        ...

    def skip_to(self, seconds: float) -> None:
        """Allow to leave out frames that end before a time."""
        ...

    def picture(self, frame: Any) -> Image.Image:
        """Convert a frame to RGB, upright."""
        ...

    def check_end(self, end_seconds: float) -> None:
        """Raise DamagedMediaError if the file is cut, now that it is read to its end."""
        ...


# ---------------------------------------------------------------- times


class _Times(Protocol):
    """The times at which pictures are wanted; `wanted` is the next one, None after the last."""

    wanted: float | None
    left_out: float

    def step(self) -> None:
        """Go on to the next time."""
        ...

    def hold_until(self, seconds: float) -> None:
        """Go on to the next time, while one picture stays until the given one."""
        ...


class _Steady:
    """0, 1/fps, 2/fps, … without end; held pictures are repeated for a limited time in all."""

    def __init__(self, frames_per_second: float, may_hold_seconds: float) -> None:
        self._rate = frames_per_second
        self._number = 0
        self._may_hold = round(may_hold_seconds * frames_per_second)
        self.wanted: float | None = 0.0
        self.left_out = 0.0

    def step(self) -> None:
        self._number += 1
        self.wanted = self._number / self._rate

    def hold_until(self, seconds: float) -> None:
        self.step()
        self._may_hold -= 1
        following = int(np.ceil((seconds - SAME_TIME) * self._rate))
        if self._may_hold < 0 and following > self._number:
            self.left_out += (following - self._number) / self._rate
            self._number = following
            self.wanted = following / self._rate


class _Listed:
    """Given times, in ascending order."""

    def __init__(self, seconds: Sequence[float]) -> None:
        self._rest = iter(sorted(seconds))
        self.wanted = next(self._rest, None)
        self.left_out = 0.0

    def step(self) -> None:
        self.wanted = next(self._rest, None)

    def hold_until(self, seconds: float) -> None:
        self.step()


# ---------------------------------------------------------------- opening


@contextmanager
def open_video(file: BinaryIO | str, *, threads: int = 1) -> Iterator[VideoReader]:
    """Open a video for reading.

    Args:
        file: An open, seekable file, or a path.
        threads: Decoding threads; 1 suits a worker among others, 0 takes every core.

    Raises:
        UnsupportedMediaError: No known container, or no moving picture in it that can be decoded.
        MediaTooLargeError: Frames over the pixel cap.
    """
    with opened(file) as stream, ExitStack() as containers:
        if is_animation(stream, stream.read(32)):
            yield VideoReader(lambda damage: AnimationFrames(stream, damage))
            return

        def again() -> av.container.InputContainer:
            return containers.enter_context(open_container(stream))

        yield VideoReader(lambda damage: Frames(again, stream, threads, damage))


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
