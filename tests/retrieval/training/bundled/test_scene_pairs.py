from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from retrieval.demo.scenes import is_held_out
from retrieval.encoders.clip_sizes import SIDE_PIXELS, TINY_CLIP_PREPROCESSING
from retrieval.training.bundled.scene_pairs import (
    HELD_OUT,
    UNSEEN,
    make_gallery,
    make_pairs,
    normalize_pictures,
    pair_batches,
    resize_picture,
    training_captions,
)


def test_pairs_are_repeatable_and_have_several_captions() -> None:
    pixels, captions = make_pairs(6, 0)
    again, captions_again = make_pairs(6, 0)
    assert pixels.shape == (6, SIDE_PIXELS, SIDE_PIXELS, 3)
    np.testing.assert_array_equal(pixels, again)
    assert captions == captions_again
    assert list(training_captions(6, 0)) == [text for texts in captions for text in texts]
    assert [len(texts) for texts in captions] == [4] * 6


@pytest.mark.long
def test_worker_processes_draw_what_one_process_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr("retrieval.training.bundled.scene_pairs._ROWS_PER_JOB", 2)
    pixels, captions = make_pairs(3, 0, progress=lambda *call: calls.append(call))
    first, first_captions = make_pairs(2, 0)
    assert (len(pixels), len(captions)) == (3, 3)
    np.testing.assert_array_equal(pixels[:2], first)
    assert captions[:2] == first_captions
    assert calls == [("drawing scenes", 2, 3), ("drawing scenes", 3, 3)]


def test_gallery_scenes_are_distinct_and_described() -> None:
    scenes, pixels, captions = make_gallery(40, HELD_OUT, 0)
    assert len(set(scenes)) == len(pixels) == len(captions) == 40
    assert all(caption.describes(scene) for caption, scene in zip(captions, scenes, strict=True))
    assert not any(is_held_out(t.colour, t.shape) for scene in scenes for t in scene.objects)


def test_unseen_gallery_has_combinations_outside_of_training() -> None:
    scenes, _, _ = make_gallery(40, UNSEEN, 0)
    assert all(any(is_held_out(t.colour, t.shape) for t in scene.objects) for scene in scenes)


def test_batches_keep_pictures_and_captions_together() -> None:
    # Row n is a picture of brightness n and its captions say n.
    pixels = np.full((6, SIDE_PIXELS, SIDE_PIXELS, 3), 128, np.uint8)
    pixels[:, 0, 0] = 128 + np.arange(6)[:, None] * 10
    tokens = torch.arange(6).repeat(5, 2, 1).permute(2, 1, 0)
    for media, text in islice(pair_batches(pixels, tokens, 4, seed=0), 6):
        assert media.shape == (4, 3, SIDE_PIXELS, SIDE_PIXELS)
        assert text.shape == (4, 5)
        rows = text[:, 0].tolist()
        assert len(set(rows)) == 4
        marked = (media[:, 0, 0, 0] / media[:, 0, 1, 1]).tolist()
        first = normalize_pictures(pixels)
        assert np.allclose(marked, [(first[r, 0, 0, 0] / first[r, 0, 1, 1]).item() for r in rows])


def test_families_differ_in_one_thing_and_stay_together() -> None:
    pixels, captions = make_pairs(8, 0, family=4)
    assert len(pixels) == len(captions) == 8
    tokens = torch.arange(8)[:, None, None].repeat(1, 2, 3)
    for _, text in islice(pair_batches(pixels, tokens, 4, seed=0, family=4), 4):
        assert text[:, 0].tolist() in ([0, 1, 2, 3], [4, 5, 6, 7])


def test_batches_go_over_every_picture() -> None:
    pixels = np.zeros((8, SIDE_PIXELS, SIDE_PIXELS, 3), np.uint8)
    tokens = torch.arange(8)[:, None, None].repeat(1, 2, 3)
    batches = islice(pair_batches(pixels, tokens, 4, seed=0), 2)
    assert sorted(row for _, text in batches for row in text[:, 0].tolist()) == list(range(8))


def test_pictures_are_prepared_as_open_clip_does() -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    theirs = image_transform_v2(PreprocessCfg(**TINY_CLIP_PREPROCESSING), is_train=False)(
        Image.fromarray(pixels)
    )
    ours = normalize_pictures(resize_picture(pixels)[None])[0]
    torch.testing.assert_close(ours, theirs)
