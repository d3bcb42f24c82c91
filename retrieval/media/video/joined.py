"""Read the frames of files that were joined byte by byte, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import av
from PIL import Image

from retrieval.errors import MediaError
from retrieval.media.damage import Damage
from retrieval.media.video.frames import FrameReader

PartOpener = Callable[[], FrameReader]


class JoinedFrameReader:
    """A `FrameSource` of several files; each begins where the sound and pictures before it end.

    Attributes:
        width: Declared pixels of the first part.
        height: Declared pixels of the first part.
        has_sound: Whether the first part has an audio stream.
        declared_seconds: None, because the other parts are opened when they are reached.
        bytes: Size of all parts.
    """

    def __init__(self, parts: Sequence[tuple[PartOpener, int]], damage: Damage) -> None:
        self._parts = parts
        self._damage = damage
        self._reader = parts[0][0]()
        self._offset = 0.0  # start of the current part
        self._wanted = 0.0
        self.width = self._reader.width
        self.height = self._reader.height
        self.has_sound = self._reader.has_sound
        self.declared_seconds: float | None = None
        self.bytes = sum(size for _, size in parts)

    @property
    def end_seconds(self) -> float:
        """End of what was read so far, including audio."""
        return self._offset + self._reader.end_seconds

    def frames_from(self, seconds: float) -> Iterator[tuple[float, float, av.VideoFrame]]:
        """Yield (start, duration, frame) from the frame shown at a time, or an earlier one."""
        self._wanted = seconds
        yield from self._frames_of_part()
        for number, (open_part, size) in enumerate(self._parts[1:], start=2):
            end = self.end_seconds
            self._reader.check_end(self._reader.end_seconds)
            try:
                reader = open_part()
            except MediaError as error:
                self._damage.note(f"part {number}, {size:,} bytes, is left out ({error})")
                continue
            self._reader, self._offset = reader, end
            self._damage.note("the clock of the file restarts; time goes on from there")
            yield from self._frames_of_part()

    def _frames_of_part(self) -> Iterator[tuple[float, float, av.VideoFrame]]:
        offset = self._offset
        for start, duration, frame in self._reader.frames_from(max(0.0, self._wanted - offset)):
            yield offset + start, duration, frame

    def skip_to(self, seconds: float) -> None:
        """Permit skipping the frames that end before a time."""
        self._wanted = seconds
        self._reader.skip_to(max(0.0, seconds - self._offset))

    def to_image(self, frame: av.VideoFrame) -> Image.Image:
        """Convert a frame to an upright RGB image."""
        return self._reader.to_image(frame)

    def check_end(self, end_seconds: float) -> None:
        """Raise DamagedMediaError if the last part is cut."""
        self._reader.check_end(end_seconds - self._offset)
