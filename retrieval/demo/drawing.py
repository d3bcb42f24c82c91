"""Draws scenes with Pillow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from retrieval.demo.scenes import (
    Background,
    Colour,
    Motion,
    Scene,
    SceneObject,
    Shape,
    Size,
    Texture,
)

RgbColour = tuple[int, int, int]

RGB: Final[dict[Colour, RgbColour]] = {
    Colour.RED: (214, 40, 40),
    Colour.ORANGE: (245, 130, 32),
    Colour.YELLOW: (247, 214, 32),
    Colour.GREEN: (44, 160, 60),
    Colour.CYAN: (40, 200, 215),
    Colour.BLUE: (40, 80, 215),
    Colour.PURPLE: (128, 50, 170),
    Colour.PINK: (246, 130, 190),
    Colour.BROWN: (122, 74, 36),
    Colour.WHITE: (246, 246, 246),
    Colour.BLACK: (18, 18, 18),
    Colour.GRAY: (128, 128, 128),
}
RADIUS: Final = {Size.SMALL: 0.095, Size.MEDIUM: 0.135, Size.LARGE: 0.185}
"""Outer radius of a shape as a fraction of the picture's side."""

PICTURE_PIXELS: Final = 128
"""Side of the demo world's pictures and videos."""

OVERSAMPLING = 2
TRAVEL = 0.16
"""Distance that a moving object travels to either side, as a fraction of the side."""


def render_scene(
    scene: Scene, size_pixels: int, *, motion: Motion = Motion.STILL, phase: float = 0.0
) -> NDArray[np.uint8]:
    """Draw a scene.

    Args:
        scene: The scene.
        size_pixels: Side of the square picture.
        motion: Motion of its objects.
        phase: Phase of the motion, from 0 (start) to 1 (end).

    Returns:
        (size_pixels, size_pixels, 3) uint8 RGB.
    """
    rng = np.random.default_rng(scene.seed)
    light = rng.uniform(0.85, 1.1)
    side = size_pixels * OVERSAMPLING
    image = _background(scene.background, side, int(rng.integers(8))).copy()
    for scene_object in scene.objects:
        colour = np.add(RGB[scene_object.colour], rng.normal(0, 6, 3))
        tint = tuple(int(v) for v in np.clip(colour, 0, 255))
        _draw(image, scene_object, tint, motion, phase)
    small = np.asarray(image.reduce(OVERSAMPLING), np.float32)
    grain = rng.normal(0, 3.0, (size_pixels, size_pixels, 1)).astype(np.float32)
    pixels: NDArray[np.uint8] = np.clip(small * light + grain, 0, 255).astype(np.uint8)
    return pixels


def _draw(
    image: Image.Image,
    scene_object: SceneObject,
    tint: tuple[int, ...],
    motion: Motion,
    phase: float,
) -> None:
    side = image.width
    x, y, scale, turn = _pose(scene_object, motion, phase)
    radius = RADIUS[scene_object.size] * side * scale
    extent = max(4, math.ceil(radius * 1.15))
    angle = math.radians(turn)
    draw_outline = _OUTLINES[scene_object.shape]
    mask = Image.new("L", (2 * extent, 2 * extent), 0)
    draw_outline(ImageDraw.Draw(mask), extent, radius, angle)
    corner = (round(x * side) - extent, round(y * side) - extent)
    # A thin dark rim keeps every colour visible on every background.
    rim = Image.new("L", mask.size, 0)
    draw_outline(ImageDraw.Draw(rim), extent, radius + max(1.0, side / 100), angle)
    dark = tuple(int(v * 0.45) for v in tint)
    image.paste(dark, corner, rim)
    image.paste(_fill(scene_object.texture, tint, mask.size, side), corner, mask)
    if scene_object.texture is Texture.OUTLINED:
        inner = Image.new("L", mask.size, 0)
        draw_outline(ImageDraw.Draw(inner), extent, radius * 0.62, angle)
        image.paste(_colour_at(image, corner), corner, ImageChops.darker(inner, mask))


def _colour_at(image: Image.Image, corner: tuple[int, int]) -> RgbColour:
    """Return the colour next to a shape, for the inside of an outlined one."""
    x = min(max(corner[0], 0), image.width - 1)
    y = min(max(corner[1], 0), image.height - 1)
    red, green, blue = image.getpixel((x, y))  # type: ignore[misc]  # an RGB picture
    return (int(red), int(green), int(blue))


