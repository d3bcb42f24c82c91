import numpy as np

from retrieval.demo.scenes import HIDDEN_ON, Scene, is_held_out, sample_scene
from retrieval.demo.variations import REARRANGEMENTS, vary_scene


def families(count: int) -> list[tuple[Scene, Scene]]:
    rng = np.random.default_rng(0)
    scenes = [sample_scene(rng) for _ in range(count)]
    return [(scene, vary_scene(scene, rng)) for scene in scenes]


def differences(one: Scene, other: Scene) -> tuple[set[str], int]:
    """The things that differ, and in how many objects."""
    things, objects = set(), 0
    if one.background != other.background:
        things.add("background")
    for first, second in zip(one.objects, other.objects, strict=True):
        names = [n for n in ("shape", "colour", "size", "texture", "cell", "x", "y")
                 if getattr(first, n) != getattr(second, n)]  # fmt: skip
        things |= {"cell" if name in "xy" else name for name in names}
        objects += bool(names)
    return things, objects


def test_a_variation_changes_one_attribute_or_swaps_two_objects() -> None:
    for scene, other in families(300):
        things, objects = differences(scene, other)
        assert len(things) == 1
        assert objects <= (2 if things == {"cell"} else 1)
        assert other.seed != scene.seed


def test_a_rearrangement_changes_positions_only() -> None:
    rng = np.random.default_rng(1)
    for scene in [sample_scene(rng) for _ in range(50)]:
        other = vary_scene(scene, rng, REARRANGEMENTS)
        assert differences(scene, other)[0] == {"cell"}


def test_every_kind_of_variation_occurs() -> None:
    seen = [differences(*family) for family in families(300)]
    kinds = {(next(iter(things)), objects) for things, objects in seen}
    assert kinds == {
        ("background", 0), ("shape", 1), ("colour", 1), ("size", 1), ("texture", 1),
        ("cell", 1), ("cell", 2),
    }  # fmt: skip


def test_variations_are_valid_training_scenes() -> None:
    for _, scene in families(200):
        things = scene.objects
        assert not any(is_held_out(thing.colour, thing.shape) for thing in things)
        assert not {thing.colour for thing in things} & HIDDEN_ON[scene.background]
        assert len({thing.cell for thing in things}) == len(things)
        assert len({thing.looks for thing in things}) == len(things)
