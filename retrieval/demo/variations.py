"""Scenes that differ in one thing: what a model has to tell apart to find exactly the right one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from retrieval.demo.scenes import (
    CELLS,
    HIDDEN_ON,
    Background,
    Scene,
    SceneObject,
    is_held_out,
    pick,
    sample_object,
)

CHANGES: Final = ["background", "swap", "colour"] + 2 * ["place", "size", "texture"] + 3 * ["shape"]
"""What small pictures show least clearly is changed most often."""


REARRANGED: Final = ["swap", "place"]
"""What changes nothing but how objects lie."""


def vary_scene(scene: Scene, rng: np.random.Generator, changes: Sequence[str] = CHANGES) -> Scene:
    """Change the background, swap two objects, or change what or where one object is.

    The result is a scene that `sample_scene` could have drawn for training, with a grain of its
    own: it holds no combination of colour and shape that is held out.

    Args:
        scene: What to start from.
        rng: Source of every choice.
        changes: To choose from; "swap" needs another beside it for scenes of one object.
    """
    while True:
        candidate = _changed(scene, pick(rng, list(changes)), rng)
        if candidate != scene and _is_trainable(candidate):
            return replace(candidate, seed=int(rng.integers(2**32)))


def _changed(scene: Scene, change: str, rng: np.random.Generator) -> Scene:
    if change == "background":
        return replace(scene, background=pick(rng, list(Background)))
    objects = list(scene.objects)
    number = int(rng.integers(len(objects)))
    thing = objects[number]
    fresh = sample_object(rng, int(rng.integers(len(CELLS))), scene.background)
    if change == "swap":
        other = (number + 1) % len(objects)
        objects[number], objects[other] = (
            _moved(thing, objects[other]),
            _moved(objects[other], thing),
        )
    elif change == "place":
        objects[number] = _moved(thing, fresh)
    else:
        objects[number] = replace(thing, **{change: getattr(fresh, change)})
    return replace(scene, objects=tuple(objects))


def _moved(thing: SceneObject, where: SceneObject) -> SceneObject:
    return replace(thing, place=where.place, x=where.x, y=where.y)


def _is_trainable(scene: Scene) -> bool:
    things = scene.objects
    return (
        len({thing.place for thing in things}) == len(things)
        and len({thing.looks for thing in things}) == len(things)
        and not any(is_held_out(thing.colour, thing.shape) for thing in things)
        and not any(thing.colour in HIDDEN_ON[scene.background] for thing in things)
    )
