import numpy as np
import pytest

from retrieval.demo.scenes import (
    CELL_NAMES,
    HIDDEN_ON,
    Background,
    Colour,
    Relation,
    Scene,
    SceneObject,
    Shape,
    Size,
    Texture,
    is_held_out,
    sample_scene,
)


def circle_at(x: float, y: float, colour: Colour = Colour.RED) -> SceneObject:
    return SceneObject(Shape.CIRCLE, colour, Size.SMALL, Texture.PLAIN, 4, x, y, 0.0)


def scenes(count: int, *, unseen: bool = False, seed: int = 0) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [sample_scene(rng, unseen=unseen) for _ in range(count)]


def held_out_objects(scene: Scene) -> int:
    return sum(is_held_out(thing.colour, thing.shape) for thing in scene.objects)


def test_same_seed_gives_the_same_scenes() -> None:
    assert scenes(20, seed=3) == scenes(20, seed=3)
    assert scenes(20, seed=3) != scenes(20, seed=4)


def test_every_shape_is_held_out_in_one_colour() -> None:
    for shape in Shape:
        assert sum(is_held_out(colour, shape) for colour in Colour) == 1


def test_training_scenes_have_no_held_out_combination() -> None:
    assert all(held_out_objects(scene) == 0 for scene in scenes(300))


def test_unseen_scenes_have_a_held_out_combination() -> None:
    assert all(held_out_objects(scene) >= 1 for scene in scenes(300, unseen=True))


def test_scenes_use_all_attribute_values() -> None:
    drawn = scenes(600)
    things = [thing for scene in drawn for thing in scene.objects]
    assert {len(scene.objects) for scene in drawn} == {1, 2, 3}
    assert {scene.background for scene in drawn} == set(Background)
    assert {thing.shape for thing in things} == set(Shape)
    assert {thing.colour for thing in things} == set(Colour)
    assert {thing.size for thing in things} == set(Size)
    assert {thing.texture for thing in things} == set(Texture)
    assert {thing.cell for thing in things} == set(range(len(CELL_NAMES)))


@pytest.mark.parametrize("unseen", [False, True])
def test_objects_of_a_scene_differ_and_stand_out(unseen: bool) -> None:
    for scene in scenes(300, unseen=unseen):
        assert len({thing.cell for thing in scene.objects}) == len(scene.objects)
        assert len({thing.looks for thing in scene.objects}) == len(scene.objects)
        assert not {thing.colour for thing in scene.objects} & HIDDEN_ON[scene.background]


def test_relation_follows_the_longer_distance() -> None:
    scene = Scene(
        (circle_at(0.2, 0.5), circle_at(0.8, 0.4), circle_at(0.25, 0.9)), Background.WHITE, 0
    )
    assert scene.relation(0, 1) is Relation.LEFT
    assert scene.relation(1, 0) is Relation.RIGHT
    assert scene.relation(0, 2) is Relation.ABOVE
    assert scene.relation(2, 0) is Relation.BELOW
