"""Sound: any recording, and the sound of videos, as a stream of mono blocks at one sample rate.

FFmpeg decodes. Time comes from the time stamps: where packets are missing there is a gap, where
they overlap the later ones are trimmed. Nothing is held beyond one block, so ten hours cost the
memory of a second. A recording that is cut short is an error, not a shorter recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import av
import av.container
import av.error
import numpy as np
import soxr
from numpy.typing import NDArray

from retrieval.errors import DamagedMediaError, MediaTooLargeError, UnsupportedMediaError
from retrieval.media.audio.downmix import Downmix
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

Block = NDArray[np.float32]

MAX_CHANNELS = 64
SAMPLE_RATES_HZ = range(1_000, 1_000_000)
BLOCK_SAMPLES = 1 << 16
"""Small frames are joined to blocks of this size at least."""

_TOLERANCE_SECONDS = 0.06
"""Time stamps that are off by less follow from rounding; the sound is taken to be unbroken."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch without any sound, where the time stamps leave one; lasts `samples`."""

    samples: int


@dataclass(frozen=True, slots=True)
class Channels:
    """Decoded sound: (samples, channels) float32, and what FFmpeg calls the channels, if known."""

    block: Block
    names: tuple[str, ...]


class SoundReader:
    """One open recording, made by `open_sound`.

    Attributes:
        sample_rate_hz: The file's own rate.
        damage: What is skipped or left out so far.
    """

    def __init__(
        self, container: av.container.InputContainer, stream: av.AudioStream, file: BinaryIO
    ) -> None:
        self._container = container
        self._stream = stream
        self._file = file
        self.damage = Damage()
        self._timeline = Timeline(container, self.damage)
        self._position = 0  # end of what was read, in samples from the file's beginning
        self.sample_rate_hz = int(stream.codec_context.sample_rate or 0)
        channels = stream.codec_context.layout.nb_channels
        if channels > MAX_CHANNELS:
            raise _too_many(channels)
        if self.sample_rate_hz not in SAMPLE_RATES_HZ:
            raise DamagedMediaError(
                f"sample rate {self.sample_rate_hz} Hz, expected {SAMPLE_RATES_HZ.start:,} to "
                f"{SAMPLE_RATES_HZ.stop:,}; replace the file"
            )

    @property
    def damaged_packets(self) -> int:
        """Packets that had to be skipped so far."""
        return self.damage.packets

    @property
    def seconds_read(self) -> float:
        """Length of what was read so far, gaps included; the whole length at its end."""
        return self._position / self.sample_rate_hz

    def mono(self, sample_rate_hz: int) -> Iterator[Block]:
        """Yield the sound as consecutive (n,) float32 blocks of one channel; gaps are silence.

        Raises:
            DamagedMediaError: No sample at all, NaN or infinite samples, cut short, or a gap that
                is longer than a file of this size can last.
            MediaTooLargeError: More than `MAX_CHANNELS` channels.
        """
        longest = possible_seconds(self._container.size) * sample_rate_hz
        for piece in self.pieces(sample_rate_hz):
            if not isinstance(piece, Gap):
                yield piece
                continue
            if piece.samples > longest:
                raise DamagedMediaError(
                    f"a gap of {piece.samples / sample_rate_hz:,.0f} s, more than a file of "
                    f"{self._container.size:,} bytes can hold; write the recording again"
                )
            for first in range(0, piece.samples, BLOCK_SAMPLES):
                yield np.zeros(min(BLOCK_SAMPLES, piece.samples - first), np.float32)

    def pieces(self, sample_rate_hz: int) -> Iterator[Block | Gap]:
        """Yield what `mono` yields, a gap as one `Gap`, however long; errors as there."""
        return resample(self._mono_pieces(), self.sample_rate_hz, sample_rate_hz)

    def _mono_pieces(self) -> Iterator[Block | Gap]:
        mixer = Downmix()
        waiting = _Waiting()
        heard = False
        for piece in self._placed():
            if isinstance(piece, Gap):
                if waiting.samples:
                    yield self._mixed(mixer, waiting.take())
                self._position += piece.samples
                yield piece
                continue
            heard = True
            if waiting.samples and not waiting.is_like(piece):
                yield self._mixed(mixer, waiting.take())
            waiting.add(piece)
            if waiting.samples >= BLOCK_SAMPLES:
                yield self._mixed(mixer, waiting.take())
        if waiting.samples:
            yield self._mixed(mixer, waiting.take())
        if not heard:
            raise DamagedMediaError("the recording holds no sound; replace the file")
        end = max(self.seconds_read, self._timeline.end_seconds)
        check_end(self._container, self._file, end, self.damage, last_byte=self._timeline.last_byte)

    def _mixed(self, mixer: Downmix, channels: Channels) -> Block:
        mono = mixer.mix(channels.block, channels.names)
        if not np.isfinite(mono).all():
            raise DamagedMediaError(
                f"NaN or infinite samples after second {self.seconds_read:.1f}; "
                "write the recording again"
            )
        self._position += len(mono)
        return mono

    def _placed(self) -> Iterator[Channels | Gap]:
        """Yield the sound where it belongs, and the gaps."""
        end = 0  # of what was yielded, in samples
        trimmed = 0
        for begins, block, names in self._frames():
            late = 0 if begins is None else begins - end
            # Sound that begins late is placed exactly, so that it begins with the pictures.
            if late > (_TOLERANCE_SECONDS * self.sample_rate_hz if end else 0):
                yield Gap(late)
                end += late
            elif late < -_TOLERANCE_SECONDS * self.sample_rate_hz:
                trimmed += min(-late, len(block))
                block = block[-late:]
            if len(block):
                yield Channels(block, names)
                end += len(block)
                self._timeline.reached(self._stream, end / self.sample_rate_hz)
        if trimmed:
            self.damage.note(
                f"{trimmed / self.sample_rate_hz:.1f} s of sound overlap what comes before; "
                "left out"
            )

    def _frames(self) -> Iterator[tuple[int | None, Block, tuple[str, ...]]]:
        """Decode: where each frame begins in samples, its (samples, channels), their names."""
        converter = _Converter(self.sample_rate_hz)
        origin = self._timeline.origin_seconds
        for packet in self._timeline.packets(self._stream):
            for frame in decode_packet(packet, self.damage):
                begins = None
                if frame.pts is not None and frame.time_base:
                    seconds = float(frame.pts * frame.time_base) - origin
                    begins = round(seconds * self.sample_rate_hz)
                try:
                    blocks = converter.convert(frame)
                except (av.error.FFmpegError, ValueError):
                    self.damage.add_packet()
                    continue
                for block in blocks:
                    yield begins, block, converter.names
                    begins = None