def _pose(
    scene_object: SceneObject, motion: Motion, phase: float
) -> tuple[float, float, float, float]:
    """Return x, y, scale and angle in degrees of an object at one phase of a motion."""
    shift = TRAVEL * (2 * phase - 1)
    x, y, scale, angle = scene_object.x, scene_object.y, 1.0, scene_object.angle_degrees
    if motion in (Motion.MOVES_LEFT, Motion.MOVES_RIGHT):
        x += shift if motion is Motion.MOVES_RIGHT else -shift
    elif motion in (Motion.MOVES_UP, Motion.MOVES_DOWN):
        y += shift if motion is Motion.MOVES_DOWN else -shift
    elif motion in (Motion.GROWS, Motion.SHRINKS):
        scale = 0.7 + 0.6 * (phase if motion is Motion.GROWS else 1 - phase)
    elif motion is Motion.SPINS:
        angle += 360 * phase
    return x, y, scale, angle


def _fill(texture: Texture, tint: tuple[int, ...], size: tuple[int, int], side: int) -> Image.Image:
    fill = Image.new("RGB", size, tint)
    if texture in (Texture.PLAIN, Texture.OUTLINED):
        return fill
    bright = sum(tint) > 380
    second = tuple(int(v * 0.35) if bright else int(v + (255 - v) * 0.75) for v in tint)
    fill.paste(second, (0, 0), _pattern(texture, size[0], max(2, side // 21)))
    return fill


@lru_cache(maxsize=512)
def _pattern(texture: Texture, extent: int, step: int) -> Image.Image:
    """Return a square mask of stripes, dots or checks."""
    y, x = np.mgrid[0:extent, 0:extent]
    if texture is Texture.STRIPED:
        on = ((x + y) // step) % 2 == 0
    elif texture is Texture.CHECKERED:
        on = (x // step + y // step) % 2 == 0
    else:
        pitch = 2 * step
        on = (x % pitch - step + 0.5) ** 2 + (y % pitch - step + 0.5) ** 2 < (0.62 * step) ** 2
    return Image.fromarray((on * 255).astype(np.uint8))


# ---------------------------------------------------------------- outlines

Outline = Callable[[ImageDraw.ImageDraw, int, float, float], None]


def _polygon(corners: Sequence[tuple[float, float]]) -> Outline:
    """Return an outline with corners in units of the radius."""

    def draw(pen: ImageDraw.ImageDraw, centre: int, radius: float, turn: float) -> None:
        cos, sin = math.cos(turn) * radius, math.sin(turn) * radius
        pen.polygon(
            [(centre + x * cos - y * sin, centre + x * sin + y * cos) for x, y in corners], 255
        )

    return draw


def _regular(corners: int, first_degrees: float) -> list[tuple[float, float]]:
    angles = [math.radians(first_degrees + 360 * i / corners) for i in range(corners)]
    return [(math.cos(a), math.sin(a)) for a in angles]


def _star() -> list[tuple[float, float]]:
    return [
        (x * (1.0, 0.42)[i % 2], y * (1.0, 0.42)[i % 2])
        for i, (x, y) in enumerate(_regular(10, -90))
    ]


def _heart() -> list[tuple[float, float]]:
    ts = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    x = 16 * np.sin(ts) ** 3
    y = -(13 * np.cos(ts) - 5 * np.cos(2 * ts) - 2 * np.cos(3 * ts) - np.cos(4 * ts))
    return [(float(a) / 16.5, float(b) / 16.5) for a, b in zip(x, y, strict=True)]


def _disc(pen: ImageDraw.ImageDraw, centre: int, radius: float, turn: float) -> None:
    del turn
    pen.ellipse((centre - radius, centre - radius, centre + radius, centre + radius), 255)


def _ring(pen: ImageDraw.ImageDraw, centre: int, radius: float, turn: float) -> None:
    _disc(pen, centre, radius, turn)
    hole = radius * 0.5
    pen.ellipse((centre - hole, centre - hole, centre + hole, centre + hole), 0)


def _crescent(pen: ImageDraw.ImageDraw, centre: int, radius: float, turn: float) -> None:
    _disc(pen, centre, radius, turn)
    bite = radius * 0.85
    x = centre + radius * 0.55 * math.cos(turn)
    y = centre + radius * 0.55 * math.sin(turn)
    pen.ellipse((x - bite, y - bite, x + bite, y + bite), 0)


_CROSS = [
    (-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3),
    (0.3, 1), (-0.3, 1), (-0.3, 0.3), (-1, 0.3), (-1, -0.3), (-0.3, -0.3),
]  # fmt: skip
_ARROW = [(0, -1), (0.8, 0), (0.3, 0), (0.3, 1), (-0.3, 1), (-0.3, 0), (-0.8, 0)]
_OUTLINES: Final[dict[Shape, Outline]] = {
    Shape.CIRCLE: _disc,
    Shape.SQUARE: _polygon([(-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82)]),
    Shape.TRIANGLE: _polygon(_regular(3, -90)),
    Shape.STAR: _polygon(_star()),
    Shape.HEART: _polygon(_heart()),
    Shape.CROSS: _polygon(_CROSS),
    Shape.RING: _ring,
    Shape.CRESCENT: _crescent,
    Shape.DIAMOND: _polygon([(0, -1), (0.68, 0), (0, 1), (-0.68, 0)]),
    Shape.HEXAGON: _polygon(_regular(6, 0)),
    Shape.ARROW: _polygon(_ARROW),
}

# ---------------------------------------------------------------- backgrounds

_GRADIENTS: Final[dict[Background, tuple[RgbColour, RgbColour]]] = {
    Background.WHITE: ((250, 250, 250), (238, 238, 238)),
    Background.BLACK: ((14, 14, 14), (26, 26, 26)),
    Background.GRAY: ((150, 150, 150), (128, 128, 128)),
    Background.SUNSET: ((110, 50, 120), (255, 150, 70)),
    Background.NIGHT: ((8, 10, 40), (26, 30, 84)),
    Background.MEADOW: ((110, 180, 80), (60, 130, 50)),
    Background.SEA: ((70, 150, 210), (20, 70, 140)),
    Background.SAND: ((232, 208, 150), (214, 184, 120)),
    Background.BRICKS: ((168, 80, 60), (148, 66, 50)),
    Background.SNOW: ((214, 228, 242), (236, 244, 250)),
}


@lru_cache(maxsize=256)
def _background(background: Background, side: int, variant: int) -> Image.Image:
    """Draw a background with its marks (stars, blades, waves …); `variant` moves the marks."""
    top, bottom = (np.asarray(colour, np.float32) for colour in _GRADIENTS[background])
    slope = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
    pixels = np.broadcast_to(top + (bottom - top) * slope, (side, side, 3))
    image = Image.fromarray(pixels.astype(np.uint8))
    rng = np.random.default_rng([variant, list(Background).index(background)])
    marks = _MARKS.get(background)
    if marks is not None:
        marks(ImageDraw.Draw(image), side, rng)
    return image


def _dots(
    count: int,
    per_side: int,
    fill: tuple[int, int, int],
    outline: tuple[int, int, int] | None = None,
) -> Callable[[ImageDraw.ImageDraw, int, np.random.Generator], None]:
    """Return a function that draws dots with a radius of `side / per_side`."""

    def draw(pen: ImageDraw.ImageDraw, side: int, rng: np.random.Generator) -> None:
        dot = side / per_side
        for x, y in rng.uniform(0, side, (count, 2)).tolist():
            pen.ellipse((x - dot, y - dot, x + dot, y + dot), fill, outline)

    return draw


def _blades(pen: ImageDraw.ImageDraw, side: int, rng: np.random.Generator) -> None:
    for x, y in rng.uniform(0, side, (160, 2)).tolist():
        pen.line((x, y, x + side / 60, y - side / 18), (44, 104, 36), max(1, side // 90))


def _waves(pen: ImageDraw.ImageDraw, side: int, rng: np.random.Generator) -> None:
    for x, y in rng.uniform(0, side, (40, 2)).tolist():
        pen.arc((x, y, x + side / 8, y + side / 16), 200, 340, (170, 215, 240), max(1, side // 80))


def _wall(pen: ImageDraw.ImageDraw, side: int, rng: np.random.Generator) -> None:
    row, mortar = side / 10, (214, 196, 186)
    shift = float(rng.uniform(0, row))
    for i in range(12):
        y = i * row - shift
        pen.line((0, y, side, y), mortar, max(1, side // 80))
        for j in range(7):
            x = (j + 0.5 * (i % 2)) * side / 5
            pen.line((x, y, x, y + row), mortar, max(1, side // 80))


_MARKS: Final = {
    Background.NIGHT: _dots(45, 90, (250, 250, 210)),
    Background.MEADOW: _blades,
    Background.SEA: _waves,
    Background.SAND: _dots(140, 140, (176, 142, 84)),
    Background.BRICKS: _wall,
    Background.SNOW: _dots(50, 60, (255, 255, 255), (190, 208, 228)),
}
