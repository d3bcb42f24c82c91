"""Cuts a stream of sound into the fixed windows that an audio encoder reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


def cut_windows(blocks: Iterable[NDArray[np.float32]], windows: AudioWindows) -> Iterator[Window]:
    """Cut mono sound of the windows' sample rate; holds one window and one block at a time.

    The last window begins before the sound ends and is padded; none begins where the window
    before it already reached the end.

    Args:
        blocks: Consecutive (n,) float32 blocks.
        windows: Length and hop.
    """
    rate, length = windows.sample_rate_hz, windows.window_samples
    hop = max(1, round(rate * windows.hop_seconds))
    pieces = [np.empty(0, np.float32)]  # joined once they fill a window: FFmpeg's are small
    waiting = 0  # samples in them
    start = 0  # of the next window, in samples of the whole
    skip = 0  # samples between windows, where the hop is longer than a window
    covered = 0  # end of the last window
    for block in blocks:
        pieces.append(block[skip:])
        skip = max(0, skip - len(block))
        waiting += len(pieces[-1])
        if waiting < length:
            continue
        held = np.concatenate(pieces)
        while len(held) >= length:
            yield Window(start / rate, (start + length) / rate, held[:length].copy())
            covered = start + length
            start += hop
            skip = max(0, hop - len(held))
            held = held[hop:]
        pieces, waiting = [held], len(held)
    held = np.concatenate(pieces)
    end = start + len(held)
    long_enough = len(held) >= MIN_TAIL_SECONDS * rate or start == 0
    if end > covered and len(held) and long_enough:
        padded = np.zeros(length, np.float32)
        padded[: len(held)] = held
        yield Window(start / rate, end / rate, padded)
