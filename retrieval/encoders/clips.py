"""Cutting of sampled video frames into clips of evenly spaced frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.pooling import EDGE, clip_positions
from retrieval.types import ClipFrames


class ClipCutter:
    """Cuts the frames of one video, as they arrive, into overlapping or adjacent clips.

    Clip i covers [i * clip_seconds, (i + 1) * clip_seconds) and is read with `context_seconds` of
    the video on either side. A frame is shown until the next one; the first and the last frame
    extend beyond the video. So time runs at the same speed in each clip, whatever the sampling.
    Clips in which no frame starts are left out.
    """

    def __init__(self, clip_frames: ClipFrames, clip_seconds: float) -> None:
        self._clip_frames = clip_frames
        self._clip_seconds = clip_seconds
        self._context = clip_frames.context_seconds / clip_seconds  # in clips
        self._seconds = np.empty(0, np.float64)
        self._frames: NDArray[np.uint8] | None = None
        self._next = 0  # the first clip that is not cut yet

    def add(
        self, seconds: NDArray[np.float64], frames: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Add frames and return the clips that they complete.

        Args:
            seconds: (n,) times, ascending over all calls.
            frames: (n, height, width, 3).

        Returns:
            Starts, (clips,) float64, and (clips, frames of a clip, height, width, 3) uint8.
        """
        self._seconds = np.concatenate([self._seconds, seconds])
        self._frames = frames if self._frames is None else np.concatenate([self._frames, frames])
        return self._cut(ended=False)

    def finish(self) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Return the remaining clips at the end of the video."""
        return self._cut(ended=True)

    def _cut(self, *, ended: bool) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        if self._frames is None:
            return np.empty(0), np.empty((0, self._clip_frames.frames, 0, 0, 3), np.uint8)
        positions = clip_positions(self._seconds, self._clip_seconds)
        clips = np.unique(np.floor(positions).astype(np.int64))
        clips = clips[clips >= self._next]
        if not ended:
            clips = clips[clips + 1 + self._context <= positions[-1]]
        indices = np.empty((len(clips), self._clip_frames.frames), np.int64)
        for row, clip in enumerate(clips):
            indices[row] = self._frame_indices(int(clip), positions)
        frames = self._frames[indices]
        if len(clips):
            self._next = int(clips[-1]) + 1
            remaining = positions >= self._next - self._context
            self._seconds, self._frames = self._seconds[remaining], self._frames[remaining]
        return np.asarray(clips * self._clip_seconds, np.float64), frames

    def _frame_indices(self, clip: int, positions: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the indices of the frames shown at the centres of equal parts of a clip."""
        first = np.searchsorted(positions, clip - self._context)
        last = np.searchsorted(positions, clip + 1 + self._context) - 1
        parts = (np.arange(self._clip_frames.frames) + 0.5) / self._clip_frames.frames
        times = clip - self._context + parts * (1 + 2 * self._context) + EDGE
        shown = np.searchsorted(positions, times, side="right") - 1
        return np.asarray(shown.clip(first, last), np.int64)
