import numpy as np

from retrieval.encoders.catalogue import load_encoder
from retrieval.training.rerank_pairs import (
    CAPTIONS_EACH,
    CONFUSED,
    MEMBERS,
    draw_families,
    relation_gallery,
)


def test_families_know_which_caption_is_true_of_which_picture() -> None:
    encoder = load_encoder("tiny-image", device="cpu")
    drawn = draw_families(6, 0, encoder, lambda line: None)
    assert drawn.pixels.shape == (6 * MEMBERS, 64, 64, 3)
    assert drawn.candidates.shape == (6, MEMBERS + CONFUSED)
    assert drawn.truth.shape == (6, MEMBERS, CAPTIONS_EACH, MEMBERS + CONFUSED)
    assert {len(texts) for texts in drawn.captions} == {CAPTIONS_EACH}
    for family, rows in enumerate(drawn.candidates.tolist()):
        assert rows[:MEMBERS] == list(range(MEMBERS * family, MEMBERS * (family + 1)))
        assert not set(rows[:MEMBERS]) & set(rows[MEMBERS:])
        for member in range(MEMBERS):
            assert drawn.truth[family, member, :, member].all()
    assert drawn.truth[..., :MEMBERS].mean() < 0.5  # look-alikes differ in what is said
    again = draw_families(6, 0, encoder, lambda line: None)
    np.testing.assert_array_equal(drawn.pixels, again.pixels)
    things = drawn.things[0]
    assert things.shape == (3, 5)
    assert ((things[:, 0] >= 0) & (things[:, 0] < 64)).sum() >= 1


def test_asked_captions_state_a_relation_of_one_scene() -> None:
    for look_alikes in (False, True):
        scenes, asked = relation_gallery(60, 1, look_alikes=look_alikes)
        assert len(scenes) == 60
        assert len(asked) > 10
        for number, caption in asked:
            assert caption.relations
            assert [caption.describes(scene) for scene in scenes].index(True) == number
