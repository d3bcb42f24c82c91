import numpy as np
import pytest

from retrieval.demo.drawing import render_scene
from retrieval.demo.scenes import Background, Colour, Shape
from retrieval.demo.variations import CHANGES, REARRANGEMENTS
from retrieval.training.bundled.reranker_pairs import (
    COMPARED,
    MEMBERS,
    compared_rows,
    draw_captions,
    draw_families,
    relation_gallery,
)


def test_families_state_the_content_of_their_pictures(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "retrieval.training")
    drawn = draw_families(4, 0)
    assert caplog.messages == [f"4 families of {MEMBERS} pictures drawn"]
    assert drawn.pixels.shape == (4 * MEMBERS, 128, 128, 3)
    for row, scene in enumerate(drawn.scenes):
        np.testing.assert_array_equal(drawn.pixels[row], render_scene(scene, 128))
        assert list(Background)[drawn.backdrops[row]] is scene.background
        things = drawn.things[row]
        assert (things[:, 0] >= 0).sum() == len(scene.objects)
        assert (things[len(scene.objects) :] == -1).all()
        for found, thing in zip(things, scene.objects, strict=False):
            np.testing.assert_allclose(found[:2], (thing.x, thing.y), rtol=1e-6)
            assert list(Shape)[int(found[2])] is thing.shape
            assert list(Colour)[int(found[3])] is thing.colour
    again = draw_families(4, 0)
    np.testing.assert_array_equal(drawn.pixels, again.pixels)


def test_captions_describe_their_own_scene_and_few_similar_ones() -> None:
    scenes = draw_families(20, 1).scenes
    captions = draw_captions(scenes, np.random.default_rng(0))
    held = compared_rows(len(scenes))
    truth = np.array(
        [
            [caption.describes(scenes[other]) for other in others]
            for caption, others in zip(captions, held, strict=True)
        ]
    )
    assert truth[:, 0].all()
    assert truth[:, 1:MEMBERS].mean() < 0.5  # Similar scenes differ in the stated facts.
    assert truth[:, MEMBERS:].mean() < 0.1


def test_a_caption_is_compared_with_its_family_first_and_no_picture_twice() -> None:
    held = compared_rows(4 * MEMBERS)
    assert held.shape == (4 * MEMBERS, COMPARED)
    np.testing.assert_array_equal(held[:, 0], np.arange(4 * MEMBERS))
    for row, others in enumerate(held.tolist()):
        assert {other // MEMBERS for other in others[:MEMBERS]} == {row // MEMBERS}
        assert len(set(others)) == COMPARED


def test_gallery_captions_state_a_relation_of_one_scene() -> None:
    for look_alikes in ((), CHANGES, REARRANGEMENTS):
        scenes, queries = relation_gallery(60, 1, look_alikes=look_alikes)
        assert len(scenes) == 60
        assert len(queries) > 10
        for number, caption in queries:
            assert caption.relations
            assert [caption.describes(scene) for scene in scenes].index(True) == number
