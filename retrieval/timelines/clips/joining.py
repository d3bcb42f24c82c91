"""Join parts of equal format to one video: pictures are copied, sound is encoded in one piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av
import av.container
import numpy as np

from retrieval.errors import DamagedMediaError
from retrieval.timelines.clips.cutting import (
    JOINED_LAYOUT,
    JOINED_RATE,
    JOINED_RATE_HZ,
    JOINED_TICKS,
    Cut,
    Report,
)
from retrieval.timelines.clips.pictures import PictureFitter
from retrieval.timelines.clips.sound import as_frame, end_of, open_clip_sound
from retrieval.timelines.clips.writer import (
    PictureFormat,
    SoundFormat,
    aac_format,
    open_output,
    open_writer,
)
from retrieval.timelines.source_files import open_source
from retrieval.timelines.stills import read_still
from retrieval.types import Medium

STILL_SECONDS = 3.0
"""Time for which an image is shown."""

STILL_RATE = 25


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a joined video: a file, and how long it is shown."""

    path: str
    seconds: float


def still_part(
    uri: str,
    modality: Medium,
    span: tuple[float, float],
    out: str,
    size: tuple[int, int],
    report: Report,
) -> Cut:
    """Write a part that shows an image, or the shape of a recording while it sounds.

    Raises:
        MediaError: The file cannot be read.
    """
    picture = read_still(uri, modality, span, size)
    pictures = PictureFormat(*size, Fraction(1), JOINED_RATE, JOINED_TICKS)
    sound_format = SoundFormat("pcm_s16le", JOINED_RATE_HZ, JOINED_LAYOUT)
    with ExitStack() as stack:
        frames: Iterator[av.AudioFrame] = iter(())
        if modality is Medium.AUDIO:
            sound = stack.enter_context(open_clip_sound(stack.enter_context(open_source(uri))))
            frames = sound.frames(*span)
        file: BinaryIO = stack.enter_context(open(out, "r+b"))
        writer = stack.enter_context(open_writer(file, "mov", pictures, sound_format))
        seconds = 0.0 if modality is Medium.AUDIO else STILL_SECONDS
        for frame in frames:
            seconds = end_of(frame)
            writer.add_sound(frame)
        if modality is not Medium.AUDIO:
            silence = np.zeros((1, 2), np.float32)
            writer.add_sound(as_frame(silence, JOINED_LAYOUT, JOINED_RATE_HZ, 0))
        fitter = PictureFitter(size=size)
        for number in range(max(1, round(seconds * STILL_RATE))):
            start = number / STILL_RATE
            writer.add_picture(fitter.fit(picture), start, start + 1 / STILL_RATE)
            report(start)
    return Cut(span[0], span[0] + max(1, round(seconds * STILL_RATE)) / STILL_RATE)


def join(parts: Sequence[Part], out: str, report: Report) -> float:
    """Write the parts one after the other into MP4; return the seconds of the whole.

    Args:
        parts: Files of `cut_video` with one `joined_size`, and of `still_part`.
        out: Path of the file to write; it exists.
        report: Receives the progress.
    """
    with ExitStack() as stack:
        file: BinaryIO = stack.enter_context(open(out, "r+b"))
        output = stack.enter_context(open_output(file, "mp4"))
        sound = aac_format(JOINED_RATE_HZ, JOINED_LAYOUT)
        # FFmpeg takes the part of a name before a colon for a protocol; Python opens any name.
        first_file = stack.enter_context(open(parts[0].path, "rb"))
        first = stack.enter_context(av.open(first_file))
        video = output.add_stream_from_template(first.streams.video[0], opaque=True)
        audio: Any = output.add_stream(sound.codec, rate=sound.rate_hz, layout=sound.layout)
        audio.codec_context.bit_rate = 192_000
        extradata = first.streams.video[0].codec_context.extradata
        joiner = _Joiner(output, video, audio)
        for part in parts:
            with open(part.path, "rb") as part_file, av.open(part_file, "r") as container:
                if container.streams.video[0].codec_context.extradata != extradata:
                    raise DamagedMediaError("the parts of the video differ in format")
                joiner.add(container, part.seconds)
            report(joiner.seconds)
        output.mux(audio.encode(None))
    return joiner.seconds


class _Joiner:
    """Appends parts to an output."""

    def __init__(self, output: av.container.OutputContainer, video: Any, audio: Any) -> None:
        self._output = output
        self._video = video
        self._audio = audio
        self._samples = 0
        self._last_dts: int | None = None
        self.seconds = 0.0

    def add(self, container: av.container.InputContainer, seconds: float) -> None:
        """Append one part."""
        self._add_sound(container, seconds)
        stream: Any = container.streams.video[0]
        shift = round(self.seconds / float(stream.time_base))
        packets: Iterator[Any] = container.demux(stream)
        for packet in packets:
            if not packet.size:
                continue
            packet.pts += shift
            dts = packet.dts + shift
            if self._last_dts is not None:
                dts = max(dts, self._last_dts + 1)
            packet.dts = self._last_dts = dts
            packet.stream = self._video
            self._output.mux(packet)
        self.seconds += seconds

    def _add_sound(self, container: av.container.InputContainer, seconds: float) -> None:
        """Encode the sound of a part, with silence up to its end."""
        end = round((self.seconds + seconds) * JOINED_RATE_HZ)
        resampler = av.AudioResampler(format="flt", layout=JOINED_LAYOUT, rate=JOINED_RATE_HZ)
        for frame in container.decode(audio=0):
            for part in resampler.resample(frame):
                self._encode(part.to_ndarray().reshape(-1, 2)[: end - self._samples])
        container.seek(0)
        while self._samples < end:
            self._encode(np.zeros((min(JOINED_RATE_HZ, end - self._samples), 2), np.float32))

    def _encode(self, samples: np.ndarray) -> None:
        if len(samples):
            frame = as_frame(samples, JOINED_LAYOUT, JOINED_RATE_HZ, self._samples)
            self._samples += len(samples)
            self._output.mux(self._audio.encode(frame))
