"""Write encoded pictures and sound into one file, interleaved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av
import av.container

MIN_TICKS_PER_SECOND = 10_000
MAX_TICKS_PER_SECOND = 10_000_000

_BUFFER_BYTES = 1 << 20
_LIMITED_RANGE = 1


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """The sound of a file.

    Attributes:
        codec: FFmpeg's name of an encoder.
        rate_hz: Sample rate.
        layout: FFmpeg's name of the channels.
        deep: Whether a lossless codec keeps 24 bits.
    """

    codec: str
    rate_hz: int
    layout: str
    deep: bool = False


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """The pictures of a file.

    Attributes:
        width: Pixels.
        height: Pixels.
        aspect: Width divided by height of a pixel.
        rate: Frames per second that the file declares; each frame has its own time stamp.
        ticks: Time stamps per second.
        colour: FFmpeg's codes of matrix, primaries and transfer; 2 if unknown.
    """

    width: int
    height: int
    aspect: Fraction
    rate: Fraction
    ticks: int
    colour: tuple[int, int, int] = (2, 2, 2)


def aac_format(rate_hz: int, layout: str) -> SoundFormat:
    """Return AAC with the sample rate, or the nearest one that AAC has."""
    rates = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000,
             11_025, 8_000)  # fmt: skip
    rate = rate_hz if rate_hz in rates else min((r for r in rates if r > rate_hz), default=48_000)
    return SoundFormat("aac", rate, layout if layout != "7.1" else "5.1")


def ticks_of(time_base: Fraction) -> int:
    """Return time stamps per second that include every multiple of a time base."""
    ticks = time_base.denominator
    while ticks < MIN_TICKS_PER_SECOND:
        ticks *= 2
    return min(ticks, MAX_TICKS_PER_SECOND)


class ClipWriter:
    """An output file with pictures, sound, or both; created by `open_writer`."""

    def __init__(
        self,
        container: av.container.OutputContainer,
        pictures: PictureFormat | None,
        sound: SoundFormat | None,
    ) -> None:
        self._container = container
        self._video: Any = None if pictures is None else _add_video(container, pictures)
        self._audio: Any = None if sound is None else _add_audio(container, sound)
        self._ticks = Fraction(1, 1 if pictures is None else pictures.ticks)
        self._last_pts = -1
        self._durations: dict[int, int] = {}

    def add_picture(self, frame: av.VideoFrame, start_seconds: float, end_seconds: float) -> None:
        """Encode a frame that is shown in [start, end) of the file."""
        pts = max(round(start_seconds / self._ticks), self._last_pts + 1)
        self._last_pts = pts
        self._durations[pts] = max(1, round(end_seconds / self._ticks) - pts)
        frame.pts, frame.time_base = pts, self._ticks
        frame.pict_type = 0  # the encoder chooses the keyframes
        self._mux_video(self._video.encode(frame))

    def add_sound(self, frame: av.AudioFrame) -> None:
        """Encode sound with time stamps from the file's start."""
        self._container.mux(self._audio.encode(frame))

    def finish(self) -> None:
        """Write what the encoders still hold."""
        if self._video is not None:
            self._mux_video(self._video.encode(None))
        if self._audio is not None:
            self._container.mux(self._audio.encode(None))

    def _mux_video(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts, packet.duration)
            self._container.mux(packet)


@contextmanager
def open_writer(
    file: BinaryIO, kind: str, pictures: PictureFormat | None, sound: SoundFormat | None
) -> Iterator[ClipWriter]:
    """Open a file for writing.

    Args:
        file: Open for reading and writing, seekable.
        kind: FFmpeg's name of the container.
        pictures: None for a recording.
        sound: None for a silent video.
    """
    with open_output(file, kind) as container:
        writer = ClipWriter(container, pictures, sound)
        yield writer
        writer.finish()


@contextmanager
def open_output(file: BinaryIO, kind: str) -> Iterator[av.container.OutputContainer]:
    """Open a container that is written into a file; FFmpeg opens no other file."""
    with av.open(file, "w", format=kind, buffer_size=_BUFFER_BYTES) as container:
        yield container


def _add_video(container: av.container.OutputContainer, pictures: PictureFormat) -> Any:
    stream = container.add_stream("libx264", rate=pictures.rate.limit_denominator(1 << 20))
    context = stream.codec_context
    context.width, context.height = pictures.width, pictures.height
    context.pix_fmt = "yuv420p"
    context.time_base = Fraction(1, pictures.ticks)
    context.sample_aspect_ratio = pictures.aspect.limit_denominator(1 << 15)
    context.colorspace, context.color_primaries, context.color_trc = pictures.colour
    context.color_range = _LIMITED_RANGE
    context.gop_size = max(1, min(250, round(2 * pictures.rate)))
    stream.options = {"preset": "veryfast", "crf": "18"}
    return stream


def _add_audio(container: av.container.OutputContainer, sound: SoundFormat) -> Any:
    stream: Any = container.add_stream(sound.codec, rate=sound.rate_hz, layout=sound.layout)
    if sound.codec == "aac":
        channels = stream.codec_context.layout.nb_channels
        stream.codec_context.bit_rate = min(96_000 * channels, 4 * sound.rate_hz * channels)
    elif sound.codec == "flac":
        stream.codec_context.format = "s32" if sound.deep else "s16"
    return stream
