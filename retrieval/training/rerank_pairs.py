"""Captions beside pictures that they nearly describe: what a re-ranker learns to tell apart.

A family is a scene and its look-alikes, which differ from it in one thing. Beside it stand the
pictures that the first stage confuses with it most. Which caption is true of which picture is known
exactly, because the facts that a caption states can be held against any scene.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.demo.captions import SceneCaption, caption_scene
from retrieval.demo.drawing import PICTURE_PIXELS, render_scene
from retrieval.demo.scenes import Colour, Scene, Shape, Size, Texture, sample_scene
from retrieval.demo.variations import vary_scene
from retrieval.protocols import Encoder
from retrieval.training.scene_pairs import small_picture

MEMBERS: Final = 3
"""Pictures of a family: a scene and two look-alikes."""

CONFUSED: Final = 2
"""Pictures of other families that the first stage finds closest to a family's caption."""

CAPTIONS_EACH: Final = 3
"""All of them but the last say everything."""

NAMES: Final = [len(Shape), len(Colour), len(Size), len(Texture)]
MOST_THINGS: Final = 3
MAP_SIDE: Final = 8

STREAM, HELD_OUT = 4, 5
"""First element of every seed; training and evaluation of other models use lower ones."""

_BLOCK: Final = 250


@dataclass(frozen=True, slots=True)
class Families:
    """Pictures, their captions, and which of them are true of which.

    Attributes:
        pixels: (families * MEMBERS, side, side, 3) uint8; a family's rows follow each other.
        captions: CAPTIONS_EACH texts for each picture.
        candidates: (families, MEMBERS + CONFUSED) rows of `pixels`: the family first.
        truth: (families, MEMBERS, CAPTIONS_EACH, MEMBERS + CONFUSED) bool: whether a member's
            caption is true of a candidate.
        things: (families * MEMBERS, MOST_THINGS, 5) int64: the place on the 8 × 8 map that a thing
            lies at, and the numbers of its shape, colour, size and texture; -1 where there is none.
    """

    pixels: NDArray[np.uint8]
    captions: list[list[str]]
    candidates: NDArray[np.int64]
    truth: NDArray[np.bool_]
    things: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Families of one block, before they know each other."""

    pixels: NDArray[np.uint8]
    scenes: list[Scene]
    captions: list[list[SceneCaption]]


def draw_families(count: int, seed: int, encoder: Encoder, say: Callable[[str], None]) -> Families:
    """Draw families in worker processes, and let the first stage choose what it confuses.

    Args:
        count: Families, at least CONFUSED + 1.
        seed: Decides them.
        encoder: The first stage; it also says how large pictures are.
        say: Called with a line now and then.
    """
    geometry = encoder.geometry
    if geometry is None:
        raise ValueError(f"{encoder.spec} embeds no pictures")
    jobs = [(seed, first, min(_BLOCK, count - first)) for first in range(0, count, _BLOCK)]
    blocks = []
    if len(jobs) == 1:
        blocks.append(_draw_block(jobs[0]))
    else:
        with multiprocessing.get_context("spawn").Pool() as pool:
            blocks += pool.imap(_draw_block, jobs)
    say(f"{count} families of {MEMBERS} pictures drawn")
    pixels = np.concatenate([block.pixels for block in blocks])
    scenes = [scene for block in blocks for scene in block.scenes]
    captions = [told for block in blocks for told in block.captions]
    eldest = [captions[row][0].text for row in range(0, len(captions), MEMBERS)]
    candidates = _candidates(pixels, eldest, encoder)
    say(f"{CONFUSED} pictures beside each family, chosen by {encoder.spec}")
    truth = np.array(
        [
            [
                [[told.describes(scenes[row]) for row in rows] for told in captions[member]]
                for member in rows[:MEMBERS]
            ]
            for rows in candidates.tolist()
        ]
    )
    texts = [[told.text for told in of_one] for of_one in captions]
    return Families(pixels, texts, candidates, truth, np.stack(list(map(_things, scenes))))


def relation_gallery(
    count: int, seed: int, *, look_alikes: bool = False
) -> tuple[list[Scene], list[tuple[int, SceneCaption]]]:
    """Held-out scenes, and the captions with a relation that are true of exactly one of them.

    Args:
        count: Scenes.
        seed: Decides them.
        look_alikes: Every third scene is followed by two that differ from it in one thing.

    Returns:
        The scenes, and for each caption the scene's number.
    """
    rng = np.random.default_rng([HELD_OUT, seed, int(look_alikes)])
    scenes: list[Scene] = []
    while len(scenes) < count:
        scenes += _family(rng) if look_alikes else [sample_scene(rng)]
    scenes = scenes[:count]
    told = [caption_scene(scene, rng) for scene in scenes]
    asked = [
        (number, caption)
        for number, caption in enumerate(told)
        if caption.relations and sum(map(caption.describes, scenes)) == 1
    ]
    return scenes, asked


def _candidates(
    pixels: NDArray[np.uint8], captions: list[str], encoder: Encoder
) -> NDArray[np.int64]:
    """Each family's own rows, then those of others that its caption finds first."""
    pictures = encoder.encode_images(pixels)
    texts = encoder.encode_text(captions)
    rows = np.empty((len(captions), MEMBERS + CONFUSED), np.int64)
    for family, text in enumerate(texts):
        own = np.arange(MEMBERS * family, MEMBERS * (family + 1))
        scores = pictures @ text
        scores[own] = -np.inf
        closest = np.argpartition(-scores, CONFUSED)[:CONFUSED]
        rows[family] = [*own, *closest]
    return rows


def _things(scene: Scene) -> NDArray[np.int64]:
    rows = np.full((MOST_THINGS, 1 + len(NAMES)), -1, np.int64)
    for number, thing in enumerate(scene.objects):
        place = int(thing.y * MAP_SIDE) * MAP_SIDE + int(thing.x * MAP_SIDE)
        names = [list(type(name)).index(name) for name in
                 (thing.shape, thing.colour, thing.size, thing.texture)]  # fmt: skip
        rows[number] = [place, *names]
    return rows


def _draw_block(job: tuple[int, int, int]) -> _Drawn:
    seed, first, size = job
    rng = np.random.default_rng([STREAM, seed, first])
    scenes = [scene for _ in range(size) for scene in _family(rng)]
    captions = [[caption_scene(scene, rng, detail=detail) for detail in _details(rng)]
                for scene in scenes]  # fmt: skip
    pixels = np.stack([small_picture(render_scene(scene, PICTURE_PIXELS)) for scene in scenes])
    return _Drawn(pixels, scenes, captions)


def _family(rng: np.random.Generator) -> Iterator[Scene]:
    eldest = sample_scene(rng)
    yield eldest
    for _ in range(MEMBERS - 1):
        yield vary_scene(eldest, rng)


def _details(rng: np.random.Generator) -> tuple[float, ...]:
    return (*[1.0] * (CAPTIONS_EACH - 1), float(rng.uniform(0.3, 1.0)))
