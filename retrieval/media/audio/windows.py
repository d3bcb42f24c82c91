"""Cuts a stream of sound into the fixed windows that an audio encoder reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.media.audio.reader import Gap
from retrieval.types import AudioWindows

MIN_TAIL_SECONDS = 0.5
"""A shorter rest at the end is dropped, unless it is all there is."""


@dataclass(frozen=True, slots=True)
class Window:
    """One window of sound.

    Attributes:
        start_seconds: Where it begins.
        end_seconds: Where its real sound ends; padding comes after.
        samples: (window_samples,) float32, zero-padded at the end.
    """

    start_seconds: float
    end_seconds: float
    samples: NDArray[np.float32]


def cut_windows(
    pieces: Iterable[NDArray[np.float32] | Gap], windows: AudioWindows
) -> Iterator[Window]:
    """Cut mono sound of the windows' sample rate; holds one window and one block at a time.

    The last window begins before the sound ends and is padded; none begins where the window
    before it already reached the end. A gap is silence; a window that lies wholly in a gap is left
    out, so that the work follows from the sound and not from its time stamps.

    Args:
        pieces: Consecutive (n,) float32 blocks and gaps.
        windows: Length and hop.
    """
    cutter = _Cutter(windows)
    for piece in pieces:
        if isinstance(piece, Gap):
            yield from cutter.pass_over(piece.samples)
        else:
            yield from cutter.add(piece)
    yield from cutter.finish()


class _Cutter:
    """Holds what the next window has of the sound; counts in samples from the beginning."""

    def __init__(self, windows: AudioWindows) -> None:
        self._rate = windows.sample_rate_hz
        self._length = windows.window_samples
        self._hop = max(1, round(self._rate * windows.hop_seconds))
        self._pieces = [np.empty(0, np.float32)]  # joined once they fill a window
        self._waiting = 0  # samples in them
        self._start = 0  # of the next window
        self._skip = 0  # samples before it, where the hop is longer than a window
        self._covered = 0  # end of the last window

    def add(self, block: NDArray[np.float32]) -> Iterator[Window]:
        """Take a block; yield the windows that it completes."""
        self._pieces.append(block[self._skip :])
        self._skip = max(0, self._skip - len(block))
        self._waiting += len(self._pieces[-1])
        if self._waiting < self._length:
            return
        held = np.concatenate(self._pieces)
        while len(held) >= self._length:
            yield self._window(held[: self._length].copy(), self._start + self._length)
            self._covered = self._start + self._length
            self._start += self._hop
            self._skip = max(0, self._hop - len(held))
            held = held[self._hop :]
        self._pieces, self._waiting = [held], len(held)

    def pass_over(self, samples: int) -> Iterator[Window]:
        """Take a gap; yield the windows that begin in the sound before it."""
        silent = min(samples, self._length - 1)
        yield from self.add(np.zeros(silent, np.float32))
        gap_ends = self._start - self._skip + self._waiting + samples - silent
        if samples == silent:
            return
        # Only silence is held now. The next window is the first that reaches beyond the gap.
        inside = gap_ends - self._length - self._start
        self._start += self._hop * max(0, inside // self._hop + 1)
        self._waiting = max(0, gap_ends - self._start)
        self._skip = max(0, self._start - gap_ends)
        self._pieces = [np.zeros(self._waiting, np.float32)]

    def finish(self) -> Iterator[Window]:
        """Yield what is left, if it is worth a window."""
        held = np.concatenate(self._pieces)
        end = self._start + len(held)
        long_enough = len(held) >= MIN_TAIL_SECONDS * self._rate or self._start == 0
        if end > self._covered and len(held) and long_enough:
            padded = np.zeros(self._length, np.float32)
            padded[: len(held)] = held
            yield self._window(padded, end)

    def _window(self, samples: NDArray[np.float32], end: int) -> Window:
        return Window(self._start / self._rate, end / self._rate, samples)
