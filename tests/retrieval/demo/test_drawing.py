import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.demo.drawing import RGB, TRAVEL, render_scene
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

SIDE = 64


def one(
    shape: Shape = Shape.CIRCLE,
    colour: Colour = Colour.BLACK,
    size: Size = Size.MEDIUM,
    texture: Texture = Texture.PLAIN,
    background: Background = Background.WHITE,
) -> Scene:
    thing = SceneObject(shape, colour, size, texture, 4, 0.5, 0.5, 0.0)
    return Scene((thing,), background, seed=7)


def ink(scene: Scene, motion: Motion = Motion.STILL, phase: float = 0.0) -> NDArray[np.bool_]:
    """Where a black object on white lies."""
    pixels = render_scene(scene, SIDE, motion=motion, phase=phase)
    return np.asarray(pixels.mean(axis=2) < 110)


def centre(where: NDArray[np.bool_]) -> tuple[float, float]:
    rows, columns = np.nonzero(where)
    return float(columns.mean()) / SIDE, float(rows.mean()) / SIDE


def test_a_scene_always_looks_the_same() -> None:
    first, again = render_scene(one(), SIDE), render_scene(one(), SIDE)
    assert first.shape == (SIDE, SIDE, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)


def test_another_seed_has_another_grain() -> None:
    scene = one()
    other = Scene(scene.objects, scene.background, seed=8)
    assert (render_scene(scene, SIDE) != render_scene(other, SIDE)).any()


@pytest.mark.parametrize("colour", [c for c in Colour if c is not Colour.WHITE])
def test_an_object_has_its_colour(colour: Colour) -> None:
    pixels = render_scene(one(colour=colour, size=Size.LARGE), SIDE).astype(float)
    middle = pixels[28:36, 28:36].mean(axis=(0, 1))
    distance = {c: np.abs(middle - RGB[c]).sum() for c in Colour}
    assert min(distance, key=lambda c: distance[c]) is colour


def test_shapes_differ() -> None:
    masks = [ink(one(shape, size=Size.LARGE)) for shape in Shape]
    for i, first in enumerate(masks):
        for second in masks[:i]:
            assert (first != second).sum() > 0.05 * (first | second).sum()


def test_textures_and_backgrounds_differ() -> None:
    pictures = [render_scene(one(texture=texture), SIDE) for texture in Texture]
    pictures += [render_scene(one(background=ground), SIDE) for ground in list(Background)[1:]]
    for i, first in enumerate(pictures):
        for second in pictures[:i]:
            assert np.abs(first.astype(int) - second).mean() > 1


def test_larger_objects_cover_more() -> None:
    small, medium, large = (ink(one(size=size)).sum() for size in Size)
    assert small * 1.8 < medium
    assert medium * 1.6 < large


@pytest.mark.parametrize(
    ("motion", "step"),
    [
        (Motion.STILL, (0, 0)),
        (Motion.MOVES_LEFT, (-1, 0)),
        (Motion.MOVES_RIGHT, (1, 0)),
        (Motion.MOVES_UP, (0, -1)),
        (Motion.MOVES_DOWN, (0, 1)),
    ],
)
def test_objects_move_in_the_direction_of_the_motion(motion: Motion, step: tuple[int, int]) -> None:
    start, end = centre(ink(one(), motion, 0.0)), centre(ink(one(), motion, 1.0))
    moved = np.subtract(end, start)
    np.testing.assert_allclose(moved, np.multiply(step, 2 * TRAVEL), atol=0.02)


def test_objects_grow_and_shrink() -> None:
    assert ink(one(), Motion.GROWS, 1.0).sum() > 2 * ink(one(), Motion.GROWS, 0.0).sum()
    assert ink(one(), Motion.SHRINKS, 1.0).sum() * 2 < ink(one(), Motion.SHRINKS, 0.0).sum()


def test_objects_spin() -> None:
    arrow = one(Shape.ARROW, size=Size.LARGE)
    upright, turned = ink(arrow), ink(arrow, Motion.SPINS, 0.5)
    both = (turned & upright[::-1]).sum()  # half a turn of an arrow is its mirror image
    assert both > 0.85 * (turned | upright[::-1]).sum()
