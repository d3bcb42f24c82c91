"""Pictures and captions for a re-ranker: families of scenes that differ in one property.

The facts of a caption can be checked against any scene, so it is known which caption describes
which picture.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.demo.captions import SceneCaption, caption_scene
from retrieval.demo.drawing import PICTURE_PIXELS, render_scene
from retrieval.demo.scenes import Background, Colour, Scene, Shape, Size, Texture, sample_scene
from retrieval.demo.variations import CHANGES, REARRANGEMENTS, vary_scene
from retrieval.progress import Progress, no_progress
from retrieval.training.bundled.workers import map_jobs

logger = logging.getLogger(__name__)

MEMBERS: Final = 3
"""Pictures of a family: a scene and two similar ones."""

RIVALS: Final = 2
"""Number of other families that a caption is compared with."""

COMPARED: Final = MEMBERS * (1 + RIVALS)
"""Number of pictures that a caption is compared with."""

FULL_SHARE: Final = 0.7
"""Share of the captions that state all facts; typed queries leave some out."""

NAMES: Final = (len(Shape), len(Colour), len(Size), len(Texture))
BACKDROPS: Final = len(Background)
MAX_THINGS: Final = 3

STREAM, HELD_OUT = 6, 5
"""First element of every seed; no other model draws from these streams."""

_FAMILIES_PER_JOB: Final = 250


@dataclass(frozen=True, slots=True)
class Families:
    """Pictures and their content; MEMBERS consecutive rows are a family.

    Attributes:
        pixels: (rows, side, side, 3) uint8.
        scenes: The scene of each row.
        things: (rows, MAX_THINGS, 6) float32: the centre of each object, x and y as fractions of
            the picture, and the numbers of its shape, colour, size and texture; -1 for no object.
        backdrops: (rows,) int64 numbers of the backgrounds.
    """

    pixels: NDArray[np.uint8]
    scenes: list[Scene]
    things: NDArray[np.float32]
    backdrops: NDArray[np.int64]


def draw_families(count: int, seed: int, progress: Progress = no_progress) -> Families:
    """Draw families in worker processes.

    Args:
        count: Number of families.
        seed: Determines all draws.
        progress: Receives the number of pictures.
    """
    firsts = range(0, count, _FAMILIES_PER_JOB)
    jobs = [(seed, first, min(_FAMILIES_PER_JOB, count - first)) for first in firsts]
    pixels = np.empty((count * MEMBERS, PICTURE_PIXELS, PICTURE_PIXELS, 3), np.uint8)
    scenes: list[Scene] = []
    for pictures, job_scenes in map_jobs(_draw_job, jobs):
        pixels[len(scenes) : len(scenes) + len(job_scenes)] = pictures
        scenes += job_scenes
        progress("drawing scenes", len(scenes), len(pixels))
    logger.info(f"{count} families of {MEMBERS} pictures drawn")
    backgrounds = list(Background)
    backdrops = np.array([backgrounds.index(scene.background) for scene in scenes])
    return Families(pixels, scenes, np.stack([_list_things(scene) for scene in scenes]), backdrops)


def draw_captions(
    scenes: list[Scene], rng: np.random.Generator, *, few_words: bool = False
) -> list[SceneCaption]:
    """Draw a caption of each scene: mostly full ones, or only short ones such as `a red star`."""

    def detail() -> float:
        if few_words:
            return float(rng.uniform(0, 0.3))
        return 1.0 if rng.random() < FULL_SHARE else float(rng.uniform(0.2, 1))

    return [caption_scene(scene, rng, detail=detail()) for scene in scenes]


def compared_rows(rows: int) -> NDArray[np.int64]:
    """Return the rows that each caption is compared with, (rows, COMPARED).

    The first is the caption's own row; its family and rivals follow.

    Args:
        rows: Number of rows of whole families, more than RIVALS families.
    """
    own = np.arange(rows)
    first = own - own % MEMBERS
    family = [first + (own + step) % MEMBERS for step in range(MEMBERS)]
    rivals = [(first + step) % rows for step in range(MEMBERS, COMPARED)]
    return np.stack([*family, *rivals], axis=1)


def relation_gallery(
    count: int, seed: int, *, look_alikes: Sequence[str] = ()
) -> tuple[list[Scene], list[tuple[int, SceneCaption]]]:
    """Draw held-out scenes, and captions with a relation that describe exactly one of them.

    Args:
        count: Number of scenes.
        seed: Determines all draws.
        look_alikes: CHANGES or REARRANGEMENTS: every third scene is followed by two that
            differ from it in one of these properties; empty: scenes are independent.

    Returns:
        The scenes, and each caption with the number of its scene.
    """
    rng = np.random.default_rng([HELD_OUT, seed, int(bool(look_alikes))])
    scenes: list[Scene] = []
    while len(scenes) < count:
        scenes += (
            _draw_family(rng, look_alikes, look_alikes) if look_alikes else [sample_scene(rng)]
        )
    scenes = scenes[:count]
    captions = [caption_scene(scene, rng) for scene in scenes]
    queries = [
        (number, caption)
        for number, caption in enumerate(captions)
        if caption.relations and sum(map(caption.describes, scenes)) == 1
    ]
    return scenes, queries


def _list_things(scene: Scene) -> NDArray[np.float32]:
    rows = np.full((MAX_THINGS, 2 + len(NAMES)), -1, np.float32)
    for number, thing in enumerate(scene.objects):
        looks = (thing.shape, thing.colour, thing.size, thing.texture)
        rows[number] = [thing.x, thing.y, *(list(type(name)).index(name) for name in looks)]
    return rows


def _draw_job(job: tuple[int, int, int]) -> tuple[NDArray[np.uint8], list[Scene]]:
    seed, first, size = job
    rng = np.random.default_rng([STREAM, seed, first])
    # One member of each family is only rearranged; otherwise few captions depend on a relation.
    scenes = [scene for _ in range(size) for scene in _draw_family(rng, CHANGES, REARRANGEMENTS)]
    return np.stack([render_scene(scene, PICTURE_PIXELS) for scene in scenes]), scenes


def _draw_family(rng: np.random.Generator, *changes: Sequence[str]) -> Iterator[Scene]:
    scene = sample_scene(rng)
    yield scene
    for names in changes:
        yield vary_scene(scene, rng, names)
