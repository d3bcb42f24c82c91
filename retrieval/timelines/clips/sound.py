"""Read the sound of a clip as frames for an encoder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np

from retrieval.media.audio.blocks import BLOCK_SAMPLES, ChannelBlock, Gap
from retrieval.media.audio.downmix import Downmix
from retrieval.media.audio.reader import SoundReader, open_sound

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
"""Layouts of clips by number of channels; other numbers become stereo."""


class ClipSound:
    """The sound of a span, with time stamps from the clip's start.

    Attributes:
        sample_rate_hz: The file's rate.
        layout: FFmpeg's name of the channels of all frames.
        deep: Whether the samples have more than 16 bits.
    """

    def __init__(self, reader: SoundReader, stream: av.AudioStream) -> None:
        self._reader = reader
        context = stream.codec_context
        self.sample_rate_hz = reader.sample_rate_hz
        self.layout = LAYOUTS.get(context.layout.nb_channels, "stereo")
        lossless = context.name.startswith(("pcm_", "flac", "alac", "wavpack", "tta"))
        self.deep = lossless and context.format.name.rstrip("p") in ("s32", "flt", "dbl", "s64")

    def frames(self, start_seconds: float, end_seconds: float) -> Iterator[av.AudioFrame]:
        """Yield float frames that cover a span; gaps are silence.

        Args:
            start_seconds: Start of the span; its sample has the time stamp 0.
            end_seconds: End of the span. The sound may end earlier.
        """
        position = 0
        converter = _LayoutConverter(self.layout, self.sample_rate_hz)
        for piece in self._reader.channels_between(start_seconds, end_seconds):
            for samples in converter.convert(piece):
                frame = as_frame(samples, self.layout, self.sample_rate_hz, position)
                position += len(samples)
                yield frame


@contextmanager
def open_clip_sound(file: BinaryIO) -> Iterator[ClipSound]:
    """Open the sound of a file.

    Raises:
        MediaError: There is no sound that can be decoded.
    """
    with open_sound(file) as reader:
        yield ClipSound(reader, reader.stream)


def as_frame(samples: np.ndarray, layout: str, rate_hz: int, position: int) -> av.AudioFrame:
    """Wrap (n, channels) float32 samples that begin at a position."""
    packed = np.ascontiguousarray(samples, np.float32).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
    frame.sample_rate = rate_hz
    frame.pts, frame.time_base = position, Fraction(1, rate_hz)
    return frame


def end_of(frame: Any) -> float:
    """Return the time in seconds at which an audio frame ends."""
    return float((frame.pts + frame.samples) * frame.time_base)


class _LayoutConverter:
    """Converts blocks, whose channels can change, to one layout."""

    def __init__(self, layout: str, rate_hz: int) -> None:
        self._layout = layout
        self._channels = next(count for count, name in LAYOUTS.items() if name == layout)
        self._rate_hz = rate_hz
        self._resamplers: dict[str, Any] = {}

    def convert(self, piece: ChannelBlock | Gap) -> Iterator[np.ndarray]:
        if isinstance(piece, Gap):
            for first in range(0, piece.samples, BLOCK_SAMPLES):
                count = min(BLOCK_SAMPLES, piece.samples - first)
                yield np.zeros((count, self._channels), np.float32)
            return
        count = piece.samples.shape[1]
        named = "+".join(piece.names) or LAYOUTS.get(count)
        samples = np.nan_to_num(piece.samples)
        if count == self._channels and named is None:
            yield samples
        elif named is None:  # FFmpeg cannot mix unnamed channels
            mono = Downmix().mix(samples, piece.names)
            yield np.repeat(mono[:, np.newaxis], self._channels, axis=1)
        else:
            yield self._remix(samples, named)

    def _remix(self, samples: np.ndarray, layout: str) -> np.ndarray:
        resampler = self._resamplers.get(layout)
        if resampler is None:
            resampler = av.AudioResampler(format="flt", layout=self._layout, rate=self._rate_hz)
            self._resamplers[layout] = resampler
        converted = resampler.resample(as_frame(samples, layout, self._rate_hz, 0))
        parts = [part.to_ndarray().reshape(-1, self._channels) for part in converted]
        return np.concatenate(parts) if parts else np.empty((0, self._channels), np.float32)
