"""Sampled frames become the clips that a video model reads: so many frames each, evenly in time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.pooling import EDGE, clip_positions
from retrieval.types import ClipFrames


class ClipCutter:
    """Cuts one video's frames, as they arrive, into overlapping or adjacent clips.

    Clip i covers [i * clip_seconds, (i + 1) * clip_seconds) and is seen with `context_seconds` of
    its neighbours on both sides. A frame holds until the next one, as on a screen; before the first
    frame and after the last, these two stand still. So time runs at the same speed in every clip,
    whatever the sampling and wherever the video ends. A clip in which no frame begins is left out.
    """

    def __init__(self, wanted: ClipFrames, clip_seconds: float) -> None:
        self._wanted = wanted
        self._clip_seconds = clip_seconds
        self._context = wanted.context_seconds / clip_seconds  # in clips
        self._seconds = np.empty(0, np.float64)
        self._frames: NDArray[np.uint8] | None = None
        self._next = 0  # the first clip that has not been cut

    def add(
        self, seconds: NDArray[np.float64], frames: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Take the next frames; return the clips that are complete with them.

        Args:
            seconds: (n,) times, ascending over all calls.
            frames: (n, height, width, 3).

        Returns:
            Starts, (clips,) float64, and (clips, wanted frames, height, width, 3) uint8.
        """
        self._seconds = np.concatenate([self._seconds, seconds])
        self._frames = frames if self._frames is None else np.concatenate([self._frames, frames])
        return self._take(ended=False)

    def finish(self) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """The clips that were waiting for frames after them; the video has ended."""
        return self._take(ended=True)

    def _take(self, *, ended: bool) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        if self._frames is None:
            return np.empty(0), np.empty((0, self._wanted.frames, 0, 0, 3), np.uint8)
        positions = clip_positions(self._seconds, self._clip_seconds)
        clips = np.unique(np.floor(positions).astype(np.int64))
        clips = clips[clips >= self._next]
        if not ended:
            clips = clips[clips + 1 + self._context <= positions[-1]]
        chosen = np.empty((len(clips), self._wanted.frames), np.int64)
        for row, clip in enumerate(clips):
            chosen[row] = self._chosen(int(clip), positions)
        cut = self._frames[chosen]
        if len(clips):
            self._next = int(clips[-1]) + 1
            kept = positions >= self._next - self._context
            self._seconds, self._frames = self._seconds[kept], self._frames[kept]
        return np.asarray(clips * self._clip_seconds, np.float64), cut

    def _chosen(self, clip: int, positions: NDArray[np.float64]) -> NDArray[np.int64]:
        """Indices of the frames on screen at the middles of equal parts of a clip's span."""
        first = np.searchsorted(positions, clip - self._context)
        last = np.searchsorted(positions, clip + 1 + self._context) - 1
        parts = (np.arange(self._wanted.frames) + 0.5) / self._wanted.frames
        times = clip - self._context + parts * (1 + 2 * self._context) + EDGE
        shown = np.searchsorted(positions, times, side="right") - 1
        return np.asarray(shown.clip(first, last), np.int64)
