import pytest
import torch

from retrieval.search.cross_modal import PAD, CrossModal, CrossModalConfig

SMALL = CrossModalConfig(
    width=8, blocks=(1, 1, 1), dim=16, heads=2, text_layers=1, cross_layers=2, vocabulary=50
)


@pytest.fixture(scope="module")
def model() -> CrossModal:
    torch.manual_seed(0)
    model = CrossModal(SMALL).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def judge(model: CrossModal, tokens: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """(pictures, captions) logits of every caption (captions, length) over every picture."""
    words = model.read(tokens).expand(len(places), -1, -1, -1)
    return model.logits(model.look(words, tokens.expand(len(places), -1, -1), places))


@torch.inference_mode()
def test_pairs_do_not_know_of_each_other(model: CrossModal) -> None:
    pixels = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    places = model.pictures(model.prepare(pixels))
    assert places.shape == (3, 64, 16)
    tokens = torch.tensor([[1, 7, 8, 2, PAD], [1, 9, 10, 11, 2]])
    together = judge(model, tokens, places)
    assert together.shape == (3, 2)
    for picture in range(3):
        for caption in range(2):
            alone = judge(model, tokens[caption][None], places[picture][None])
            torch.testing.assert_close(alone[0, 0], together[picture, caption])
    assert together.std() > 1e-3


@torch.inference_mode()
def test_padding_changes_nothing(model: CrossModal) -> None:
    places = model.pictures(torch.randn(2, 3, 64, 64))
    short = torch.tensor([[1, 7, 8, 2]])
    padded = torch.tensor([[1, 7, 8, 2, PAD, PAD]])
    torch.testing.assert_close(judge(model, short, places), judge(model, padded, places))


@torch.inference_mode()
def test_guesses_are_over_the_vocabulary_and_the_mask(model: CrossModal) -> None:
    places = model.pictures(torch.randn(1, 3, 64, 64))
    tokens = torch.tensor([[[1, model.mask_id, 2]]])
    seen = model.look(model.read(tokens[0])[None], tokens, places)
    assert model.guesses(seen).shape == (1, 1, 3, 51)


def test_a_map_that_does_not_fit_fails() -> None:
    with pytest.raises(ValueError, match="side in steps of 32"):
        CrossModalConfig(side=50)
