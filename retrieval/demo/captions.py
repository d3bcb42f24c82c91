"""Captions scenes in varied English, together with the facts that a caption states.

A random grammar chooses the facts, their order and the words.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Final

import numpy as np

from retrieval.demo.choices import pick
from retrieval.demo.scenes import (
    CELL_NAMES,
    Background,
    Colour,
    Motion,
    Relation,
    Scene,
    Shape,
    Size,
    Texture,
)

SHAPE_WORDS: Final[dict[Shape, tuple[str, ...]]] = {
    Shape.CIRCLE: ("circle", "disc", "circle"),
    Shape.SQUARE: ("square",),
    Shape.TRIANGLE: ("triangle",),
    Shape.STAR: ("star",),
    Shape.HEART: ("heart",),
    Shape.CROSS: ("cross", "plus sign", "cross"),
    Shape.RING: ("ring", "hoop", "ring"),
    Shape.CRESCENT: ("crescent", "crescent moon"),
    Shape.DIAMOND: ("diamond", "rhombus", "diamond"),
    Shape.HEXAGON: ("hexagon",),
    Shape.ARROW: ("arrow",),
}
COLOUR_WORDS: Final[dict[Colour, tuple[str, ...]]] = {
    **{colour: (colour.value,) for colour in Colour},
    Colour.CYAN: ("cyan", "turquoise"),
    Colour.PURPLE: ("purple", "violet"),
    Colour.GRAY: ("gray", "grey"),
}
SIZE_WORDS: Final = {
    Size.SMALL: ("small", "little", "tiny"),
    Size.MEDIUM: ("medium-sized", "medium"),
    Size.LARGE: ("large", "big", "huge"),
}
TEXTURE_WORDS: Final = {
    Texture.PLAIN: ("plain", "solid"),
    Texture.STRIPED: ("striped", "stripy"),
    Texture.DOTTED: ("dotted", "spotted"),
    Texture.CHECKERED: ("checkered", "chequered"),
    Texture.OUTLINED: ("outlined", "hollow"),
}
TEXTURE_PHRASES: Final = {
    Texture.STRIPED: "with stripes",
    Texture.DOTTED: "with dots",
    Texture.CHECKERED: "with a checker pattern",
}
BACKGROUND_PHRASES: Final[dict[Background, tuple[str, ...]]] = {
    Background.WHITE: ("on a white background", "on white", "against a white wall"),
    Background.BLACK: ("on a black background", "on black", "in the dark"),
    Background.GRAY: ("on a gray background", "on gray", "against a grey wall"),
    Background.SUNSET: ("at sunset", "against a sunset", "in front of a sunset sky"),
    Background.NIGHT: ("in the night sky", "at night among the stars", "under a starry sky"),
    Background.MEADOW: ("on grass", "on a meadow", "in the green grass"),
    Background.SEA: ("on the sea", "over blue water", "above the waves"),
    Background.SAND: ("on sand", "on the beach", "in the desert sand"),
    Background.BRICKS: ("on a brick wall", "in front of bricks", "against a wall of red bricks"),
    Background.SNOW: ("in the snow", "on snow", "while it is snowing"),
}
RELATION_WORDS: Final = {
    Relation.LEFT: ("to the left of", "left of", "on the left side of"),
    Relation.RIGHT: ("to the right of", "right of", "on the right side of"),
    Relation.ABOVE: ("above", "over", "higher than"),
    Relation.BELOW: ("below", "under", "beneath"),
}
OPPOSITE: Final = {
    Relation.LEFT: Relation.RIGHT,
    Relation.RIGHT: Relation.LEFT,
    Relation.ABOVE: Relation.BELOW,
    Relation.BELOW: Relation.ABOVE,
}
MOTION_WORDS: Final[dict[Motion, tuple[str, ...]]] = {
    Motion.MOVES_LEFT: ("moving left", "drifting to the left", "sliding left"),
    Motion.MOVES_RIGHT: ("moving right", "drifting to the right", "sliding right"),
    Motion.MOVES_UP: ("moving up", "rising", "floating upwards"),
    Motion.MOVES_DOWN: ("moving down", "falling", "sinking"),
    Motion.GROWS: ("growing", "getting bigger"),
    Motion.SHRINKS: ("shrinking", "getting smaller"),
    Motion.SPINS: ("spinning", "turning around"),
}
OPENINGS: Final = ("", "", "", "", "a picture of ", "an image of ", "a photo of ", "there is ")


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """The facts that a caption states about one object; None for omitted ones."""

    shape: Shape
    colour: Colour | None = None
    size: Size | None = None
    texture: Texture | None = None
    cell: int | None = None


@dataclass(frozen=True, slots=True)
class SceneCaption:
    """A sentence and the facts it states.

    Attributes:
        relations: (first, relation, second) with indices of `objects`.
    """

    text: str
    objects: tuple[ObjectFacts, ...]
    relations: tuple[tuple[int, Relation, int], ...] = ()
    background: Background | None = None
    motion: Motion | None = None

    def describes(self, scene: Scene, motion: Motion = Motion.STILL) -> bool:
        """Return whether all stated facts are true of a scene."""
        if self.background not in (None, scene.background) or self.motion not in (None, motion):
            return False
        return any(
            self._matches(scene, indices)
            for indices in permutations(range(len(scene.objects)), len(self.objects))
        )

    def _matches(self, scene: Scene, indices: tuple[int, ...]) -> bool:
        for facts, index in zip(self.objects, indices, strict=True):
            scene_object = scene.objects[index]
            stated = (facts.shape, facts.colour, facts.size, facts.texture, facts.cell)
            actual = (*scene_object.looks, scene_object.cell)
            if any(
                fact is not None and fact != value
                for fact, value in zip(stated, actual, strict=True)
            ):
                return False
        return all(
            scene.relation(indices[first], indices[second]) is relation
            for first, relation, second in self.relations
        )


def caption_scene(
    scene: Scene,
    rng: np.random.Generator,
    *,
    motion: Motion = Motion.STILL,
    detail: float = 1.0,
) -> SceneCaption:
    """Describe a scene.

    Args:
        scene: The scene.
        rng: Source of all random choices.
        motion: Motion of the scene; stated as often as other facts.
        detail: Share of the stated facts, 0 … 1. At 1 the caption states all objects with their
            attributes, positions or relations, and the background.
    """
    order = [int(number) for number in rng.permutation(len(scene.objects))]
    if len(order) > 1 and rng.random() > detail:
        order = order[: int(rng.integers(1, len(order)))]

    def is_stated() -> bool:
        return bool(rng.random() < detail)

    relate = len(order) > 1 and bool(rng.random() < 0.65)
    facts = []
    for position, number in enumerate(order):
        scene_object = scene.objects[number]
        has_cell = is_stated() and not (relate and position < 2)
        facts.append(
            ObjectFacts(
                shape=scene_object.shape,
                colour=scene_object.colour if rng.random() < max(detail, 0.7) else None,
                size=scene_object.size if is_stated() else None,
                texture=scene_object.texture
                if is_stated() and _states_texture(scene_object.texture, rng)
                else None,
                cell=scene_object.cell if has_cell else None,
            )
        )
    background = scene.background if is_stated() else None
    stated_motion = motion if motion is not Motion.STILL and is_stated() else None
    relations: tuple[tuple[int, Relation, int], ...] = ()
    if relate:
        relations = ((0, scene.relation(order[0], order[1]), 1),)
    return SceneCaption(
        _sentence(facts, relations, background, stated_motion, rng),
        tuple(facts), relations, background, stated_motion,
    )  # fmt: skip


def _states_texture(texture: Texture, rng: np.random.Generator) -> bool:
    """Plain textures are stated less often, as in natural captions."""
    return texture is not Texture.PLAIN or bool(rng.random() < 0.35)


def _sentence(
    facts: list[ObjectFacts],
    relations: tuple[tuple[int, Relation, int], ...],
    background: Background | None,
    motion: Motion | None,
    rng: np.random.Generator,
) -> str:
    phrases = [_noun_phrase(fact, rng) for fact in facts]
    if relations:
        words = pick(rng, RELATION_WORDS[relations[0][1]])
        first = f"{phrases[0]} {words} {phrases[1]}"
        if rng.random() < 0.3:
            words = pick(rng, RELATION_WORDS[OPPOSITE[relations[0][1]]])
            first = f"{phrases[1]} {words} {phrases[0]}"
        phrases = [first, *phrases[2:]]
    joined = (
        pick(rng, (" and ", ", ", " with ")).join(phrases)
        if len(phrases) < 3
        else (f"{phrases[0]}, {phrases[1]} and {phrases[2]}")
    )
    text = joined
    if motion is not None:
        text = f"{text}, {pick(rng, MOTION_WORDS[motion])}"
    if background is not None:
        phrase = pick(rng, BACKGROUND_PHRASES[background])
        text = f"{phrase}, {text}" if rng.random() < 0.25 else f"{text} {phrase}"
    opening = pick(rng, OPENINGS)
    return opening + text if background is None or text.startswith(joined[:3]) else text


def _noun_phrase(fact: ObjectFacts, rng: np.random.Generator) -> str:
    adjectives, suffix = [], ""
    if fact.size is not None:
        adjectives.append(pick(rng, SIZE_WORDS[fact.size]))
    if fact.texture is not None:
        if fact.texture in TEXTURE_PHRASES and rng.random() < 0.3:
            suffix = f" {TEXTURE_PHRASES[fact.texture]}"
        else:
            adjectives.append(pick(rng, TEXTURE_WORDS[fact.texture]))
    if fact.colour is not None:
        adjectives.append(pick(rng, COLOUR_WORDS[fact.colour]))
    if len(adjectives) > 2 and rng.random() < 0.15:
        adjectives[0], adjectives[1] = adjectives[1], adjectives[0]
    phrase = " ".join([*adjectives, pick(rng, SHAPE_WORDS[fact.shape])]) + suffix
    article = "an" if phrase[0] in "aeiou" else "a"
    if fact.cell is not None:
        phrase = f"{phrase} {_position_phrase(fact.cell, rng)}"
    return f"{article} {phrase}"


def _position_phrase(cell: int, rng: np.random.Generator) -> str:
    name = CELL_NAMES[cell]
    if name == "middle":
        return pick(rng, ("in the middle", "in the center", "in the centre"))
    if " " in name:
        return pick(rng, (f"in the {name} corner", f"at the {name}", f"in the {name}"))
    if name in ("left", "right"):
        return pick(rng, (f"on the {name}", f"at the {name} edge", f"on the {name} side"))
    return pick(rng, (f"at the {name}", f"at the {name} edge"))
