"""Captions beside pictures that they nearly describe: what a re-ranker learns to tell apart.

A family is a scene and its look-alikes, which differ from it in one thing. Which caption is true of
which picture is known exactly, because the facts that a caption states can be held against any
scene.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.demo.captions import SceneCaption, caption_scene
from retrieval.demo.drawing import PICTURE_PIXELS, render_scene
from retrieval.demo.scenes import Background, Colour, Scene, Shape, Size, Texture, sample_scene
from retrieval.demo.variations import CHANGES, REARRANGEMENTS, vary_scene

MEMBERS: Final = 3
"""Pictures of a family: a scene and two look-alikes."""

RIVALS: Final = 2
"""Other families that a caption is held against too."""

CANDIDATES: Final = MEMBERS * (1 + RIVALS)
"""Pictures that a caption is held against."""

FULL: Final = 0.7
"""Share of the captions that say everything; the others leave facts out, as people do."""

NAMES: Final = (len(Shape), len(Colour), len(Size), len(Texture))
BACKDROPS: Final = len(Background)
MOST_THINGS: Final = 3

STREAM, HELD_OUT = 6, 5
"""First element of every seed; other models' training and evaluation use others."""

_BLOCK: Final = 250


@dataclass(frozen=True, slots=True)
class Families:
    """Pictures and what is in them; MEMBERS rows that follow each other are a family.

    Attributes:
        pixels: (rows, side, side, 3) uint8.
        scenes: What each row shows.
        things: (rows, MOST_THINGS, 6) float32: where a thing's centre lies, x and y as fractions of
            the picture, and the numbers of its shape, colour, size and texture; -1 for no thing.
        backdrops: (rows,) int64 numbers of the backgrounds.
    """

    pixels: NDArray[np.uint8]
    scenes: list[Scene]
    things: NDArray[np.float32]
    backdrops: NDArray[np.int64]


def draw_families(count: int, seed: int, say: Callable[[str], None]) -> Families:
    """Draw families, many of them in worker processes.

    Args:
        count: Families.
        seed: Decides them.
        say: Called with a line when they are drawn.
    """
    jobs = [(seed, first, min(_BLOCK, count - first)) for first in range(0, count, _BLOCK)]
    pixels = np.empty((count * MEMBERS, PICTURE_PIXELS, PICTURE_PIXELS, 3), np.uint8)
    scenes: list[Scene] = []
    if len(jobs) == 1:
        pixels[:], scenes = _draw_block(jobs[0])
    else:
        with multiprocessing.get_context("spawn").Pool() as pool:
            for drawn, shown in pool.imap(_draw_block, jobs):
                pixels[len(scenes) : len(scenes) + len(shown)] = drawn
                scenes += shown
    say(f"{count} families of {MEMBERS} pictures drawn")
    kinds = list(Background)
    backdrops = np.array([kinds.index(scene.background) for scene in scenes])
    return Families(pixels, scenes, np.stack([_things(scene) for scene in scenes]), backdrops)


def draw_captions(
    scenes: list[Scene], rng: np.random.Generator, *, few_words: bool = False
) -> list[SceneCaption]:
    """A caption of each scene; most say everything, or all of them little, as `a red star`."""

    def detail() -> float:
        if few_words:
            return float(rng.uniform(0, 0.3))
        return 1.0 if rng.random() < FULL else float(rng.uniform(0.2, 1))

    return [caption_scene(scene, rng, detail=detail()) for scene in scenes]


def candidates(rows: int) -> NDArray[np.int64]:
    """What each row's caption is held against, (rows, CANDIDATES): itself, look-alikes, rivals.

    Args:
        rows: Of whole families, more than RIVALS of them.
    """
    own = np.arange(rows)
    first = own - own % MEMBERS
    family = [first + (own + step) % MEMBERS for step in range(MEMBERS)]
    rivals = [(first + step) % rows for step in range(MEMBERS, CANDIDATES)]
    return np.stack([*family, *rivals], axis=1)


def relation_gallery(
    count: int, seed: int, *, look_alikes: Sequence[str] = ()
) -> tuple[list[Scene], list[tuple[int, SceneCaption]]]:
    """Held-out scenes, and the captions with a relation that are true of exactly one of them.

    Args:
        count: Scenes.
        seed: Decides them.
        look_alikes: Every third scene is followed by two that differ from it in one of these
            things, as CHANGES or REARRANGEMENTS; empty: scenes have nothing to do with each other.

    Returns:
        The scenes, and for each caption the scene's number.
    """
    rng = np.random.default_rng([HELD_OUT, seed, int(bool(look_alikes))])
    scenes: list[Scene] = []
    while len(scenes) < count:
        scenes += _family(rng, look_alikes, look_alikes) if look_alikes else [sample_scene(rng)]
    scenes = scenes[:count]
    told = [caption_scene(scene, rng) for scene in scenes]
    asked = [
        (number, caption)
        for number, caption in enumerate(told)
        if caption.relations and sum(map(caption.describes, scenes)) == 1
    ]
    return scenes, asked


def _things(scene: Scene) -> NDArray[np.float32]:
    rows = np.full((MOST_THINGS, 2 + len(NAMES)), -1, np.float32)
    for number, thing in enumerate(scene.objects):
        names = [list(type(name)).index(name) for name in
                 (thing.shape, thing.colour, thing.size, thing.texture)]  # fmt: skip
        rows[number] = [thing.x, thing.y, *names]
    return rows


def _draw_block(job: tuple[int, int, int]) -> tuple[NDArray[np.uint8], list[Scene]]:
    seed, first, size = job
    rng = np.random.default_rng([STREAM, seed, first])
    # One look-alike of each family is only rearranged: few captions hinge on a relation otherwise.
    scenes = [scene for _ in range(size) for scene in _family(rng, CHANGES, REARRANGEMENTS)]
    return np.stack([render_scene(scene, PICTURE_PIXELS) for scene in scenes]), scenes


def _family(rng: np.random.Generator, *changes: Sequence[str]) -> Iterator[Scene]:
    eldest = sample_scene(rng)
    yield eldest
    for kinds in changes:
        yield vary_scene(eldest, rng, kinds)
