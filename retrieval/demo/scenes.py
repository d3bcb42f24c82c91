"""Samples the demo world's scenes: a few coloured, textured shapes on a background.

A scene is a value that always renders to the same picture. Some combinations of colour and shape
are held out of training, for testing generalisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from retrieval.demo.choices import pick


class Shape(StrEnum):
    """Shape of an object."""

    CIRCLE = "circle"
    SQUARE = "square"
    TRIANGLE = "triangle"
    STAR = "star"
    HEART = "heart"
    CROSS = "cross"
    RING = "ring"
    CRESCENT = "crescent"
    DIAMOND = "diamond"
    HEXAGON = "hexagon"
    ARROW = "arrow"


class Colour(StrEnum):
    """Colour of an object."""

    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    GREEN = "green"
    CYAN = "cyan"
    BLUE = "blue"
    PURPLE = "purple"
    PINK = "pink"
    BROWN = "brown"
    WHITE = "white"
    BLACK = "black"
    GRAY = "gray"


class Size(StrEnum):
    """Size of an object."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


class Texture(StrEnum):
    """Fill of an object."""

    PLAIN = "plain"
    STRIPED = "striped"
    DOTTED = "dotted"
    CHECKERED = "checkered"
    OUTLINED = "outlined"


class Background(StrEnum):
    """Background of a scene."""

    WHITE = "white"
    BLACK = "black"
    GRAY = "gray"
    SUNSET = "sunset"
    NIGHT = "night"
    MEADOW = "meadow"
    SEA = "sea"
    SAND = "sand"
    BRICKS = "bricks"
    SNOW = "snow"


class Motion(StrEnum):
    """Change of the objects from the start of a scene to its end."""

    STILL = "still"
    MOVES_LEFT = "moves_left"
    MOVES_RIGHT = "moves_right"
    MOVES_UP = "moves_up"
    MOVES_DOWN = "moves_down"
    GROWS = "grows"
    SHRINKS = "shrinks"
    SPINS = "spins"


class Relation(StrEnum):
    """Position of one object relative to another."""

    LEFT = "left"
    RIGHT = "right"
    ABOVE = "above"
    BELOW = "below"


HIDDEN_ON: Final[dict[Background, frozenset[Colour]]] = {
    Background.WHITE: frozenset({Colour.WHITE}),
    Background.BLACK: frozenset({Colour.BLACK}),
    Background.GRAY: frozenset({Colour.GRAY}),
    Background.SUNSET: frozenset({Colour.ORANGE, Colour.PINK}),
    Background.NIGHT: frozenset({Colour.BLACK, Colour.BLUE}),
    Background.MEADOW: frozenset({Colour.GREEN}),
    Background.SEA: frozenset({Colour.BLUE, Colour.CYAN}),
    Background.SAND: frozenset({Colour.YELLOW, Colour.BROWN}),
    Background.BRICKS: frozenset({Colour.RED, Colour.BROWN}),
    Background.SNOW: frozenset({Colour.WHITE, Colour.CYAN}),
}
"""Colours with too little contrast to a background; no object has them there."""

CELLS: Final = tuple((x, y) for y in (0.2, 0.5, 0.8) for x in (0.2, 0.5, 0.8))
"""Centres of the 3 × 3 cells, as fractions of the picture, row by row from the top left."""

CELL_NAMES: Final = (
    "top left", "top", "top right",
    "left", "middle", "right",
    "bottom left", "bottom", "bottom right",
)  # fmt: skip
"""Names of the cells, in the order of `CELLS`."""


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One shape; `cell` indexes `CELLS`, x and y are its centre as fractions of the picture."""

    shape: Shape
    colour: Colour
    size: Size
    texture: Texture
    cell: int
    x: float
    y: float
    angle_degrees: float

    @property
    def looks(self) -> tuple[Shape, Colour, Size, Texture]:
        """All attributes except the position."""
        return (self.shape, self.colour, self.size, self.texture)


@dataclass(frozen=True, slots=True)
class Scene:
    """One to three objects on a background; `seed` determines the grain of the picture."""

    objects: tuple[SceneObject, ...]
    background: Background
    seed: int

    def relation(self, first: int, second: int) -> Relation:
        """Return the position of object `first` relative to `second`, along the longer distance."""
        dx = self.objects[first].x - self.objects[second].x
        dy = self.objects[first].y - self.objects[second].y
        if abs(dx) >= abs(dy):
            return Relation.LEFT if dx < 0 else Relation.RIGHT
        return Relation.ABOVE if dy < 0 else Relation.BELOW


def is_held_out(colour: Colour, shape: Shape) -> bool:
    """Return whether training excludes a combination; every shape has one excluded colour."""
    return (list(Colour).index(colour) + 5 * list(Shape).index(shape)) % len(Colour) == 3


def sample_scene(rng: np.random.Generator, *, unseen: bool = False) -> Scene:
    """Draw a scene.

    Args:
        rng: Source of all random choices.
        unseen: Whether the scene has a held-out combination of colour and shape.
    """
    background = pick(rng, Background)
    count = int(rng.choice(3, p=(0.3, 0.45, 0.25))) + 1
    cells = rng.choice(len(CELLS), count, replace=False)
    held_out = int(rng.integers(count)) if unseen else -1
    used: set[tuple[Shape, Colour, Size, Texture]] = set()
    objects = []
    for number, cell in enumerate(cells.tolist()):
        while True:
            scene_object = sample_object(rng, cell, background)
            if is_held_out(scene_object.colour, scene_object.shape) != (number == held_out):
                continue
            if scene_object.looks not in used:
                break
        used.add(scene_object.looks)
        objects.append(scene_object)
    return Scene(tuple(objects), background, int(rng.integers(2**32)))


def sample_object(rng: np.random.Generator, cell: int, background: Background) -> SceneObject:
    """Draw one object near the centre of a cell, in a visible colour."""
    colours = [colour for colour in Colour if colour not in HIDDEN_ON[background]]
    x, y = CELLS[cell]
    jitter = rng.uniform(-0.04, 0.04, 2)
    return SceneObject(
        shape=pick(rng, Shape),
        colour=pick(rng, colours),
        size=pick(rng, Size),
        texture=pick(rng, Texture, (0.4, 0.15, 0.15, 0.15, 0.15)),
        cell=cell,
        x=x + float(jitter[0]),
        y=y + float(jitter[1]),
        angle_degrees=float(rng.uniform(-12, 12)),
    )
