"""Read a recording, or the sound of a video, as a stream of mono blocks at one sample rate.

FFmpeg decodes. Positions follow the time stamps: missing packets leave a gap, overlapping ones are
trimmed. Only one block is held in memory. A recording that is cut short raises an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

import av
import av.container
import av.error
import numpy as np

from retrieval.errors import (
    DamagedMediaError,
    MediaError,
    UnsupportedMediaError,
)
from retrieval.media.audio.blocks import (
    BLOCK_SAMPLES,
    BlockConverter,
    ChannelBlock,
    Gap,
    Samples,
    check_channels,
    join_blocks,
    resample,
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

SAMPLE_RATES_HZ = range(1_000, 1_000_000)
_TOLERANCE_SECONDS = 0.06
"""Smaller deviations of time stamps are rounding; the sound counts as continuous."""


_PREROLL_SECONDS = 0.5
"""Sound that a decoder reads before a span, because its packets depend on earlier ones."""

_MAX_LAG_SECONDS = 1.0
"""Sound of an AVI that falls further behind the pictures stored beside it has a gap."""

_INDEXED_FORMATS = ("mov", "matroska")
"""Containers whose index leads to the packets of a time."""

_MAX_SECONDS = 1e9
"""Stands for an infinite end."""


class SoundReader:
    """One open recording, created by `open_sound`.

    Attributes:
        stream: The audio stream.
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
        self.stream = stream
        self._file = file
        self.damage = damage or Damage()
        self._timeline = Timeline(container, self.damage)
        self._position = 0  # end of the sound read so far, in samples
        self.sample_rate_hz = int(stream.codec_context.sample_rate or 0)
        check_channels(stream.codec_context.layout.nb_channels)
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
        for piece in self.pieces(sample_rate_hz):
            if not isinstance(piece, Gap):
                yield piece
                continue
            self._check_gap(piece.samples, sample_rate_hz)
            for first in range(0, piece.samples, BLOCK_SAMPLES):
                yield np.zeros(min(BLOCK_SAMPLES, piece.samples - first), np.float32)

    def pieces(self, sample_rate_hz: int) -> Iterator[Samples | Gap]:
        """Yield the blocks of `mono`, and each gap as one `Gap` of any length."""
        return resample(self._mono_pieces(), self.sample_rate_hz, sample_rate_hz)

    def _check_gap(self, samples: int, sample_rate_hz: int) -> None:
        seconds = samples / sample_rate_hz
        if seconds > possible_seconds(self._container.size):
            raise DamagedMediaError(
                f"a gap of {seconds:,.0f} s, more than a file of {self._container.size:,} bytes "
                "can hold; write the recording again"
            )

    def channels_between(
        self, start_seconds: float, end_seconds: float
    ) -> Iterator[ChannelBlock | Gap]:
        """Yield the sound of a span with its channels, from its first sample to its last.

        The sound of a file that ends within the span is shorter. Files with an index are read from
        shortly before the span, others from their beginning.
        """
        first = round(start_seconds * self.sample_rate_hz)
        last = round(min(end_seconds, _MAX_SECONDS) * self.sample_rate_hz)
        position = 0
        self._seek(start_seconds - _PREROLL_SECONDS)
        for piece in self._positioned_pieces(start_seconds, end_seconds):
            length = piece.samples if isinstance(piece, Gap) else len(piece.samples)
            skip = max(0, first - position)
            keep = min(length, last - position)
            position += length
            if keep <= skip:
                if position >= last:
                    return
                continue
            if isinstance(piece, Gap):
                self._check_gap(keep - skip, self.sample_rate_hz)
                yield Gap(keep - skip)
            else:
                yield ChannelBlock(piece.samples[skip:keep], piece.names)

    def _seek(self, seconds: float) -> None:
        """Seek to a packet before a time, where the container has an index."""
        indexed = self._container.format.name.split(",")[0] in _INDEXED_FORMATS
        if seconds <= 0 or not indexed or not self.stream.time_base:
            return
        offset = round((seconds + self._timeline.origin_seconds) / self.stream.time_base)
        try:
            self._container.seek(offset, stream=self.stream)
            packets = self._container.demux(self.stream)
            first = next((packet.pts for packet in packets if packet.pts is not None), None)
            is_late = first is None or first > offset
            self._container.seek(0 if is_late else offset, stream=self.stream)
        except av.error.FFmpegError:
            self._container.seek(0)

    def _mono_pieces(self) -> Iterator[Samples | Gap]:
        mixer = Downmix()
        has_sound = False
        for piece in join_blocks(self._positioned_pieces()):
            if isinstance(piece, Gap):
                self._position += piece.samples
                yield piece
            else:
                has_sound = True
                yield self._mix(mixer, piece)
        if not has_sound:
            raise DamagedMediaError("the recording holds no sound; replace the file")
        missing = self._timeline.lag_growth_seconds(self.stream)
        if missing > _MAX_LAG_SECONDS:
            self.damage.note(
                f"about {missing:.1f} s of sound are missing; an AVI has no time stamps, so what "
                "follows the gap is early"
            )
        end = max(self.seconds_read, self._timeline.end_seconds)
        check_end(self._container, self._file, end, self.damage, last_byte=self._timeline.last_byte)

    def _mix(self, mixer: Downmix, block: ChannelBlock) -> Samples:
        mono = mixer.mix(block.samples, block.names)
        if not np.isfinite(mono).all():
            raise DamagedMediaError(
                f"NaN or infinite samples after second {self.seconds_read:.1f}; "
                "write the recording again"
            )
        self._position += len(mono)
        return mono

    def _positioned_pieces(
        self, start_seconds: float = 0.0, end_seconds: float = np.inf
    ) -> Iterator[ChannelBlock | Gap]:
        """Yield the decoded sound with gaps inserted and overlaps removed.

        Sound well before the start and after the end is not decoded.
        """
        end = 0  # of the sound yielded so far, in samples
        trimmed = 0
        for start, block in self._decoded_blocks(start_seconds, end_seconds):
            late = 0 if start is None else start - end
            # The beginning has no tolerance, so that sound and frames begin together.
            tolerance = _TOLERANCE_SECONDS * self.sample_rate_hz if end else 0
            if late > tolerance:
                yield Gap(late)
                end += late
            elif late < -tolerance:
                trimmed += min(-late, len(block.samples)) if end else 0
                block = ChannelBlock(block.samples[-late:], block.names)
            if len(block.samples):
                yield block
                end += len(block.samples)
                self._timeline.extend_to(self.stream, end / self.sample_rate_hz)
        if trimmed:
            self.damage.note(
                f"{trimmed / self.sample_rate_hz:.1f} s of sound overlap what comes before; "
                "left out"
            )

    def _decoded_blocks(
        self, start_seconds: float, end_seconds: float
    ) -> Iterator[tuple[int | None, ChannelBlock]]:
        """Yield each block with its first sample's position, None if it follows the last block."""
        converter = BlockConverter(self.sample_rate_hz)
        origin = self._timeline.origin_seconds
        for packet in self._timeline.packets(self.stream):
            if packet.pts is not None and packet.time_base:
                seconds = float(packet.pts * packet.time_base) - origin
                if seconds < start_seconds - _PREROLL_SECONDS:
                    continue
                if seconds > end_seconds + _PREROLL_SECONDS:
                    return
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
