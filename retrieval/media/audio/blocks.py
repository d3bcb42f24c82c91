"""Blocks of decoded sound: their conversion to float32, joining and resampling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from retrieval.errors import MediaTooLargeError

Samples = NDArray[np.float32]

MAX_CHANNELS = 64
BLOCK_SAMPLES = 1 << 16
"""Smaller frames are joined to blocks of at least this size."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch without sound between time stamps, `samples` long."""

    samples: int


@dataclass(frozen=True, slots=True)
class ChannelBlock:
    """Decoded sound: (n, channels) float32, and FFmpeg's channel names if known."""

    samples: Samples
    names: tuple[str, ...]

    def has_channels_of(self, other: ChannelBlock) -> bool:
        """Whether another block has the same channels."""
        same_count = self.samples.shape[1] == other.samples.shape[1]
        return same_count and self.names == other.names


def join_blocks(pieces: Iterable[ChannelBlock | Gap]) -> Iterator[ChannelBlock | Gap]:
    """Join consecutive blocks with the same channels to at least `BLOCK_SAMPLES` samples."""
    parts: list[ChannelBlock] = []

    def join() -> Iterator[ChannelBlock]:
        if parts:
            yield ChannelBlock(np.concatenate([part.samples for part in parts]), parts[0].names)
            parts.clear()

    for piece in pieces:
        if isinstance(piece, Gap):
            yield from join()
            yield piece
            continue
        if parts and not parts[0].has_channels_of(piece):
            yield from join()
        parts.append(piece)
        if sum(len(part.samples) for part in parts) >= BLOCK_SAMPLES:
            yield from join()
    yield from join()


class BlockConverter:
    """Converts decoded frames, whose format can change, to float32 at one sample rate."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._format: tuple[str, str, int] | None = None
        self._resampler: av.AudioResampler | None = None
        self._names: tuple[str, ...] = ()

    def convert(self, frame: av.AudioFrame) -> list[ChannelBlock]:
        """Return the blocks that a frame completes."""
        channels = len(frame.layout.channels)
        check_channels(channels)
        frame_format = (frame.format.name, frame.layout.name, int(frame.sample_rate))
        if frame_format != self._format or self._resampler is None:
            self._format = frame_format
            self._resampler = av.AudioResampler(format="flt", rate=self._rate_hz)
            names = tuple(channel.name for channel in frame.layout.channels)
            self._names = names if set(names).isdisjoint(("NONE", "UNK")) else ()
        return [
            ChannelBlock(
                np.asarray(part.to_ndarray(), np.float32).reshape(-1, channels), self._names
            )
            for part in self._resampler.resample(frame)
        ]


def check_channels(channels: int) -> None:
    """Refuse sound of more channels than any real recording has.

    Raises:
        MediaTooLargeError: There are too many.
    """
    if channels > MAX_CHANNELS:
        raise MediaTooLargeError(
            f"{channels} channels, at most {MAX_CHANNELS} are read; mix it down"
        )


def resample(pieces: Iterable[Samples | Gap], from_hz: int, to_hz: int) -> Iterator[Samples | Gap]:
    """Convert a stream of (n,) float32 blocks and gaps to another sample rate."""
    if from_hz == to_hz:
        yield from pieces
        return
    stream: soxr.ResampleStream | None = None
    read = written = 0
    for piece in pieces:
        if isinstance(piece, Gap):
            if stream is not None:
                rest = stream.resample_chunk(np.empty(0, np.float32), last=True)
                written += len(rest)
                yield rest
                stream = None
            read += piece.samples
            gap = Gap(max(0, round(read * to_hz / from_hz) - written))
            written += gap.samples
            yield gap
            continue
        stream = stream or soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")
        read += len(piece)
        block = stream.resample_chunk(piece)
        written += len(block)
        yield block
    if stream is not None:
        yield stream.resample_chunk(np.empty(0, np.float32), last=True)
