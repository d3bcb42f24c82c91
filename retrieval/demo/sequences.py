"""Samples pairs of videos that differ only in time, with captions that state the difference.

The videos of a pair show two events in opposite orders, or one scene with opposite motions. Their
mean frames are nearly equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from retrieval.demo.captions import SceneCaption, caption_scene
from retrieval.demo.choices import pick
from retrieval.demo.scenes import Motion, Scene, sample_scene
from retrieval.demo.videos import EVENT_SECONDS, Event, Video, round_to_frame

ORDERS: Final = (
    "first {first}, then {second}",
    "{first}, then {second}",
    "{first}, followed by {second}",
    "{first} before {second}",
    "{second} after {first}",
)
OPPOSITES: Final = (
    (Motion.MOVES_LEFT, Motion.MOVES_RIGHT),
    (Motion.MOVES_UP, Motion.MOVES_DOWN),
    (Motion.GROWS, Motion.SHRINKS),
)
SHORT_DETAIL: Final = 0.35
"""Share of the facts in a caption of one of two events, so that both fit a model's context."""

MAX_EVENT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class SequenceCaption:
    """A sentence about consecutive events, with their captions."""

    text: str
    events: tuple[SceneCaption, ...]

    def describes(self, video: Video) -> bool:
        """Return whether the video shows the events consecutively."""
        return any(
            all(
                caption.describes(event.scene, event.motion)
                for caption, event in zip(self.events, video.events[first:], strict=False)
            )
            for first in range(len(video.events) - len(self.events) + 1)
        )


def caption_order(
    first: SceneCaption, second: SceneCaption, rng: np.random.Generator
) -> SequenceCaption:
    """State that one event precedes another."""
    text = pick(rng, ORDERS).format(first=first.text, second=second.text)
    return SequenceCaption(text, (first, second))


def short_caption(scene: Scene, motion: Motion, rng: np.random.Generator) -> SceneCaption:
    """Caption a scene with few facts, as a part of a longer caption."""
    return caption_scene(scene, rng, motion=motion, detail=SHORT_DETAIL)


def order_twins(rng: np.random.Generator) -> list[tuple[Video, SequenceCaption]]:
    """Draw two videos with two events in opposite orders and a third, with captions of the order.

    Neither caption describes the other video.
    """
    while True:
        scenes = [sample_scene(rng) for _ in range(3)]
        motions = [_sample_motion(rng) for _ in scenes]
        shown = list(zip(scenes, motions, strict=True))
        captions = [short_caption(scene, motion, rng) for scene, motion in shown[:2]]
        seconds = [_event_seconds(rng) for _ in shown]
        twins = []
        for order in ((0, 1, 2), (1, 0, 2)):
            video = _video([(*shown[n], seconds[n]) for n in order], rng)
            caption = caption_order(captions[order[0]], captions[order[1]], rng)
            twins.append((video, caption))
        (first, first_caption), (second, second_caption) = twins
        if not first_caption.describes(second) and not second_caption.describes(first):
            return twins


def motion_twins(rng: np.random.Generator) -> list[tuple[Video, SequenceCaption]]:
    """Draw two videos of one scene with opposite motions, followed by a still scene."""
    scene, other = sample_scene(rng), sample_scene(rng)
    pair = pick(rng, OPPOSITES)
    seconds, other_seconds = _event_seconds(rng), _event_seconds(rng)
    twins = []
    for motion in pair:
        video = _video([(scene, motion, seconds), (other, Motion.STILL, other_seconds)], rng)
        caption = video.events[0].caption
        twins.append((video, SequenceCaption(caption.text, (caption,))))
    return twins


def _video(events: list[tuple[Scene, Motion, float]], rng: np.random.Generator) -> Video:
    sequence, start = [], 0.0
    for scene, motion, seconds in events:
        caption = caption_scene(scene, rng, motion=motion)
        sequence.append(Event(start, start + seconds, scene, motion, None, caption))
        start += seconds
    return Video(tuple(sequence))


def _event_seconds(rng: np.random.Generator) -> float:
    return round_to_frame(rng.uniform(EVENT_SECONDS[0], MAX_EVENT_SECONDS))


def _sample_motion(rng: np.random.Generator) -> Motion:
    motions = (Motion.STILL, *(motion for pair in OPPOSITES for motion in pair))
    return pick(rng, motions)
