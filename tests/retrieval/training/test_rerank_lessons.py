import numpy as np
import pytest
import torch

from retrieval.search.cross_modal import PAD
from retrieval.training.rerank_lessons import Heads, mask_words, matching_loss
from retrieval.training.tokenizer import END, START


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


def test_things_are_named_where_they_lie() -> None:
    heads = Heads(dim=31, vocabulary=5)
    places = torch.zeros(2, 64, 31)
    things = torch.full((2, 3, 5), -1)
    things[1, 0] = torch.tensor([9, 2, 3, 1, 4])  # place, shape, colour, size, texture
    with torch.no_grad():
        heads.names.weight.copy_(50 * torch.eye(31))
        heads.names.bias.zero_()
        even = float(heads.naming_loss(places, things))
        # One wide row of names: 11 shapes, 12 colours, 3 sizes, 5 textures.
        places[1, 9, [2, 11 + 3, 23 + 1, 26 + 4]] = 1
        right = float(heads.naming_loss(places, things))
    assert even == pytest.approx(np.mean(np.log([11, 12, 3, 5])), rel=1e-5)
    assert right < 1e-6
