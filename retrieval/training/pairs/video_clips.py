"""Clips of video spans as a video-text model reads them: frames of the clip and its context."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retrieval.errors import DamagedMediaError
from retrieval.media.images.fitting import fit
from retrieval.media.video.reader import open_video
from retrieval.training.pairs.manifest import MediaSpan
from retrieval.training.pairs.media import MAX_VIEWS, Sample
from retrieval.types import ClipFrames, ImageGeometry, Sampling

MAX_VIDEO_SECONDS = 120.0
"""Longer spans are cut to their first two minutes."""


@dataclass(frozen=True, slots=True)
class VideoClipReader:
    """Implements `SpanReader` for spans of videos: (frames, height, width, 3) uint8 clips.

    Attributes:
        geometry: Size of the frames.
        clip_frames: Number of frames of a clip, and the length of its context.
        clip_seconds: Length of a clip without its context, as in collections.
    """

    geometry: ImageGeometry
    clip_frames: ClipFrames
    clip_seconds: float = Sampling().clip_seconds

    @property
    def step_seconds(self) -> float:
        """Seconds between two frames of a clip."""
        context = self.clip_frames.context_seconds
        return (self.clip_seconds + 2 * context) / self.clip_frames.frames

    def read(self, span: MediaSpan) -> Sample:
        """Decode the frames of a span and of its context, (n, height, width, 3).

        Context beyond the ends of the video repeats its first or last frame.
        """
        with open_video(str(span.path)) as video:
            end = span.end_seconds
            if end is None:
                end = video.duration_seconds or MAX_VIDEO_SECONDS
            length = min(end - span.start_seconds, MAX_VIDEO_SECONDS)
            if length <= 0:
                raise DamagedMediaError(
                    f"the span begins at {span.start_seconds:g} s, the video ends before"
                )
            step, context = self.step_seconds, self.clip_frames.context_seconds
            count = max(self.clip_frames.frames, round((length + 2 * context) / step))
            times = span.start_seconds - context + (np.arange(count) + 0.5) * step
            # Repeated frames are one object, which is resized once.
            resized: dict[int, Sample] = {}
            frames, pictures = [], []
            for _, picture in video.frames_at(times.clip(0).tolist()):
                pictures.append(picture)  # Ids are unique among living objects only.
                if id(picture) not in resized:
                    resized[id(picture)] = fit(picture, self.geometry)
                frames.append(resized[id(picture)])
        return np.stack(frames)

    def draw(self, decoded: Sample, rng: np.random.Generator) -> Sample:
        """Draw one clip that begins anywhere in the span."""
        first = int(rng.integers(len(decoded) - self.clip_frames.frames + 1))
        return self._clip_at(decoded, first)

    def views(self, decoded: Sample) -> list[Sample]:
        """Return up to eight clips of the span, evenly spaced."""
        last = len(decoded) - self.clip_frames.frames
        step_rows = max(1, round(self.clip_seconds / self.step_seconds))
        firsts = np.linspace(0, last, min(last // step_rows + 1, MAX_VIEWS))
        return [self._clip_at(decoded, round(first)) for first in firsts]

    def fill(self, view: Sample) -> Sample:
        """Return the clip."""
        return view

    def _clip_at(self, decoded: Sample, first: int) -> Sample:
        return decoded[first : first + self.clip_frames.frames]
