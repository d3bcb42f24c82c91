"""Videos whose events look alike: one scene comes several times and moves otherwise each time.

In most videos of the demo world any single picture of an event gives it away. Here only the course
of time does: "moving left" and "moving right" show the same pictures in another order.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from retrieval.demo.captions import caption_scene
from retrieval.demo.scenes import Motion, Scene, sample_scene
from retrieval.demo.videos import EVENT_SECONDS, FRAMES_PER_SECOND, Event, Video

LOOK_ALIKES: Final = 3
"""Events of the same scene in one video."""

TELLING_MOTIONS: Final = (
    Motion.MOVES_LEFT, Motion.MOVES_RIGHT, Motion.MOVES_UP, Motion.MOVES_DOWN, Motion.GROWS,
    Motion.SHRINKS,
)  # fmt: skip
"""Motions that show on every shape: a spinning ring looks like one that is still."""


def sample_look_alikes(
    rng: np.random.Generator, *, unseen: bool = False, event_seconds: tuple[float, float] = (4, 12)
) -> Video:
    """Draw a video of three events of one scene, each with its own motion, and one or two others.

    Args:
        rng: Source of every choice.
        unseen: Take combinations of colour and shape that never occur in training.
        event_seconds: Shortest and longest event.
    """
    scene = sample_scene(rng, unseen=unseen)
    shown: list[tuple[Scene, Motion]] = [(scene, motion) for motion in telling_motions(rng)]
    others = 1 + int(rng.integers(2))
    shown += [(sample_scene(rng, unseen=unseen), Motion.STILL) for _ in range(others)]
    events: list[Event] = []
    start = 0.0
    for number in rng.permutation(len(shown)).tolist():
        seconds = max(EVENT_SECONDS[0], float(rng.uniform(*event_seconds)))
        end = start + round(seconds * FRAMES_PER_SECOND) / FRAMES_PER_SECOND
        this, motion = shown[number]
        caption = caption_scene(this, rng, motion=motion)
        events.append(Event(start, end, this, motion, None, caption))
        start = end
    return Video(tuple(events))


def telling_motions(rng: np.random.Generator) -> list[Motion]:
    """Different motions for the look-alikes of one video."""
    chosen = rng.choice(len(TELLING_MOTIONS), LOOK_ALIKES, replace=False)
    return [TELLING_MOTIONS[number] for number in chosen.tolist()]


def telling_events(video: Video) -> list[Event]:
    """Events whose captions are true of nothing else in the video, and say how they move."""
    return [
        event
        for event in video.events
        if event.motion in TELLING_MOTIONS and len(video.answers(event.caption)) == 1
    ]
