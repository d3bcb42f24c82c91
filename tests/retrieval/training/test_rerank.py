from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from retrieval.encoders.catalogue import load_encoder
from retrieval.search.cross_modal import PAD
from retrieval.search.rerank import load_reranker
from retrieval.training.rerank import (
    mask_words,
    matching_loss,
    train_tiny_rerank,
)
from retrieval.training.rerank_pairs import (
    CAPTIONS_EACH,
    CONFUSED,
    MEMBERS,
    draw_families,
    relation_gallery,
)
from retrieval.training.tokenizer import END, START


def test_training_writes_a_folder_that_loads(tmp_path: Path) -> None:
    said: list[str] = []
    report = train_tiny_rerank(tmp_path, steps=1, device="cpu", gallery=30, progress=said.append)
    assert report.pairs == 20 * MEMBERS * (MEMBERS + CONFUSED)
    assert report.relations.scenes == 30
    assert 0 <= report.relations.reranked <= report.relations.reachable <= 1
    reranker = load_reranker(f"tiny:{tmp_path}", device="cpu")
    chances = reranker.probabilities("a red circle", np.zeros((2, 64, 64, 3), np.uint8))
    assert chances[0] == chances[1]
    with safe_open(tmp_path / "model.safetensors", "pt") as weights:
        types = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118 - no mapping
    assert types == {"F16", "I64"}  # the integers count batches, for the normalisation
    card = (tmp_path / "README.md").read_text()
    assert str(report.relations) in card
    assert str(report.look_alikes) in card
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 5 * 2**20
    assert said[0] == "20 families of 3 pictures drawn"


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


def test_asked_captions_state_a_relation_of_one_scene() -> None:
    for look_alikes in (False, True):
        scenes, asked = relation_gallery(60, 1, look_alikes=look_alikes)
        assert len(scenes) == 60
        assert len(asked) > 10
        for number, caption in asked:
            assert caption.relations
            assert [caption.describes(scene) for scene in scenes].index(True) == number


def test_other_true_pictures_are_no_mistakes() -> None:
    logits = torch.zeros(1, 2, 3)
    truth = torch.tensor([[[True, False, True], [False, True, False]]])
    # Judged: ln 2 for each pair. Ranked: one rival for the first caption, two for the second.
    want = np.log(2) + (np.log(2) + np.log(3)) / 2
    assert float(matching_loss(logits, truth)) == pytest.approx(want)
    better = torch.where(truth, 9.0, -9.0)
    assert float(matching_loss(better, truth)) < 1e-3


def test_words_are_masked_and_nothing_else() -> None:
    torch.manual_seed(0)
    tokens = torch.tensor([[START, 7, END, PAD], [START, 8, 9, END]])
    masked, hidden = mask_words(tokens)
    assert hidden[0].tolist() == [False, True, False, False]
    assert masked[0].tolist() == [START, PAD, END, PAD]
    assert hidden[1, 1:3].any()
    assert masked[1, [0, 3]].tolist() == [START, END]
