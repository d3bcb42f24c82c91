"""Cut a stream of sound into the fixed windows of an audio encoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.media.audio.blocks import Gap
from retrieval.types import AudioWindows

MIN_TAIL_SECONDS = 0.5
"""A shorter remainder at the end is dropped, unless it is the only window."""


@dataclass(frozen=True, slots=True)
class AudioWindow:
    """One window of sound.

    Attributes:
        start_seconds: Start.
        end_seconds: End of the sound, without padding.
        samples: (window_samples,) float32, zero-padded at the end.
    """

    start_seconds: float
    end_seconds: float
    samples: NDArray[np.float32]


def cut_windows(
    pieces: Iterable[NDArray[np.float32] | Gap], windows: AudioWindows
) -> Iterator[AudioWindow]:
    """Cut mono sound into windows, holding one window and one block in memory.

    The last window is padded. No window begins where the previous one already reached the end. Gaps
    are silence, and windows entirely inside a gap are left out, so that the work is proportional to
    the sound and not to its time stamps.

    Args:
        pieces: Consecutive (n,) float32 blocks and gaps, at the windows' sample rate.
        windows: Length and hop.
    """
    cutter = _WindowCutter(windows)
    for piece in pieces:
        if isinstance(piece, Gap):
            yield from cutter.add_gap(piece.samples)
        else:
            yield from cutter.add(piece)
    yield from cutter.finish()


class _WindowCutter:
    """Buffers the sound of the next window. All positions are in samples from the beginning."""

    def __init__(self, windows: AudioWindows) -> None:
        self._rate = windows.sample_rate_hz
        self._length = windows.window_samples
        self._hop = max(1, round(self._rate * windows.hop_seconds))
        self._pieces = [np.empty(0, np.float32)]  # joined once they fill a window
        self._buffered = 0  # samples in them
        self._start = 0  # of the next window
        self._skip = 0  # samples before it, if the hop is longer than a window
        self._covered = 0  # end of the last window

    def add(self, block: NDArray[np.float32]) -> Iterator[AudioWindow]:
        """Add a block and yield the windows that it completes."""
        self._pieces.append(block[self._skip :])
        self._skip = max(0, self._skip - len(block))
        self._buffered += len(self._pieces[-1])
        if self._buffered < self._length:
            return
        buffer = np.concatenate(self._pieces)
        while len(buffer) >= self._length:
            yield self._window(buffer[: self._length].copy(), self._start + self._length)
            self._covered = self._start + self._length
            self._start += self._hop
            self._skip = max(0, self._hop - len(buffer))
            buffer = buffer[self._hop :]
        self._pieces, self._buffered = [buffer], len(buffer)

    def add_gap(self, samples: int) -> Iterator[AudioWindow]:
        """Add a gap and yield the windows that begin in the sound before it."""
        silent = min(samples, self._length - 1)
        yield from self.add(np.zeros(silent, np.float32))
        gap_end = self._start - self._skip + self._buffered + samples - silent
        if samples == silent:
            return
        # The buffer holds only silence now. The next window is the first one to reach past the gap.
        inside = gap_end - self._length - self._start
        self._start += self._hop * max(0, inside // self._hop + 1)
        self._buffered = max(0, gap_end - self._start)
        self._skip = max(0, self._start - gap_end)
        self._pieces = [np.zeros(self._buffered, np.float32)]

    def finish(self) -> Iterator[AudioWindow]:
        """Yield the remainder as a padded window, if it is long enough."""
        buffer = np.concatenate(self._pieces)
        end = self._start + len(buffer)
        is_long_enough = len(buffer) >= MIN_TAIL_SECONDS * self._rate or self._start == 0
        if end > self._covered and len(buffer) and is_long_enough:
            padded = np.zeros(self._length, np.float32)
            padded[: len(buffer)] = buffer
            yield self._window(padded, end)

    def _window(self, samples: NDArray[np.float32], end: int) -> AudioWindow:
        return AudioWindow(self._start / self._rate, end / self._rate, samples)
