"""Varies scenes in one attribute, for hard negatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from retrieval.demo.choices import pick
from retrieval.demo.scenes import (
    CELLS,
    HIDDEN_ON,
    Background,
    Scene,
    SceneObject,
    is_held_out,
    sample_object,
)

CHANGES: Final = ["background", "swap", "colour"] + 2 * ["cell", "size", "texture"] + 3 * ["shape"]
"""Possible changes; attributes that are less visible in small pictures occur more often."""

REARRANGEMENTS: Final = ["swap", "cell"]
"""Changes of positions only."""


def vary_scene(scene: Scene, rng: np.random.Generator, changes: Sequence[str] = CHANGES) -> Scene:
    """Change the background, swap two objects, or change an attribute of one object.

    The result is a valid training scene: it has no held-out combination of colour and shape. Its
    grain is new.

    Args:
        scene: The scene.
        rng: Source of all random choices.
        changes: The possible changes. "swap" alone is impossible in scenes of one object.
    """
    while True:
        varied = _change(scene, pick(rng, changes), rng)
        if varied != scene and _is_trainable(varied):
            return replace(varied, seed=int(rng.integers(2**32)))


def _change(scene: Scene, change: str, rng: np.random.Generator) -> Scene:
    if change == "background":
        return replace(scene, background=pick(rng, Background))
    objects = list(scene.objects)
    index = int(rng.integers(len(objects)))
    old = objects[index]
    new = sample_object(rng, int(rng.integers(len(CELLS))), scene.background)
    if change == "swap":
        other = (index + 1) % len(objects)
        objects[index], objects[other] = _move(old, objects[other]), _move(objects[other], old)
    elif change == "cell":
        objects[index] = _move(old, new)
    else:
        objects[index] = replace(old, **{change: getattr(new, change)})
    return replace(scene, objects=tuple(objects))


def _move(scene_object: SceneObject, target: SceneObject) -> SceneObject:
    """Move an object to the position of another."""
    return replace(scene_object, cell=target.cell, x=target.x, y=target.y)


def _is_trainable(scene: Scene) -> bool:
    objects = scene.objects
    return (
        len({each.cell for each in objects}) == len(objects)
        and len({each.looks for each in objects}) == len(objects)
        and not any(is_held_out(each.colour, each.shape) for each in objects)
        and not any(each.colour in HIDDEN_ON[scene.background] for each in objects)
    )
