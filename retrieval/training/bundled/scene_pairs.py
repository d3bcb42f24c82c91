"""Pictures and captions of the demo world, drawn in bulk for training and for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from retrieval.demo.captions import SceneCaption, caption_scene
from retrieval.demo.drawing import PICTURE_PIXELS, render_scene
from retrieval.demo.scenes import Motion, Scene, sample_scene
from retrieval.demo.variations import vary_scene
from retrieval.training.bundled.workers import draw
from retrieval.training.run import Telling

SIDE: Final = 64
"""Side of the model's input in pixels."""

Details = tuple[tuple[float, float], ...]
"""For each of a picture's captions, the least and the greatest share of its facts it states."""

CAPTIONS_EACH: Final = 4
EVERYTHING: Final[Details] = (*[(1.0, 1.0)] * (CAPTIONS_EACH - 1), (0.2, 1.0))
"""Captions that tell a picture apart from its look-alikes, and one that says less."""

FEW_WORDS: Final[Details] = ((1.0, 1.0), *[(0.0, 0.5)] * (CAPTIONS_EACH - 1))
"""Mostly what people type: `a red circle`."""

MOVING: Final = 0.2
"""Share of the pictures that are frames of moving scenes, where things leave their places."""

MEAN, DEVIATION = 0.5, 0.25
"""What the model's preprocessing subtracts and divides by, in every channel."""

TRAIN, HELD_OUT, UNSEEN, FAMILIES = 0, 1, 2, 3
"""First element of every seed: the splits share no random stream."""

_BLOCK = 2_000
_Block = tuple[int, int, int, int, Details]  # seed, first row, rows, family, details


def make_pairs(
    count: int,
    seed: int,
    telling: Telling,
    *,
    family: int = 1,
    details: Details = EVERYTHING,
) -> tuple[NDArray[np.uint8], list[list[str]]]:
    """Draw scenes of the training split, in worker processes.

    Args:
        count: Pictures to draw.
        seed: Decides them.
        telling: Who hears of it.
        family: Rows that follow each other and differ in one thing from the first of them; 1: every
            row is drawn for itself.
        details: How much the captions say.

    Returns:
        (count, 64, 64, 3) uint8 pictures and, for each, its captions.
    """
    pixels = np.empty((count, SIDE, SIDE, 3), np.uint8)
    captions: list[list[str]] = []
    for drawn, texts in draw(_draw_block, _blocks(count, seed, family, details)):
        pixels[len(captions) : len(captions) + len(texts)] = drawn
        captions += texts
        telling.progress("draw scenes", len(captions), count, "")
    return pixels, captions


def training_captions(count: int, seed: int) -> Iterator[str]:
    """The captions of the first `count` pictures that `make_pairs` would draw."""
    for job in _blocks(count, seed, 1, EVERYTHING):
        for *_, texts in _described_scenes(job):
            yield from texts


def make_gallery(
    count: int, split: int, seed: int
) -> tuple[list[Scene], NDArray[np.uint8], list[SceneCaption]]:
    """Draw scenes for evaluation, no two of them alike, with a full caption each.

    Returns:
        The scenes, their (count, 64, 64, 3) uint8 pictures, and their captions.
    """
    rng = np.random.default_rng([split, seed])
    scenes: dict[object, Scene] = {}
    while len(scenes) < count:
        scene = sample_scene(rng, unseen=split == UNSEEN)
        facts = frozenset((thing.looks, thing.cell) for thing in scene.objects)
        scenes.setdefault((facts, scene.background), scene)
    gallery = list(scenes.values())
    pixels = np.stack([small_picture(render_scene(scene, PICTURE_PIXELS)) for scene in gallery])
    return gallery, pixels, [caption_scene(scene, rng) for scene in gallery]


def pair_batches(
    pixels: NDArray[np.uint8], tokens: Tensor, batch: int, seed: int, *, family: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless shuffled batches: each time another of a picture's captions, and other light.

    Args:
        pixels: (n, 64, 64, 3) uint8, n >= batch.
        tokens: (n, captions, length) tokenized captions.
        batch: Pairs in a batch.
        seed: Decides order, captions and light.
        family: Rows that stay together in a batch; it divides `batch`.
    """
    rng = np.random.default_rng([TRAIN, seed, 2**31])
    members = np.arange(family)
    while True:
        order = rng.permutation(len(pixels) // family)
        for first in range(0, len(order) - batch // family + 1, batch // family):
            firsts = np.sort(order[first : first + batch // family])
            rows = (firsts[:, None] * family + members).ravel()
            text = tokens[rows, rng.integers(tokens.shape[1], size=batch)].long()
            light = rng.uniform(0.9, 1.1, (batch, 1, 1, 1)).astype(np.float32)
            yield normalised(pixels[rows]) * torch.from_numpy(light), text


def small_picture(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce a square picture to the model's input as its preprocessing does."""
    image = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.array(image)


def normalised(pixels: NDArray[np.uint8]) -> Tensor:
    """(n, side, side, 3) uint8 → (n, 3, side, side) float32, as the model's preprocessing does."""
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
    return scaled.sub_(MEAN).div_(DEVIATION)


def _blocks(count: int, seed: int, family: int, details: Details) -> list[_Block]:
    starts = range(0, count, _BLOCK)
    return [(seed, first, min(_BLOCK, count - first), family, details) for first in starts]


def _draw_block(job: _Block) -> tuple[NDArray[np.uint8], list[list[str]]]:
    pixels, captions = [], []
    for scene, motion, phase, texts in _described_scenes(job):
        drawn = render_scene(scene, PICTURE_PIXELS, motion=motion, phase=phase)
        pixels.append(small_picture(drawn))
        captions.append(texts)
    return np.stack(pixels), captions


def _described_scenes(job: _Block) -> Iterator[tuple[Scene, Motion, float, list[str]]]:
    """Scenes with their motion, its phase and their captions."""
    seed, first, size, family, details = job
    rng = np.random.default_rng([TRAIN if family == 1 else FAMILIES, seed, first])
    for row in range(size):
        if row % family == 0:
            scene = eldest = sample_scene(rng)
            # Some of the pictures are frames of moving scenes, so that videos hold nothing new.
            motion = _any_motion(rng) if rng.random() < MOVING else Motion.STILL
        else:
            scene = vary_scene(eldest, rng)
        phase = float(rng.random())
        shares = [low if low == high else float(rng.uniform(low, high)) for low, high in details]
        yield (
            scene,
            motion,
            phase,
            [caption_scene(scene, rng, motion=motion, detail=detail).text for detail in shares],
        )


def _any_motion(rng: np.random.Generator) -> Motion:
    return list(Motion)[int(rng.integers(len(Motion)))]
