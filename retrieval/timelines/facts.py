"""Read from a media file what a timeline must know about it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from retrieval.errors import UnsupportedMediaError
from retrieval.media.audio.reader import open_sound
from retrieval.media.images.reading import open_image
from retrieval.media.images.signatures import is_image
from retrieval.media.video.animation import AnimationFrameReader, estimate_seconds, is_animation
from retrieval.media.video.frames import FrameReader
from retrieval.media.video.reader import open_frames
from retrieval.timelines.clips.span import tolerance
from retrieval.timelines.source_files import open_source
from retrieval.types import Medium

STANDARD_RATES = (
    *(Fraction(24), Fraction(25), Fraction(30), Fraction(50), Fraction(60)),
    *(Fraction(rate * 1_000, 1_001) for rate in (24, 30, 60)),
)
"""Frame rates of editing programs."""

DEFAULT_RATE = Fraction(25)
"""Frame rate of timelines without a video."""

_TIMECODE = re.compile(r"(\d\d):(\d\d):(\d\d)([:;])(\d\d)")


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """Facts of one media file.

    Attributes:
        modality: By content.
        width: Pixels as shown; None without pictures.
        height: Pixels as shown; None without pictures.
        rate: Frames per second; None without a frame rate.
        seconds: Duration; None if unknown.
        has_sound: Whether there is sound.
        timecode: Time code of the first frame, such as `01:00:00:00`; None if there is none.
    """

    modality: Medium
    width: int | None = None
    height: int | None = None
    rate: Fraction | None = None
    seconds: float | None = None
    has_sound: bool = False
    timecode: str | None = None


def read_facts(uri: str) -> MediaFacts:
    """Read the facts of a file.

    Raises:
        MediaError: The file cannot be opened.
    """
    with open_source(uri) as file:
        head = file.read(32)
        if is_image(head) and not is_animation(file, head):
            file.seek(0)
            with open_image(file) as image:
                return MediaFacts(Medium.IMAGE, *image.size)
        try:
            return _facts_of_video(file)
        except UnsupportedMediaError as error:
            try:
                return _facts_of_recording(file)
            except UnsupportedMediaError:
                raise error from None


def _facts_of_video(file: BinaryIO) -> MediaFacts:
    with open_frames(file) as source:
        if isinstance(source, AnimationFrameReader):
            seconds = estimate_seconds(file)
            return MediaFacts(Medium.VIDEO, source.width, source.height, Fraction(10), seconds)
        assert isinstance(source, FrameReader)
        stream, container = source.stream, source.container
        rate = standard_rate(Fraction(stream.average_rate or stream.guessed_rate or 25))
        _, _, frame = next(iter(source.frames_from(0.0)), (0.0, 0.0, None))
        if frame is None:
            raise UnsupportedMediaError("no frame of the video can be decoded")
        sides = (frame.width, frame.height)
        if round(frame.rotation / 90) % 2:
            sides = sides[::-1]
        timecode = _timecode_of(stream.metadata) or _timecode_of(container.metadata)
        return MediaFacts(
            Medium.VIDEO, *sides, rate, source.declared_seconds, source.has_sound, timecode
        )


def _facts_of_recording(file: BinaryIO) -> MediaFacts:
    with open_sound(file) as sound:
        stream = sound.stream
        duration, unit = stream.duration, stream.time_base
        seconds = None if not duration or not unit else float(duration * unit)
        return MediaFacts(Medium.AUDIO, seconds=seconds, has_sound=True)


def _timecode_of(metadata: Mapping[str, str]) -> str | None:
    value = metadata.get("timecode", "")
    return value if _TIMECODE.fullmatch(value) else None


def standard_rate(rate: Fraction) -> Fraction:
    """Return the standard rate within 0.05 %, or the rate itself."""
    near = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return near if abs(near - rate) <= near / 2_000 else rate


def editing_rate(rate: Fraction) -> Fraction:
    """Return a standard rate whose frames include those of another rate, else 30."""
    rate = standard_rate(rate)
    if rate in STANDARD_RATES:
        return rate
    multiples = (standard for standard in STANDARD_RATES if (standard / rate).denominator == 1)
    return next((standard for standard in multiples if standard > rate), Fraction(30))


def first_frame(seconds: float, rate: Fraction) -> int:
    """Return the number of the first frame that begins at or after a time."""
    return max(0, math.ceil((seconds - tolerance(seconds)) * float(rate)))
