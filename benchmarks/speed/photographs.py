"""Generated photographs: pictures whose spectrum, detail and file size are those of a camera's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LARGEST = (4000, 3000)
"""Twelve megapixels."""

OCTAVES = (4, 12, 40, 130, 420, 1300)
"""Sides of the noise that is summed, the coarser the stronger: natural pictures fall as 1/f."""

SHAPES = ((4, 3), (3, 4), (3, 2), (16, 9), (1, 1))
BASES = 4


def write_photographs(
    folder: Path, count: int, *, megapixels: tuple[float, float], seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> list[Path]:  # fmt: skip
    """Write JPEG files of quality 90, of evenly spread sizes and usual aspect ratios.

    Args:
        folder: Where; made when missing.
        count: Files to write.
        megapixels: Smallest and largest size; at most 12.
        seed: Decides the pictures.
        say: Told now and then how far it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    bases = [Image.fromarray(_nature(rng)) for _ in range(BASES)]
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
            say(f"{number + 1} of {count} photographs written")
    return paths


def _nature(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Noise of every scale, coloured where it is coarse, with a camera's grain."""
    total = np.zeros((LARGEST[1], LARGEST[0], 3), np.float32)
    for side in OCTAVES:
        noise = rng.normal(size=(side, side, 3)).astype(np.float32)
        grey = noise.mean(axis=2, keepdims=True)
        coarse = Image.fromarray(np.clip(128 + 40 * (0.4 * noise + grey), 0, 255).astype(np.uint8))
        weight = (OCTAVES[0] / side) ** 0.6
        total += weight * (np.asarray(coarse.resize(LARGEST, Image.Resampling.BICUBIC)) - 128.0)
    total += rng.normal(0, 4, (LARGEST[1], LARGEST[0], 1)).astype(np.float32)
    return np.clip(128 + 2 * total, 0, 255).astype(np.uint8)
