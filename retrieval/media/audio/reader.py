"""Read a recording, or the sound of a video, as a stream of mono blocks at one sample rate.

FFmpeg decodes. Positions follow the time stamps: missing packets leave a gap, overlapping ones are
trimmed. Only one block is held in memory. A recording that is cut short raises an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import av
import av.container
import av.error
import numpy as np
import soxr
from numpy.typing import NDArray

from retrieval.errors import (
    DamagedMediaError,
    MediaError,
    MediaTooLargeError,
    UnsupportedMediaError,
)
from retrieval.media.audio.downmix import Downmix
from retrieval.media.containers.joined import split_joined
from retrieval.media.containers.reading import (
    audio_stream,
    check_end,
    decode_packet,
    open_container,
    possible_seconds,
)
from retrieval.media.containers.timeline import Timeline
from retrieval.media.damage import Damage
from retrieval.media.files import opened

Samples = NDArray[np.float32]

MAX_CHANNELS = 64
SAMPLE_RATES_HZ = range(1_000, 1_000_000)
BLOCK_SAMPLES = 1 << 16
"""Smaller frames are joined to blocks of at least this size."""

_TOLERANCE_SECONDS = 0.06
"""Smaller deviations of time stamps are rounding; the sound counts as continuous."""


_MAX_LAG_SECONDS = 1.0
"""Sound of an AVI that falls further behind the pictures stored beside it has a gap."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch without sound between time stamps, `samples` long."""

    samples: int


@dataclass(frozen=True, slots=True)
class _ChannelBlock:
    """Decoded sound: (n, channels) float32, and FFmpeg's channel names if known."""

    samples: Samples
    names: tuple[str, ...]

    def has_channels_of(self, other: _ChannelBlock) -> bool:
        same_count = self.samples.shape[1] == other.samples.shape[1]
        return same_count and self.names == other.names


class SoundReader:
    """One open recording, created by `open_sound`.

    Attributes:
        sample_rate_hz: The file's own rate.
        damage: Packets and sound that were left out so far.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.AudioStream,
        file: BinaryIO,
        damage: Damage | None = None,
    ) -> None:
        self._container = container
        self._stream = stream
        self._file = file
        self.damage = damage or Damage()
        self._timeline = Timeline(container, self.damage)
        self._position = 0  # end of the sound read so far, in samples
        self.sample_rate_hz = int(stream.codec_context.sample_rate or 0)
        _check_channels(stream.codec_context.layout.nb_channels)
        if self.sample_rate_hz not in SAMPLE_RATES_HZ:
            raise DamagedMediaError(
                f"sample rate {self.sample_rate_hz} Hz, expected {SAMPLE_RATES_HZ.start:,} to "
                f"{SAMPLE_RATES_HZ.stop:,}; replace the file"
            )

    @property
    def seconds_read(self) -> float:
        """Length read so far, including gaps."""
        return self._position / self.sample_rate_hz

    @property
    def end_seconds(self) -> float:
        """End of what was read so far, including the pictures."""
        return self._timeline.end_seconds

    def mono(self, sample_rate_hz: int) -> Iterator[Samples]:
        """Yield the sound as consecutive (n,) float32 blocks of one channel, with gaps as silence.

        Raises:
            DamagedMediaError: No samples, NaN or infinite samples, cut short, or a gap that is
                longer than a file of this size can last.
            MediaTooLargeError: More than `MAX_CHANNELS` channels.
        """
        max_samples = possible_seconds(self._container.size) * sample_rate_hz
        for piece in self.pieces(sample_rate_hz):
            if not isinstance(piece, Gap):
                yield piece
                continue
            if piece.samples > max_samples:
                raise DamagedMediaError(
                    f"a gap of {piece.samples / sample_rate_hz:,.0f} s, more than a file of "
                    f"{self._container.size:,} bytes can hold; write the recording again"
                )
            for first in range(0, piece.samples, BLOCK_SAMPLES):
                yield np.zeros(min(BLOCK_SAMPLES, piece.samples - first), np.float32)

    def pieces(self, sample_rate_hz: int) -> Iterator[Samples | Gap]:
        """Yield the blocks of `mono`, and each gap as one `Gap` of any length."""
        return resample(self._mono_pieces(), self.sample_rate_hz, sample_rate_hz)

    def _mono_pieces(self) -> Iterator[Samples | Gap]:
        mixer = Downmix()
        has_sound = False
        for piece in _join_blocks(self._positioned_pieces()):
            if isinstance(piece, Gap):
                self._position += piece.samples
                yield piece
            else:
                has_sound = True
                yield self._mix(mixer, piece)
        if not has_sound:
            raise DamagedMediaError("the recording holds no sound; replace the file")
        missing = self._timeline.lag_growth_seconds(self._stream)
        if missing > _MAX_LAG_SECONDS:
            self.damage.note(
                f"about {missing:.1f} s of sound are missing; an AVI has no time stamps, so what "
                "follows the gap is early"
            )
        end = max(self.seconds_read, self._timeline.end_seconds)
        check_end(self._container, self._file, end, self.damage, last_byte=self._timeline.last_byte)

    def _mix(self, mixer: Downmix, block: _ChannelBlock) -> Samples:
        mono = mixer.mix(block.samples, block.names)
        if not np.isfinite(mono).all():
            raise DamagedMediaError(
                f"NaN or infinite samples after second {self.seconds_read:.1f}; "
                "write the recording again"
            )
        self._position += len(mono)
        return mono

    def _positioned_pieces(self) -> Iterator[_ChannelBlock | Gap]:
        """Yield the decoded sound with gaps inserted and overlaps removed."""
        end = 0  # of the sound yielded so far, in samples
        trimmed = 0
        for start, block in self._decoded_blocks():
            late = 0 if start is None else start - end
            # The first gap has no tolerance, so that sound and frames begin together.
            if late > (_TOLERANCE_SECONDS * self.sample_rate_hz if end else 0):
                yield Gap(late)
                end += late
            elif late < -_TOLERANCE_SECONDS * self.sample_rate_hz:
                trimmed += min(-late, len(block.samples))
                block = _ChannelBlock(block.samples[-late:], block.names)
            if len(block.samples):
                yield block
                end += len(block.samples)
                self._timeline.extend_to(self._stream, end / self.sample_rate_hz)
        if trimmed:
            self.damage.note(
                f"{trimmed / self.sample_rate_hz:.1f} s of sound overlap what comes before; "
                "left out"
            )

    def _decoded_blocks(self) -> Iterator[tuple[int | None, _ChannelBlock]]:
        """Yield each block with its first sample's position, None if it follows the last block."""
        converter = _Converter(self.sample_rate_hz)
        origin = self._timeline.origin_seconds
        for packet in self._timeline.packets(self._stream):
            for frame in decode_packet(packet, self.damage):
                start = None
                if frame.pts is not None and frame.time_base:
                    seconds = float(frame.pts * frame.time_base) - origin
                    start = round(seconds * self.sample_rate_hz)
                try:
                    blocks = converter.convert(frame)
                except (av.error.FFmpegError, ValueError):
                    self.damage.add_packet()
                    continue
                for block in blocks:
                    yield start, block
                    start = None


