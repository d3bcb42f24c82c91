from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from retrieval.demo.captions import (
    COLOUR_WORDS,
    MOTION_WORDS,
    SHAPE_WORDS,
    ObjectFacts,
    SceneCaption,
    caption_scene,
)
from retrieval.demo.scenes import (
    Background,
    Colour,
    Motion,
    Relation,
    Scene,
    SceneObject,
    Shape,
    Size,
    Texture,
    sample_scene,
)

RED_STAR = SceneObject(Shape.STAR, Colour.RED, Size.LARGE, Texture.PLAIN, 3, 0.2, 0.5, 0.0)
BLUE_RING = SceneObject(Shape.RING, Colour.BLUE, Size.SMALL, Texture.STRIPED, 5, 0.8, 0.5, 0.0)
SCENE = Scene((RED_STAR, BLUE_RING), Background.SNOW, seed=0)

STAR, RING = ObjectFacts(Shape.STAR), ObjectFacts(Shape.RING)


def caption_of(*objects: ObjectFacts, **facts: object) -> SceneCaption:
    return replace(SceneCaption("", objects), **facts)


@pytest.mark.parametrize(
    "caption",
    [
        caption_of(STAR),
        caption_of(RING, STAR),
        caption_of(ObjectFacts(Shape.RING, Colour.BLUE, Size.SMALL, Texture.STRIPED, 5)),
        caption_of(STAR, RING, relations=((0, Relation.LEFT, 1),)),
        caption_of(RING, STAR, relations=((0, Relation.RIGHT, 1),)),
        caption_of(STAR, background=Background.SNOW),
        caption_of(STAR, motion=Motion.STILL),
    ],
)
def test_true_facts_describe_the_scene(caption: SceneCaption) -> None:
    assert caption.describes(SCENE)


@pytest.mark.parametrize(
    "caption",
    [
        caption_of(ObjectFacts(Shape.HEART)),
        caption_of(STAR, STAR),
        caption_of(STAR, RING, STAR),
        caption_of(ObjectFacts(Shape.STAR, Colour.BLUE)),
        caption_of(ObjectFacts(Shape.STAR, size=Size.SMALL)),
        caption_of(ObjectFacts(Shape.STAR, texture=Texture.DOTTED)),
        caption_of(ObjectFacts(Shape.STAR, cell=5)),
        caption_of(STAR, RING, relations=((0, Relation.RIGHT, 1),)),
        caption_of(STAR, background=Background.SAND),
        caption_of(STAR, motion=Motion.SPINS),
    ],
)
def test_a_false_fact_does_not(caption: SceneCaption) -> None:
    assert not caption.describes(SCENE)


@pytest.mark.parametrize("detail", [0.0, 0.5, 1.0])
def test_a_caption_describes_its_own_scene(detail: float) -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        scene = sample_scene(rng)
        motion = list(Motion)[int(rng.integers(len(Motion)))]
        assert caption_scene(scene, rng, motion=motion, detail=detail).describes(scene, motion)


def test_full_captions_find_one_scene_of_a_thousand() -> None:
    rng = np.random.default_rng(2)
    gallery = [sample_scene(rng) for _ in range(1_000)]
    captions = [caption_scene(scene, rng) for scene in gallery]
    alone = [sum(map(caption.describes, gallery)) == 1 for caption in captions[::4]]
    assert np.mean(alone) >= 0.95


def test_full_captions_name_every_object_and_colour() -> None:
    rng = np.random.default_rng(3)
    for _ in range(100):
        scene = sample_scene(rng)
        text = caption_scene(scene, rng).text
        for thing in scene.objects:
            assert any(word in text for word in SHAPE_WORDS[thing.shape])
            assert any(word in text for word in COLOUR_WORDS[thing.colour])


def test_motion_is_named() -> None:
    rng = np.random.default_rng(4)
    for motion in set(Motion) - {Motion.STILL}:
        text = caption_scene(SCENE, rng, motion=motion).text
        assert any(word in text for word in MOTION_WORDS[motion])


def test_wording_varies() -> None:
    rng = np.random.default_rng(5)
    assert len({caption_scene(SCENE, rng).text for _ in range(100)}) > 95


def test_less_detail_gives_shorter_captions() -> None:
    rng = np.random.default_rng(6)
    lengths = {
        detail: np.mean([len(caption_scene(SCENE, rng, detail=detail).text) for _ in range(100)])
        for detail in (0.0, 0.5, 1.0)
    }
    assert lengths[0.0] < 0.5 * lengths[1.0]
    assert lengths[0.0] < lengths[0.5] < lengths[1.0]


def test_same_generator_gives_the_same_words() -> None:
    first = caption_scene(SCENE, np.random.default_rng(7))
    assert first == caption_scene(SCENE, np.random.default_rng(7))


@pytest.mark.parametrize("seed", range(30))
def test_articles_fit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = caption_scene(sample_scene(rng), rng).text.replace(",", "").split()
    for article, word in pairwise(words):
        assert article != "a" or word[0] not in "aeiou"
        assert article != "an" or word[0] in "aeiou"
