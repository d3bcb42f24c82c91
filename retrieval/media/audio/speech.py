"""Find the stretches of a recording that contain speech, within bounded memory.

The voice activity detector is Silero VAD, whose weights are in the wheel of faster-whisper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import MissingExtraError
from retrieval.media.audio.blocks import Gap

Samples = NDArray[np.float32]

RATE_HZ = 16_000
"""Sample rate of the detector and of Whisper."""

PIECE_SECONDS = 120.0
"""Sound that the detector reads at once."""

MAX_STRETCH_SECONDS = 28.0
"""Longer speech is cut at its last short pause. Whisper reads 30 s."""

MAX_PAUSE_SECONDS = 4.0
"""Speech with a shorter pause is one stretch, if it is not too long."""

_UNDECIDED_SECONDS = 2.0
"""Speech that ends this close to the end of a piece may continue in the next one."""

_CONTEXT_SECONDS = 1.0
"""Silence that is kept before the next piece: speech in it may begin softly."""

Detector = Callable[[Samples], list[tuple[int, int]]]
"""Maps sound to half-open ranges of samples with speech, ascending, of at most
`MAX_STRETCH_SECONDS`."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Sound with speech.

    Attributes:
        start_seconds: Its start in the recording.
        samples: (n,) float32 at `RATE_HZ`.
    """

    start_seconds: float
    samples: Samples

    @property
    def end_seconds(self) -> float:
        """Its end in the recording."""
        return self.start_seconds + len(self.samples) / RATE_HZ


def require_speech() -> None:
    """Check that the package for speech is installed, without importing it.

    Raises:
        MissingExtraError: It is missing.
    """
    if find_spec("faster_whisper") is None:
        raise MissingExtraError("reading speech needs faster-whisper; install retrieval[speech]")


def detect_speech(samples: Samples) -> list[tuple[int, int]]:
    """Find speech with Silero VAD; see `Detector`."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(
        max_speech_duration_s=MAX_STRETCH_SECONDS, min_silence_duration_ms=500, speech_pad_ms=300
    )
    return [
        (int(found["start"]), int(found["end"]))
        for found in get_speech_timestamps(samples, options, RATE_HZ)
    ]


def speech_stretches(
    pieces: Iterable[Samples | Gap], detector: Detector = detect_speech
) -> Iterator[list[Stretch]]:
    """Find the speech of a recording.

    Args:
        pieces: Consecutive (n,) float32 blocks of one channel at `RATE_HZ`, and gaps.
        detector: Finds the speech in one piece.

    Yields:
        After each piece of up to `PIECE_SECONDS`, its stretches in order of time, perhaps none.
    """
    cutter = _Cutter(detector)
    for piece in pieces:
        if isinstance(piece, Gap):
            yield cutter.finish()
            cutter.skip(piece.samples)
        elif cutter.add(piece):
            yield cutter.take()
    yield cutter.finish()


class _Cutter:
    """Buffers one piece of sound. Positions are in samples from the start of the recording."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._blocks: list[Samples] = []
        self._buffered = 0
        self._start = 0  # of the buffer

    def add(self, block: Samples) -> bool:
        """Add a block; return whether the buffer holds a whole piece."""
        self._blocks.append(block)
        self._buffered += len(block)
        return self._buffered >= PIECE_SECONDS * RATE_HZ

    def skip(self, samples: int) -> None:
        """Skip silence; the buffer is empty."""
        self._start += samples

    def take(self) -> list[Stretch]:
        """Return the stretches that are complete, and keep the sound after them."""
        buffer = np.concatenate(self._blocks)
        groups = _join(self._detector(buffer))
        undecided = len(buffer) - round(_UNDECIDED_SECONDS * RATE_HZ)
        complete = [group for group in groups if group[1] <= undecided]
        if len(complete) < len(groups):
            keep = groups[len(complete)][0]
        else:
            keep = max(0, len(buffer) - round(_CONTEXT_SECONDS * RATE_HZ))
            keep = max(keep, complete[-1][1]) if complete else keep
        if keep == 0:  # a detector that exceeds its limit
            complete, keep = groups, len(buffer)
        stretches = self._stretches(buffer, complete)
        self._blocks = [buffer[keep:].copy()]
        self._buffered -= keep
        self._start += keep
        return stretches

    def finish(self) -> list[Stretch]:
        """Return the stretches of the remaining sound and empty the buffer."""
        if not self._buffered:
            return []
        buffer = np.concatenate(self._blocks)
        stretches = self._stretches(buffer, _join(self._detector(buffer)))
        self._start += len(buffer)
        self._blocks, self._buffered = [], 0
        return stretches

    def _stretches(self, buffer: Samples, ranges: list[tuple[int, int]]) -> list[Stretch]:
        return [
            Stretch((self._start + start) / RATE_HZ, buffer[start:end].copy())
            for start, end in ranges
            if start < end
        ]


def _join(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges over short pauses: reading a short stretch costs as much as a long one."""
    joined: list[tuple[int, int]] = []
    for start, end in ranges:
        if joined:
            first, last = joined[-1]
            is_near = start - last <= MAX_PAUSE_SECONDS * RATE_HZ
            if is_near and end - first <= MAX_STRETCH_SECONDS * RATE_HZ:
                joined[-1] = (first, end)
                continue
        joined.append((start, end))
    return joined