class JoinedSound(SoundReader):
    """Sound of files joined byte by byte; each begins where the sound and pictures before it end.

    Attributes:
        sample_rate_hz: The first file's own rate.
        damage: Packets and sound that were left out so far.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.AudioStream,
        file: BinaryIO,
        others: Sequence[BinaryIO],
    ) -> None:
        super().__init__(container, stream, file)
        self._others = others
        self._seconds_before = 0.0  # start of the current file
        self._current: SoundReader | None = None  # None: the first one

    @property
    def seconds_read(self) -> float:
        """Length read so far, including gaps."""
        if self._current is None:
            return super().seconds_read
        return self._seconds_before + self._current.seconds_read

    def pieces(self, sample_rate_hz: int) -> Iterator[Samples | Gap]:
        """Yield the blocks of `mono`, and each gap as one `Gap` of any length."""
        written = 0
        for piece in super().pieces(sample_rate_hz):
            written += piece.samples if isinstance(piece, Gap) else len(piece)
            yield piece
        end = self._timeline.end_seconds
        for file in self._others:
            with ExitStack() as opened_files:
                try:
                    container = opened_files.enter_context(open_container(file))
                except MediaError as error:
                    size = file.seek(0, os.SEEK_END)
                    self.damage.note(f"a joined part of {size:,} bytes is left out ({error})")
                    continue
                self.damage.note("the clock of the file restarts; time goes on from there")
                stream = audio_stream(container)
                if stream is None:
                    timeline = Timeline(container, self.damage)
                    for _ in timeline.packets(container.streams[0]):
                        pass
                    end += timeline.end_seconds
                    continue
                start = max(round(end * sample_rate_hz), written)
                if start > written:
                    yield Gap(start - written)
                    written = start
                self._current = SoundReader(container, stream, file, self.damage)
                self._seconds_before = start / sample_rate_hz
                for piece in self._current.pieces(sample_rate_hz):
                    written += piece.samples if isinstance(piece, Gap) else len(piece)
                    yield piece
                end = self._seconds_before + self._current.end_seconds


def _join_blocks(pieces: Iterable[_ChannelBlock | Gap]) -> Iterator[_ChannelBlock | Gap]:
    """Join consecutive blocks with the same channels to at least `BLOCK_SAMPLES` samples."""
    parts: list[_ChannelBlock] = []

    def join() -> Iterator[_ChannelBlock]:
        if parts:
            yield _ChannelBlock(np.concatenate([part.samples for part in parts]), parts[0].names)
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


class _Converter:
    """Converts decoded frames, whose format can change, to float32 at one sample rate."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._format: tuple[str, str, int] | None = None
        self._resampler: av.AudioResampler | None = None
        self._names: tuple[str, ...] = ()

    def convert(self, frame: av.AudioFrame) -> list[_ChannelBlock]:
        """Return the blocks that a frame completes."""
        channels = len(frame.layout.channels)
        _check_channels(channels)
        frame_format = (frame.format.name, frame.layout.name, int(frame.sample_rate))
        if frame_format != self._format or self._resampler is None:
            self._format = frame_format
            self._resampler = av.AudioResampler(format="flt", rate=self._rate_hz)
            names = tuple(channel.name for channel in frame.layout.channels)
            self._names = names if set(names).isdisjoint(("NONE", "UNK")) else ()
        return [
            _ChannelBlock(
                np.asarray(part.to_ndarray(), np.float32).reshape(-1, channels), self._names
            )
            for part in self._resampler.resample(frame)
        ]


def _check_channels(channels: int) -> None:
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


@contextmanager
def open_sound(file: BinaryIO | str) -> Iterator[SoundReader]:
    """Open a recording, or the sound of a video.

    Args:
        file: An open, seekable file, or a path.

    Raises:
        UnsupportedMediaError: No sound that FFmpeg decodes.
    """
    with opened(file) as stream:
        first, *others = split_joined(stream)
        with open_container(first) as container:
            sound = audio_stream(container)
            if sound is None:
                raise UnsupportedMediaError("no audio stream that can be decoded in this file")
            yield JoinedSound(container, sound, first, others)
