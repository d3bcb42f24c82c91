"""Generates photographs with the spectrum, detail and file size of camera pictures."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

logger = logging.getLogger(__name__)

MAX_SIZE = (4000, 3000)
"""Twelve megapixels."""

OCTAVES = (4, 12, 40, 130, 420, 1300)
"""Sizes of the noise octaves. Coarse noise is stronger: natural spectra fall as 1/f."""

SHAPES = ((4, 3), (3, 4), (3, 2), (16, 9), (1, 1))
BASES = 4


def write_photographs(
    folder: Path, count: int, *, megapixels: tuple[float, float], seed: int = 0
) -> list[Path]:
    """Write JPEG files of quality 90 with evenly spaced sizes and common aspect ratios.

    Args:
        folder: Output folder; created if it is missing.
        count: Number of files.
        megapixels: Smallest and largest size, up to 12.
        seed: Seed of the pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    bases = [Image.fromarray(_natural_picture(rng)) for _ in range(BASES)]
    paths = []
    for number, area in enumerate(np.linspace(*megapixels, count)):
        across, down = SHAPES[number % len(SHAPES)]
        height = (area * 1e6 * down / across) ** 0.5
        base = bases[number % BASES]
        scale = min(1.0, base.width / (height * across / down), base.height / height)
        size = (round(height * across / down * scale), round(height * scale))
        corner = (
            int(rng.integers(base.width - size[0] + 1)),
            int(rng.integers(base.height - size[1] + 1)),
        )
        photograph = base.crop((*corner, corner[0] + size[0], corner[1] + size[1]))
        paths.append(folder / f"{number:05}.jpg")
        photograph.save(paths[-1], quality=90)
        if number % 100 == 99:
            logger.info("%d of %d photographs written", number + 1, count)
    return paths


def _natural_picture(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Sum noise of all scales, coloured at coarse scales, and add camera grain."""
    total = np.zeros((MAX_SIZE[1], MAX_SIZE[0], 3), np.float32)
    for side in OCTAVES:
        noise = rng.normal(size=(side, side, 3)).astype(np.float32)
        grey = noise.mean(axis=2, keepdims=True)
        coarse = Image.fromarray(np.clip(128 + 40 * (0.4 * noise + grey), 0, 255).astype(np.uint8))
        weight = (OCTAVES[0] / side) ** 0.6
        total += weight * (np.asarray(coarse.resize(MAX_SIZE, Image.Resampling.BICUBIC)) - 128.0)
    total += rng.normal(0, 4, (MAX_SIZE[1], MAX_SIZE[0], 1)).astype(np.float32)
    return np.clip(128 + 2 * total, 0, 255).astype(np.uint8)
