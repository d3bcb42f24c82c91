"""Samples and writes the demo world's videos: consecutive events with motion and sound."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.demo.captions import SceneCaption, caption_scene
from retrieval.demo.drawing import render_scene
from retrieval.demo.music import sample_tune, synthesize
from retrieval.demo.scenes import Motion, Scene, sample_scene
from retrieval.demo.tunes import Tune

SAMPLE_RATE_HZ = 16_000
FRAMES_PER_SECOND = 8
EVENT_SECONDS = (4.0, 20.0)
SILENT_SHARE = 0.2
MOVING_SHARE = 0.5
AAC_FRAME_SAMPLES = 1_024


@dataclass(frozen=True, slots=True)
class Event:
    """A scene and an optional tune in [start_seconds, end_seconds)."""

    start_seconds: float
    end_seconds: float
    scene: Scene
    motion: Motion
    tune: Tune | None
    caption: SceneCaption


@dataclass(frozen=True, slots=True)
class Video:
    """Consecutive events without gaps, from second 0."""

    events: tuple[Event, ...]

    @property
    def duration_seconds(self) -> float:
        """End of the last event."""
        return self.events[-1].end_seconds

    def matching_events(self, caption: SceneCaption) -> list[Event]:
        """Return the events that a caption describes."""
        return [event for event in self.events if caption.describes(event.scene, event.motion)]


def sample_video(
    rng: np.random.Generator, *, unseen: bool = False, seconds: tuple[float, float] = (20.0, 180.0)
) -> Video:
    """Draw a video with a length in `seconds`, of events of 4 to 20 s.

    Events start and end at frames, so that their times are exact.
    """
    duration = round_to_frame(rng.uniform(*seconds))
    events: list[Event] = []
    start = 0.0
    while start < duration:
        end = min(duration, start + round_to_frame(rng.uniform(*EVENT_SECONDS)))
        if duration - end < EVENT_SECONDS[0]:
            end = duration
        scene = sample_scene(rng, unseen=unseen)
        is_moving = rng.random() < MOVING_SHARE
        motion = list(Motion)[1 + int(rng.integers(len(Motion) - 1))] if is_moving else Motion.STILL
        tune = None if rng.random() < SILENT_SHARE else sample_tune(rng, unseen=unseen)
        caption = caption_scene(scene, rng, motion=motion)
        events.append(Event(start, end, scene, motion, tune, caption))
        start = end
    return Video(tuple(events))


def round_to_frame(seconds: float) -> float:
    """Round a time to the nearest frame."""
    return round(seconds * FRAMES_PER_SECOND) / FRAMES_PER_SECOND


def write_video(video: Video, path: Path, *, size_pixels: int = 128) -> None:
    """Encode a video as H.264 and AAC in MP4, event by event.

    Args:
        video: The video.
        path: File to write.
        size_pixels: Side of the square picture, even.
    """
    import av

    with av.open(os.fspath(path), "w", options={"movflags": "faststart"}) as container:
        pictures: Any = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        pictures.width = pictures.height = size_pixels
        pictures.pix_fmt = "yuv420p"
        pictures.options = {"preset": "veryfast", "crf": "20", "g": str(2 * FRAMES_PER_SECOND)}
        sound: Any = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        fifo = av.AudioFifo()
        for event in video.events:
            for frame in _frames(event, size_pixels):
                picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
                container.mux(pictures.encode(picture))
            fifo.write(_sound_frame(event))
            while (block := fifo.read(AAC_FRAME_SAMPLES)) is not None:
                container.mux(sound.encode(block))
        rest = fifo.read(0, partial=True)
        if rest is not None:
            container.mux(sound.encode(rest))
        container.mux(sound.encode(None))
        container.mux(pictures.encode(None))


def _frames(event: Event, size_pixels: int) -> Iterator[NDArray[np.uint8]]:
    count = round((event.end_seconds - event.start_seconds) * FRAMES_PER_SECOND)
    if event.motion is Motion.STILL:
        frame = render_scene(event.scene, size_pixels)
        for _ in range(count):
            yield frame
        return
    for number in range(count):
        phase = number / count
        yield render_scene(event.scene, size_pixels, motion=event.motion, phase=phase)


def _sound_frame(event: Event) -> Any:
    import av

    seconds = event.end_seconds - event.start_seconds
    if event.tune is None:
        samples = np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)
    else:
        samples = synthesize(event.tune, seconds, SAMPLE_RATE_HZ)
    frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.sample_rate = SAMPLE_RATE_HZ
    frame.pts = round(event.start_seconds * SAMPLE_RATE_HZ)
    frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
    return frame