class _Waiting:
    """Joins small blocks of equal channels."""

    def __init__(self) -> None:
        self._parts: list[Channels] = []
        self.samples = 0

    def is_like(self, part: Channels) -> bool:
        """Whether a part has the channels of those that wait."""
        first = self._parts[0]
        return first.names == part.names and first.block.shape[1] == part.block.shape[1]

    def add(self, part: Channels) -> None:
        """Keep a part."""
        self._parts.append(part)
        self.samples += len(part.block)

    def take(self) -> Channels:
        """Give what waits, as one block."""
        block = np.concatenate([part.block for part in self._parts])
        names = self._parts[0].names
        self._parts, self.samples = [], 0
        return Channels(block, names)


class _Converter:
    """Brings decoded frames to floats of one rate, though layout and rate may change between."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._kind: tuple[str, str, int] | None = None
        self._resampler: av.AudioResampler | None = None
        self.names: tuple[str, ...] = ()

    def convert(self, frame: av.AudioFrame) -> list[Block]:
        """Give the (samples, channels) blocks that a frame completes."""
        channels = len(frame.layout.channels)
        if channels > MAX_CHANNELS:
            raise _too_many(channels)
        kind = (frame.format.name, frame.layout.name, int(frame.sample_rate))
        if kind != self._kind or self._resampler is None:
            self._kind = kind
            self._resampler = av.AudioResampler(format="flt", rate=self._rate_hz)
            names = tuple(channel.name for channel in frame.layout.channels)
            self.names = names if set(names).isdisjoint(("NONE", "UNK")) else ()
        return [
            np.asarray(part.to_ndarray(), np.float32).reshape(-1, channels)
            for part in self._resampler.resample(frame)
        ]


def _too_many(channels: int) -> MediaTooLargeError:
    return MediaTooLargeError(f"{channels} channels, at most {MAX_CHANNELS} are read; mix it down")


def resample(pieces: Iterable[Block | Gap], from_hz: int, to_hz: int) -> Iterator[Block | Gap]:
    """Bring a stream of (n,) float32 blocks and gaps to another sample rate."""
    if from_hz == to_hz:
        yield from pieces
        return
    stream: soxr.ResampleStream | None = None
    taken = made = 0
    for piece in pieces:
        if isinstance(piece, Gap):
            if stream is not None:
                rest = stream.resample_chunk(np.empty(0, np.float32), last=True)
                made += len(rest)
                yield rest
                stream = None
            taken += piece.samples
            gap = Gap(max(0, round(taken * to_hz / from_hz) - made))
            made += gap.samples
            yield gap
            continue
        stream = stream or soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")
        taken += len(piece)
        block = stream.resample_chunk(piece)
        made += len(block)
        yield block
    if stream is not None:
        yield stream.resample_chunk(np.empty(0, np.float32), last=True)


@contextmanager
def open_sound(file: BinaryIO | str) -> Iterator[SoundReader]:
    """Open a recording, or the sound of a video.

    Args:
        file: An open, seekable file, or a path.

    Raises:
        UnsupportedMediaError: No sound that FFmpeg opens.
    """
    with opened(file) as stream, open_container(stream) as container:
        sound = audio_stream(container)
        if sound is None:
            raise UnsupportedMediaError("no stream of sound that can be decoded in this file")
        yield SoundReader(container, sound, stream)
