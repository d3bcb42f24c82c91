"""Pictures and captions of the demo world, drawn in bulk for training and evaluation."""

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
from retrieval.encoders.clip_sizes import DEVIATION, MEAN, SIDE_PIXELS
from retrieval.progress import Progress, no_progress
from retrieval.training.bundled.workers import map_jobs

Details = tuple[tuple[float, float], ...]
"""For each caption of a picture, the smallest and largest share of its facts that it states."""

CAPTIONS_EACH: Final = 4
FULL_DETAILS: Final[Details] = (*[(1.0, 1.0)] * (CAPTIONS_EACH - 1), (0.2, 1.0))
"""Captions that distinguish a picture from similar ones, and a shorter one."""

FEW_DETAILS: Final[Details] = ((1.0, 1.0), *[(0.0, 0.5)] * (CAPTIONS_EACH - 1))
"""Mostly short captions as in typed queries, such as `a red circle`."""

MOVING_SHARE: Final = 0.2
"""Share of the pictures that are frames of moving scenes, whose objects leave their positions."""

TRAIN, HELD_OUT, UNSEEN, FAMILIES = 0, 1, 2, 3
"""First element of every seed; the splits share no random stream."""

_ROWS_PER_JOB = 2_000
_Job = tuple[int, int, int, int, Details]
"""Seed, first row, number of rows, family size, details."""


def make_pairs(
    count: int,
    seed: int,
    *,
    family: int = 1,
    details: Details = FULL_DETAILS,
    progress: Progress = no_progress,
) -> tuple[NDArray[np.uint8], list[list[str]]]:
    """Draw scenes of the training split in worker processes.

    Args:
        count: Number of pictures.
        seed: Determines all draws.
        family: Number of consecutive rows of which all but the first differ from the first in one
            property; 1: all rows are independent.
        details: Detail of the captions.
        progress: Receives the number of pictures.

    Returns:
        (count, 64, 64, 3) uint8 pictures and the captions of each.
    """
    pixels = np.empty((count, SIDE_PIXELS, SIDE_PIXELS, 3), np.uint8)
    captions: list[list[str]] = []
    for pictures, texts in map_jobs(_draw_job, _make_jobs(count, seed, family, details)):
        pixels[len(captions) : len(captions) + len(texts)] = pictures
        captions += texts
        progress("drawing scenes", len(captions), count)
    return pixels, captions


def training_captions(count: int, seed: int) -> Iterator[str]:
    """Yield the captions of the first `count` pictures of `make_pairs` without drawing them."""
    for job in _make_jobs(count, seed, 1, FULL_DETAILS):
        for *_, texts in _describe_scenes(job):
            yield from texts


def make_gallery(
    count: int, split: int, seed: int
) -> tuple[list[Scene], NDArray[np.uint8], list[SceneCaption]]:
    """Draw different scenes for evaluation, with a full caption each.

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
    pixels = np.stack([resize_picture(render_scene(scene, PICTURE_PIXELS)) for scene in gallery])
    return gallery, pixels, [caption_scene(scene, rng) for scene in gallery]


def pair_batches(
    pixels: NDArray[np.uint8], tokens: Tensor, batch: int, seed: int, *, family: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield endless shuffled batches with random captions and random brightness.

    Args:
        pixels: (n, 64, 64, 3) uint8, n >= batch.
        tokens: (n, captions, length) tokenized captions.
        batch: Pairs per batch.
        seed: Determines order, captions and brightness.
        family: Number of rows that stay together; it divides `batch`.
    """
    rng = np.random.default_rng([TRAIN, seed, 2**31])
    members = np.arange(family)
    while True:
        order = rng.permutation(len(pixels) // family)
        for first in range(0, len(order) - batch // family + 1, batch // family):
            firsts = np.sort(order[first : first + batch // family])
            rows = (firsts[:, None] * family + members).ravel()
            text = tokens[rows, rng.integers(tokens.shape[1], size=batch)].long()
            brightness = rng.uniform(0.9, 1.1, (batch, 1, 1, 1)).astype(np.float32)
            yield normalize_pictures(pixels[rows]) * torch.from_numpy(brightness), text


def resize_picture(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize a square picture as the model's preprocessing does."""
    size = (SIDE_PIXELS, SIDE_PIXELS)
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def normalize_pictures(pixels: NDArray[np.uint8]) -> Tensor:
    """Convert (n, side, side, 3) uint8 to (n, 3, side, side) float32 as the preprocessing does."""
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
    return scaled.sub_(MEAN).div_(DEVIATION)


def _make_jobs(count: int, seed: int, family: int, details: Details) -> list[_Job]:
    starts = range(0, count, _ROWS_PER_JOB)
    return [(seed, first, min(_ROWS_PER_JOB, count - first), family, details) for first in starts]


def _draw_job(job: _Job) -> tuple[NDArray[np.uint8], list[list[str]]]:
    pixels, captions = [], []
    for scene, motion, phase, texts in _describe_scenes(job):
        picture = render_scene(scene, PICTURE_PIXELS, motion=motion, phase=phase)
        pixels.append(resize_picture(picture))
        captions.append(texts)
    return np.stack(pixels), captions


def _describe_scenes(job: _Job) -> Iterator[tuple[Scene, Motion, float, list[str]]]:
    """Yield scenes with their motion, its phase and their captions."""
    seed, first, size, family, details = job
    rng = np.random.default_rng([TRAIN if family == 1 else FAMILIES, seed, first])
    motions = list(Motion)
    for row in range(size):
        if row % family == 0:
            scene = family_scene = sample_scene(rng)
            # Frames of moving scenes make videos familiar to the model.
            moving = rng.random() < MOVING_SHARE
            motion = motions[int(rng.integers(len(motions)))] if moving else Motion.STILL
        else:
            scene = vary_scene(family_scene, rng)
        phase = float(rng.random())
        shares = [low if low == high else float(rng.uniform(low, high)) for low, high in details]
        yield (
            scene,
            motion,
            phase,
            [caption_scene(scene, rng, motion=motion, detail=detail).text for detail in shares],
        )
