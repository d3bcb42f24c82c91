"""Cut a span of a video or recording by encoding it again, exact to the frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, BinaryIO

import av

from retrieval.errors import DamagedMediaError, MediaError
from retrieval.media.video.frames import FrameReader
from retrieval.media.video.reader import FrameSource, open_frames
from retrieval.timelines.clips.pictures import PictureFitter
from retrieval.timelines.clips.sound import ClipSound, as_frame, end_of, open_clip_sound
from retrieval.timelines.clips.span import HELD_SECONDS, frames_between
from retrieval.timelines.clips.writer import (
    ClipWriter,
    PictureFormat,
    SoundFormat,
    aac_format,
    open_writer,
    ticks_of,
)
from retrieval.timelines.source_files import open_source, reason_of

Report = Callable[[float], None]
"""Receives the seconds of a clip that are done."""

JOINED_RATE_HZ = 48_000
JOINED_LAYOUT = "stereo"
JOINED_TICKS = 90_000
JOINED_RATE = Fraction(30)


@dataclass(frozen=True, slots=True)
class Cut:
    """What a clip contains.

    Attributes:
        start_seconds: Time of its first frame or sample in the source.
        end_seconds: End of its last one.
        notes: What differs from the request.
    """

    start_seconds: float
    end_seconds: float
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _SoundFeed:
    """Writes the sound of a clip up to a given time, so that the file is interleaved."""

    frames: Iterator[av.AudioFrame]
    sound: SoundFormat
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def write_until(self, writer: ClipWriter, seconds: float) -> None:
        while self.seconds < seconds:
            try:
                frame = next(self.frames, None)
            except Exception as error:  # a decoder raises any error; the pictures are good
                self.notes.append(f"the sound ends after {self.seconds:.1f} s: {reason_of(error)}")
                frame = None
            if frame is None:
                self.frames, self.seconds = iter(()), math.inf
                return
            self.seconds = end_of(frame)
            writer.add_sound(frame)


def cut_video(
    uri: str,
    span: tuple[float, float],
    out: str,
    joined_size: tuple[int, int] | None = None,
    *,
    report: Report,
) -> Cut:
    """Encode the frames that begin in [start, end) as H.264, with their sound as AAC, into MP4.

    The frames keep their times; the first one is at 0.

    Args:
        uri: A video.
        span: Start and end in seconds.
        out: Path of the file to write; it exists.
        joined_size: Pixels of a part of a joined video: MOV with a fixed size and sound
            without loss, silent where the source is.
        report: Receives the progress.

    Raises:
        MediaError: The file cannot be opened, or has no frame in the span.
    """
    start, end = span
    with ExitStack() as stack:
        source = stack.enter_context(open_frames(stack.enter_context(open_source(uri)), threads=0))
        sound = _open_sound(uri, stack) if source.has_sound else None
        file: BinaryIO = stack.enter_context(open(out, "r+b"))
        fitter = PictureFitter(_aspect_of(source), joined_size)
        writer: ClipWriter | None = None
        feed: _SoundFeed | None = None
        first = last = start
        for shown in frames_between(source, start, end, lambda: report(0.0)):
            picture = fitter.fit(shown.picture)
            if writer is None:
                first = shown.start_seconds
                feed = _feed_of(sound, (first, end), joined=joined_size is not None)
                pictures = _picture_format(source, picture, fitter.aspect_of(shown.picture))
                if joined_size is not None:
                    pictures = PictureFormat(*joined_size, Fraction(1), JOINED_RATE, JOINED_TICKS)
                kind = "mp4" if joined_size is None else "mov"
                sound_format = None if feed is None else feed.sound
                writer = stack.enter_context(open_writer(file, kind, pictures, sound_format))
            last = shown.end_seconds
            writer.add_picture(picture, shown.start_seconds - first, last - first)
            if feed is not None:
                feed.write_until(writer, min(last, end + HELD_SECONDS) - first)
            report(last - first)
        if writer is None:
            raise DamagedMediaError("no frame in this span can be decoded; check the file")
    notes = [] if feed is None else feed.notes
    return Cut(first, last, (*notes, *_shorter(span, last)))


def cut_recording(uri: str, span: tuple[float, float], out: str, report: Report) -> Cut:
    """Encode the samples of [start, end) as FLAC.

    Raises:
        MediaError: The file cannot be opened, or has no sound in the span.
    """
    start, end = span
    with ExitStack() as stack:
        sound = stack.enter_context(open_clip_sound(stack.enter_context(open_source(uri))))
        file: BinaryIO = stack.enter_context(open(out, "r+b"))
        kind = SoundFormat("flac", sound.sample_rate_hz, sound.layout, sound.deep)
        writer: ClipWriter | None = None
        seconds = 0.0
        for frame in sound.frames(start, end):
            if writer is None:
                writer = stack.enter_context(open_writer(file, "flac", None, kind))
            writer.add_sound(frame)
            seconds = end_of(frame)
            report(seconds)
        if writer is None:
            raise DamagedMediaError("no sound in this span can be decoded; check the file")
    return Cut(start, start + seconds, _shorter(span, start + seconds))


def _shorter(span: tuple[float, float], end_seconds: float) -> tuple[str, ...]:
    missing = span[1] - end_seconds
    if missing <= HELD_SECONDS or math.isinf(missing):
        return ()
    return (f"the file ends {missing:.1f} s before the end of the span",)


def _open_sound(uri: str, stack: ExitStack) -> ClipSound | None:
    """Open the sound with a file of its own, because pictures and sound are read in turns."""
    try:
        return stack.enter_context(open_clip_sound(stack.enter_context(open_source(uri))))
    except MediaError:
        return None


def _feed_of(
    sound: ClipSound | None, span: tuple[float, float], *, joined: bool
) -> _SoundFeed | None:
    start, end = span[0], span[1] + HELD_SECONDS
    if not joined:
        if sound is None:
            return None
        return _SoundFeed(sound.frames(start, end), aac_format(sound.sample_rate_hz, sound.layout))
    joined_format = SoundFormat("pcm_s16le", JOINED_RATE_HZ, JOINED_LAYOUT)
    if sound is None:
        silence = as_frame(_silence(1), JOINED_LAYOUT, JOINED_RATE_HZ, 0)
        return _SoundFeed(iter([silence]), joined_format)
    return _SoundFeed(sound.frames(start, end), joined_format)


def _silence(samples: int) -> Any:
    import numpy as np

    return np.zeros((samples, 2), np.float32)


def _aspect_of(source: FrameSource) -> Fraction:
    if not isinstance(source, FrameReader):
        return Fraction(1)
    aspect = source.stream.sample_aspect_ratio or source.stream.codec_context.sample_aspect_ratio
    return Fraction(aspect) if aspect and Fraction(1, 16) <= aspect <= 16 else Fraction(1)


def _picture_format(source: FrameSource, picture: av.VideoFrame, aspect: Fraction) -> PictureFormat:
    rate, ticks = Fraction(10), MIN_ANIMATION_TICKS
    if isinstance(source, FrameReader):
        stream = source.stream
        rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        ticks = ticks_of(Fraction(stream.time_base or Fraction(1, av.time_base)))
    rate = min(max(rate, Fraction(1)), Fraction(1_000))
    colour = (int(picture.colorspace), int(picture.color_primaries), int(picture.color_trc))
    return PictureFormat(picture.width, picture.height, aspect, rate, ticks, colour)


MIN_ANIMATION_TICKS = 16_000
"""Animations have times in milliseconds."""
