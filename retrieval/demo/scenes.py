"""Scenes of the demo world: a few coloured, textured shapes on a background.

A scene is a value: the same scene always renders to the same picture. Some combinations of colour
and shape are held out, so that a model can be asked for what it never saw in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

import numpy as np

T = TypeVar("T")


class Shape(StrEnum):
    """What an object is."""

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
    """What colour an object has."""

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
    """How large an object is."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


class Texture(StrEnum):
    """How an object is filled."""

    PLAIN = "plain"
    STRIPED = "striped"
    DOTTED = "dotted"
    CHECKERED = "checkered"
    OUTLINED = "outlined"


class Background(StrEnum):
    """What lies behind the objects."""

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
    """How the objects of a moving scene change from its start to its end."""

    STILL = "still"
    MOVES_LEFT = "moves_left"
    MOVES_RIGHT = "moves_right"
    MOVES_UP = "moves_up"
    MOVES_DOWN = "moves_down"
    GROWS = "grows"
    SHRINKS = "shrinks"
    SPINS = "spins"


class Relation(StrEnum):
    """Where one object lies as seen from another."""

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
"""Colours that would not stand out from a background, and so never lie on it."""

CELLS: Final = tuple((x, y) for y in (0.2, 0.5, 0.8) for x in (0.2, 0.5, 0.8))
"""Centres of the 3 × 3 places, as fractions of the picture, row by row from the top left."""

PLACES: Final = (
    "top left", "top", "top right",
    "left", "middle", "right",
    "bottom left", "bottom", "bottom right",
)  # fmt: skip
"""What the 3 × 3 places are called, in the order of CELLS."""


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One shape; `place` indexes PLACES, x and y are its centre as fractions of the picture."""

    shape: Shape
    colour: Colour
    size: Size
    texture: Texture
    place: int
    x: float
    y: float
    angle_degrees: float

    @property
    def looks(self) -> tuple[Shape, Colour, Size, Texture]:
        """Everything that can be said of it apart from where it is."""
        return (self.shape, self.colour, self.size, self.texture)


@dataclass(frozen=True, slots=True)
class Scene:
    """One to three objects on a background; `seed` decides the grain of the picture."""

    objects: tuple[SceneObject, ...]
    background: Background
    seed: int

    def relation(self, first: int, second: int) -> Relation:
        """Where object `first` lies as seen from object `second`, along the longer distance."""
        one, other = self.objects[first], self.objects[second]
        dx, dy = one.x - other.x, one.y - other.y
        if abs(dx) >= abs(dy):
            return Relation.LEFT if dx < 0 else Relation.RIGHT
        return Relation.ABOVE if dy < 0 else Relation.BELOW


def is_held_out(colour: Colour, shape: Shape) -> bool:
    """Whether a colour and a shape never meet in training: one colour of every shape."""
    return (list(Colour).index(colour) + 5 * list(Shape).index(shape)) % len(Colour) == 3


def sample_scene(rng: np.random.Generator, *, unseen: bool = False) -> Scene:
    """Draw a scene.

    Args:
        rng: Source of every choice.
        unseen: True for scenes with at least one held-out combination of colour and shape,
            False for scenes without any.
    """
    background = pick(rng, list(Background))
    count = int(rng.choice(3, p=(0.3, 0.45, 0.25))) + 1
    places = rng.choice(len(CELLS), count, replace=False)
    held_out = int(rng.integers(count)) if unseen else -1
    taken: set[tuple[Shape, Colour, Size, Texture]] = set()
    objects = []
    for number, place in enumerate(places.tolist()):
        while True:
            candidate = sample_object(rng, place, background)
            wanted = number == held_out
            if is_held_out(candidate.colour, candidate.shape) != wanted:
                continue
            if candidate.looks not in taken:
                break
        taken.add(candidate.looks)
        objects.append(candidate)
    return Scene(tuple(objects), background, int(rng.integers(2**32)))


def sample_object(rng: np.random.Generator, place: int, background: Background) -> SceneObject:
    """Draw one object near the centre of a place, in a colour that stands out."""
    colours = [colour for colour in Colour if colour not in HIDDEN_ON[background]]
    x, y = CELLS[place]
    jitter = rng.uniform(-0.04, 0.04, 2)
    return SceneObject(
        shape=pick(rng, list(Shape)),
        colour=pick(rng, colours),
        size=pick(rng, list(Size)),
        texture=pick(rng, list(Texture), (0.4, 0.15, 0.15, 0.15, 0.15)),
        place=place,
        x=x + float(jitter[0]),
        y=y + float(jitter[1]),
        angle_degrees=float(rng.uniform(-12, 12)),
    )


def pick(rng: np.random.Generator, choices: list[T], p: tuple[float, ...] | None = None) -> T:
    """Draw one of the choices, with equal chances or those of `p`."""
    return choices[int(rng.choice(len(choices), p=p))]
