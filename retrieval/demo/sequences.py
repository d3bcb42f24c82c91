"""Videos that only the course of time tells apart, and captions that say it.

Two events in one order and in the other; one scene that moves one way and the other way. The mean
of the frames is the same for both, or nearly so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from retrieval.demo.captions import SceneCaption, caption_scene
from retrieval.demo.scenes import Motion, Scene, sample_scene
from retrieval.demo.videos import EVENT_SECONDS, FRAMES_PER_SECOND, Event, Video

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
"""Share of the facts in each half of a caption about two events, which a model must read whole."""

LONGEST_TWIN: Final = 10.0
"""Seconds of an event at most."""


@dataclass(frozen=True, slots=True)
class SequenceCaption:
    """A sentence about a video's course, and what it states: an event, or two in their order."""

    text: str
    events: tuple[SceneCaption, ...]

    def describes(self, video: Video) -> bool:
        """Whether the video shows the events, one right after the other."""
        shown = video.events
        return any(
            all(
                caption.describes(event.scene, event.motion)
                for caption, event in zip(self.events, shown[first:], strict=False)
            )
            for first in range(len(shown) - len(self.events) + 1)
        )


def caption_order(
    first: SceneCaption, second: SceneCaption, rng: np.random.Generator
) -> SequenceCaption:
    """Say that one event comes before another."""
    form = ORDERS[int(rng.integers(len(ORDERS)))]
    text = form.format(first=first.text, second=second.text)
    return SequenceCaption(text, (first, second))


def short_caption(scene: Scene, motion: Motion, rng: np.random.Generator) -> SceneCaption:
    """A caption that leaves room for another beside it."""
    return caption_scene(scene, rng, motion=motion, detail=SHORT_DETAIL)


def order_twins(rng: np.random.Generator) -> list[tuple[Video, SequenceCaption]]:
    """Two videos of the same two events and a third, and what tells the two orders apart.

    Neither of the two captions is true of the other video.
    """
    while True:
        scenes = [sample_scene(rng) for _ in range(3)]
        motions = [_some_motion(rng) for _ in scenes]
        shown = list(zip(scenes, motions, strict=True))
        captions = [short_caption(*one, rng) for one in shown[:2]]
        seconds = [_event_seconds(rng) for _ in shown]
        twins = []
        for order in ((0, 1, 2), (1, 0, 2)):
            video = _video([(*shown[n], seconds[n]) for n in order], rng)
            said = caption_order(captions[order[0]], captions[order[1]], rng)
            twins.append((video, said))
        (one, first), (other, second) = twins
        if not first.describes(other) and not second.describes(one):
            return twins


def motion_twins(rng: np.random.Generator) -> list[tuple[Video, SequenceCaption]]:
    """Two videos in which one scene moves in opposite ways, with a still scene behind it."""
    scene, other = sample_scene(rng), sample_scene(rng)
    pair = OPPOSITES[int(rng.integers(len(OPPOSITES)))]
    seconds, rest = _event_seconds(rng), _event_seconds(rng)
    twins = []
    for motion in pair:
        video = _video([(scene, motion, seconds), (other, Motion.STILL, rest)], rng)
        caption = video.events[0].caption
        twins.append((video, SequenceCaption(caption.text, (caption,))))
    return twins


def _video(events: list[tuple[Scene, Motion, float]], rng: np.random.Generator) -> Video:
    shown, start = [], 0.0
    for scene, motion, seconds in events:
        caption = caption_scene(scene, rng, motion=motion)
        shown.append(Event(start, start + seconds, scene, motion, None, caption))
        start += seconds
    return Video(tuple(shown))


def _event_seconds(rng: np.random.Generator) -> float:
    return (
        round(rng.uniform(EVENT_SECONDS[0], LONGEST_TWIN) * FRAMES_PER_SECOND) / FRAMES_PER_SECOND
    )


def _some_motion(rng: np.random.Generator) -> Motion:
    motions = (Motion.STILL, *(motion for pair in OPPOSITES for motion in pair))
    return motions[int(rng.integers(len(motions)))]
