"""Sound: any recording, and the sound of videos, as a stream of mono blocks at one sample rate.

libsndfile reads what it knows, FFmpeg the rest (AAC, M4A, the sound of videos). Nothing is held
beyond one block, so ten hours cost the memory of a second. A file must hold what its header
promises: a recording cut short is an error, not a shorter recording. OGG promises nothing; what
is left of one is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol

import av
import av.container
import av.error
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from retrieval.errors import DamagedMediaError, MediaTooLargeError, UnsupportedMediaError
from retrieval.media.container import (
    Damage,
    audio_stream,
    decode_packet,
    open_container,
    origin_seconds,
    read_packets,
)

Block = NDArray[np.float32]

MAX_CHANNELS = 64
SAMPLE_RATES_HZ = range(1_000, 1_000_000)
BLOCK_SAMPLES = 1 << 16

_MISSING_SHARE = 0.01
_MISSING_SECONDS = 0.25
"""A file may end this much before its header says: encoders pad and round."""

_CUT_CHUNK = re.compile(r"^ ?(?:data|SSND) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
"""How libsndfile's log of a WAV or AIFF shows a chunk of sound that the file is too short for."""

_MAX_SILENCE_SECONDS = 3_600
"""Sound of a video that begins later than this is not aligned by silence: its stamps are wrong."""


class Sound(Protocol):
    """An open stream of sound; `damage` and the seconds read are known while and after reading."""

    sample_rate_hz: int
    damage: Damage

    def blocks(self) -> Iterator[Block]:
        """Yield (samples, channels) float32 blocks at the file's own rate."""
        ...


class SoundReader:
    """One open recording, made by `open_sound`.

    Attributes:
        sample_rate_hz: The file's own rate.
        samples_read: Samples per channel that `mono` has read so far.
    """

    def __init__(self, sound: Sound) -> None:
        self._sound = sound
        self.sample_rate_hz = sound.sample_rate_hz
        self.samples_read = 0
        if self.sample_rate_hz not in SAMPLE_RATES_HZ:
            raise DamagedMediaError(
                f"sample rate {self.sample_rate_hz} Hz, expected {SAMPLE_RATES_HZ.start:,} to "
                f"{SAMPLE_RATES_HZ.stop:,}; replace the file"
            )

    @property
    def damaged_packets(self) -> int:
        """Packets that had to be skipped so far."""
        return self._sound.damage.packets

    @property
    def seconds_read(self) -> float:
        """Length of what `mono` has read so far; the whole length at its end."""
        return self.samples_read / self.sample_rate_hz

    def mono(self, sample_rate_hz: int) -> Iterator[Block]:
        """Yield the sound as consecutive (n,) float32 blocks, the mean of its channels.

        Raises:
            DamagedMediaError: No sample at all, NaN or infinite samples, or cut short.
            MediaTooLargeError: More than `MAX_CHANNELS` channels.
        """
        return resample(self._mono_blocks(), self.sample_rate_hz, sample_rate_hz)

    def _mono_blocks(self) -> Iterator[Block]:
        for block in self._sound.blocks():
            if block.shape[1] > MAX_CHANNELS:
                raise MediaTooLargeError(
                    f"{block.shape[1]} channels, at most {MAX_CHANNELS} are read; mix it down"
                )
            mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
            if not np.isfinite(mono).all():
                raise DamagedMediaError(
                    f"NaN or infinite samples after second {self.seconds_read:.1f}; "
                    "write the recording again"
                )
            self.samples_read += len(mono)
            yield mono
        if self.samples_read == 0:
            raise DamagedMediaError("the recording holds no sound; replace the file")


def resample(blocks: Iterable[Block], from_hz: int, to_hz: int) -> Iterator[Block]:
    """Bring a stream of (n,) float32 blocks to another sample rate."""
    if from_hz == to_hz:
        yield from blocks
        return
    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty(0, np.float32), last=True)


