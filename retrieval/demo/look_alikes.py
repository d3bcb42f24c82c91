"""Samples videos with look-alike events: one scene with several motions.

A single frame identifies most events of the demo world, but not these: "moving left" and "moving
right" show the same pictures in another order.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from retrieval.demo.captions import caption_scene
from retrieval.demo.scenes import Motion, Scene, sample_scene
from retrieval.demo.videos import EVENT_SECONDS, Event, Video, round_to_frame

LOOK_ALIKES: Final = 3
"""Number of look-alike events in a video."""

VISIBLE_MOTIONS: Final = (
    Motion.MOVES_LEFT, Motion.MOVES_RIGHT, Motion.MOVES_UP, Motion.MOVES_DOWN, Motion.GROWS,
    Motion.SHRINKS,
)  # fmt: skip
"""Motions that are visible with every shape; a spinning ring looks still."""


def sample_look_alikes(
    rng: np.random.Generator, *, unseen: bool = False, event_seconds: tuple[float, float] = (4, 12)
) -> Video:
    """Draw a video with three events of one scene, each with another motion, and one or two others.

    Args:
        rng: Source of all random choices.
        unseen: Whether the scenes have held-out combinations of colour and shape.
        event_seconds: Shortest and longest event.
    """
    scene = sample_scene(rng, unseen=unseen)
    shown: list[tuple[Scene, Motion]] = [(scene, motion) for motion in sample_motions(rng)]
    others = 1 + int(rng.integers(2))
    shown += [(sample_scene(rng, unseen=unseen), Motion.STILL) for _ in range(others)]
    events: list[Event] = []
    start = 0.0
    for number in rng.permutation(len(shown)).tolist():
        seconds = max(EVENT_SECONDS[0], float(rng.uniform(*event_seconds)))
        end = start + round_to_frame(seconds)
        scene, motion = shown[number]
        caption = caption_scene(scene, rng, motion=motion)
        events.append(Event(start, end, scene, motion, None, caption))
        start = end
    return Video(tuple(events))


def sample_motions(rng: np.random.Generator) -> list[Motion]:
    """Draw different motions for the look-alikes of one video."""
    numbers = rng.choice(len(VISIBLE_MOTIONS), LOOK_ALIKES, replace=False)
    return [VISIBLE_MOTIONS[number] for number in numbers.tolist()]


def unambiguous_events(video: Video) -> list[Event]:
    """Return the moving events whose captions describe no other event of the video."""
    return [
        event
        for event in video.events
        if event.motion in VISIBLE_MOTIONS and len(video.matching_events(event.caption)) == 1
    ]
