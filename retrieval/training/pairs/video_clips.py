"""Spans of videos as a video-text model reads them: clips of frames with what lies around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retrieval.errors import DamagedMediaError
from retrieval.media.images.fitting import fit
from retrieval.media.video.reader import open_video
from retrieval.training.pairs.manifest import Clip
from retrieval.training.pairs.media import VALIDATION_WINDOWS, Sample
from retrieval.types import ClipFrames, ImageGeometry, Sampling

MAX_VIDEO_SECONDS = 120.0
"""Of a longer video, or of a longer span, the first two minutes are seen."""


@dataclass(frozen=True, slots=True)
class VideoClipReader:
    """Implements `ClipReader`: (frames, height, width, 3) uint8 clips of spans of videos.

    Attributes:
        geometry: How frames must arrive.
        wanted: How many, and with how much context.
        clip_seconds: Length of a clip without its context, as `embed` cuts videos.
    """

    geometry: ImageGeometry
    wanted: ClipFrames
    clip_seconds: float = Sampling().clip_seconds

    @property
    def step_seconds(self) -> float:
        """From one frame of a clip to the next."""
        return (self.clip_seconds + 2 * self.wanted.context_seconds) / self.wanted.frames

    def read(self, clip: Clip) -> Sample:
        """(n, height, width, 3) frames of the span and of the context on both sides of it.

        Before the first frame of the video, and after its last, these two stand still.
        """
        with open_video(str(clip.path)) as video:
            end = clip.end_seconds
            if end is None:
                end = video.duration_seconds or MAX_VIDEO_SECONDS
            length = min(end - clip.start_seconds, MAX_VIDEO_SECONDS)
            if length <= 0:
                raise DamagedMediaError(
                    f"the span begins at {clip.start_seconds:g} s, the video ends before"
                )
            step, context = self.step_seconds, self.wanted.context_seconds
            count = max(self.wanted.frames, round((length + 2 * context) / step))
            times = clip.start_seconds - context + (np.arange(count) + 0.5) * step
            # Equal pictures of a still are one object, which is fitted once.
            fitted: dict[int, Sample] = {}
            frames, shown = [], []
            for _, picture in video.frames_at(times.clip(0).tolist()):
                shown.append(picture)  # kept alive: ids are unique among living objects
                if id(picture) not in fitted:
                    fitted[id(picture)] = fit(picture, self.geometry)
                frames.append(fitted[id(picture)])
        return np.stack(frames)

    def draw(self, decoded: Sample, rng: np.random.Generator) -> Sample:
        """One clip that lies anywhere in the span."""
        return self._at(decoded, int(rng.integers(len(decoded) - self.wanted.frames + 1)))

    def views(self, decoded: Sample) -> list[Sample]:
        """Clips of the span, at most eight, evenly spaced."""
        last = len(decoded) - self.wanted.frames
        own = max(1, round(self.clip_seconds / self.step_seconds))
        chosen = np.linspace(0, last, min(last // own + 1, VALIDATION_WINDOWS))
        return [self._at(decoded, round(first)) for first in chosen]

    def fill(self, view: Sample) -> Sample:
        """The clip itself."""
        return view

    def _at(self, decoded: Sample, first: int) -> Sample:
        return decoded[first : first + self.wanted.frames]