@contextmanager
def open_sound(file: BinaryIO | str) -> Iterator[SoundReader]:
    """Open a recording, by libsndfile or else by FFmpeg.

    Args:
        file: An open, seekable file, or a path.

    Raises:
        UnsupportedMediaError: No sound that libsndfile or FFmpeg opens.
    """
    if not isinstance(file, str):
        file.seek(0)
    try:
        opened = soundfile.SoundFile(file)
    except soundfile.LibsndfileError:
        with open_video_sound(file) as reader:
            yield reader
        return
    with opened:
        yield SoundReader(_SoundFileSound(opened))


@contextmanager
def open_video_sound(file: BinaryIO | str) -> Iterator[SoundReader]:
    """Open the sound of a container by FFmpeg alone; arguments and errors as `open_sound`."""
    with open_container(file) as container:
        stream = audio_stream(container)
        if stream is None:
            raise UnsupportedMediaError("no stream of sound in this file")
        yield SoundReader(_ContainerSound(container, stream))


# ---------------------------------------------------------------- the two readers


class _SoundFileSound:
    """Sound read by libsndfile."""

    def __init__(self, file: soundfile.SoundFile) -> None:
        self._file = file
        self.sample_rate_hz = int(file.samplerate)
        self.damage = Damage()

    def blocks(self) -> Iterator[Block]:
        declared = self._declared_samples()
        read = 0
        try:
            while len(block := self._file.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                read += len(block)
                yield block
        except soundfile.LibsndfileError as error:
            raise _ends_early(read, declared, self.sample_rate_hz) from error
        _check_length(read, declared, self.sample_rate_hz)

    def _declared_samples(self) -> int:
        """Give the header's length; libsndfile itself trims it to what a cut WAV still holds."""
        cut = re.search(
            r"^ ?(?:data|SSND) *: (\d+) \(should be (\d+)\)", self._file.extra_info, re.M
        )
        if cut is None:
            return int(self._file.frames)
        said, held = int(cut[1]), int(cut[2])
        if held >= said or said >= 0x7FFF_0000:  # a program that writes to a pipe cannot know
            return int(self._file.frames)
        return round(self._file.frames * said / held) if held > 0 else 0


class _ContainerSound:
    """Sound read by FFmpeg, beginning where the container's other streams begin."""

    def __init__(self, container: av.container.InputContainer, stream: av.AudioStream) -> None:
        self._container = container
        self._stream = stream
        self.sample_rate_hz = int(stream.codec_context.sample_rate or 0)
        self.damage = Damage()

    def blocks(self) -> Iterator[Block]:
        to_floats = av.AudioResampler(format="fltp", rate=self.sample_rate_hz)
        read = 0
        for packet in read_packets(self._container, self._stream, self.damage):
            for frame in decode_packet(packet, self.damage):
                if read == 0:
                    silence = self._silence_before(frame)
                    read += len(silence)
                    yield silence
                for block in self._to_blocks(to_floats, frame):
                    read += len(block)
                    yield block
        stream = self._stream
        if stream.duration and stream.time_base and not self.damage.packets:
            declared = round(float(stream.duration * stream.time_base) * self.sample_rate_hz)
            _check_length(read, declared, self.sample_rate_hz)

    def _to_blocks(self, to_floats: av.AudioResampler, frame: av.AudioFrame) -> list[Block]:
        try:
            return [
                np.asarray(part.to_ndarray().T, np.float32) for part in to_floats.resample(frame)
            ]
        except (av.error.FFmpegError, ValueError):  # the layout or rate changed in mid-stream
            self.damage.packets += 1
            return []

    def _silence_before(self, frame: av.AudioFrame) -> Block:
        late = (frame.time or 0.0) - origin_seconds(self._container)
        if not 0 < late < _MAX_SILENCE_SECONDS:
            late = 0.0
        return np.zeros((round(late * self.sample_rate_hz), 1), np.float32)


def _check_length(read: int, declared: int, sample_rate_hz: int) -> None:
    if declared - read > max(_MISSING_SHARE * declared, _MISSING_SECONDS * sample_rate_hz):
        raise _ends_early(read, declared, sample_rate_hz)


def _ends_early(read: int, declared: int, sample_rate_hz: int) -> DamagedMediaError:
    return DamagedMediaError(
        f"ends early or is damaged: {read / sample_rate_hz:.1f} of "
        f"{declared / sample_rate_hz:.1f} seconds can be read; replace the file"
    )
