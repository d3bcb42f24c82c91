"""Pictures and captions of the demo world, drawn in bulk for training and for evaluation."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from retrieval.demo.captions import SceneCaption, caption_scene
from retrieval.demo.drawing import render_scene
from retrieval.demo.scenes import Motion, Scene, sample_scene

SIDE: Final = 64
"""Side of the model's input in pixels."""

CAPTIONS_EACH: Final = 4
MEAN, DEVIATION = 0.5, 0.25
"""What the model's preprocessing subtracts and divides by, in every channel."""

TRAIN, HELD_OUT, UNSEEN = 0, 1, 2
"""First element of every seed: the splits share no random stream."""

_BLOCK = 2_000
_DRAWN_SIDE = 128


def make_pairs(
    count: int, seed: int, say: Callable[[str], None]
) -> tuple[NDArray[np.uint8], list[list[str]]]:
    """Draw scenes of the training split, in worker processes.

    Returns:
        (count, 64, 64, 3) uint8 pictures and, for each, its captions.
    """
    jobs = [(seed, first, min(_BLOCK, count - first)) for first in range(0, count, _BLOCK)]
    if len(jobs) == 1:
        return _draw_block(jobs[0])
    pixels = np.empty((count, SIDE, SIDE, 3), np.uint8)
    captions: list[list[str]] = []
    with multiprocessing.get_context("spawn").Pool() as pool:
        for (_, first, size), (drawn, texts) in zip(
            jobs, pool.imap(_draw_block, jobs), strict=True
        ):
            pixels[first : first + size] = drawn
            captions += texts
            if first % (20 * _BLOCK) == 0:
                say(f"{first + size} of {count} scenes drawn")
    return pixels, captions


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
        facts = frozenset((thing.looks, thing.place) for thing in scene.objects)
        scenes.setdefault((facts, scene.background), scene)
    gallery = list(scenes.values())
    pixels = np.stack([small_picture(render_scene(scene, _DRAWN_SIDE)) for scene in gallery])
    return gallery, pixels, [caption_scene(scene, rng) for scene in gallery]


def pair_batches(
    pixels: NDArray[np.uint8], tokens: Tensor, batch: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless shuffled batches: each time another of a picture's captions, and other light.

    Args:
        pixels: (n, 64, 64, 3) uint8, n >= batch.
        tokens: (n, captions, length) tokenized captions.
        batch: Pairs in a batch.
        seed: Decides order, captions and light.
    """
    rng = np.random.default_rng([TRAIN, seed, 2**31])
    while True:
        order = rng.permutation(len(pixels))
        for first in range(0, len(order) - batch + 1, batch):
            rows = np.sort(order[first : first + batch])
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


def _draw_block(job: tuple[int, int, int]) -> tuple[NDArray[np.uint8], list[list[str]]]:
    seed, first, size = job
    rng = np.random.default_rng([TRAIN, seed, first])
    pixels = np.empty((size, SIDE, SIDE, 3), np.uint8)
    captions = []
    for row in range(size):
        scene = sample_scene(rng)
        # Half of the pictures are frames of moving scenes, so that videos hold nothing new.
        motion = _any_motion(rng) if rng.random() < 0.5 else Motion.STILL
        drawn = render_scene(scene, _DRAWN_SIDE, motion=motion, phase=float(rng.random()))
        pixels[row] = small_picture(drawn)
        details = (1.0, 1.0, *rng.uniform(0.3, 1.0, CAPTIONS_EACH - 2).tolist())
        captions.append(
            [caption_scene(scene, rng, motion=motion, detail=detail).text for detail in details]
        )
    return pixels, captions


def _any_motion(rng: np.random.Generator) -> Motion:
    return list(Motion)[int(rng.integers(len(Motion)))]
