import pytest
import torch

from retrieval.search.reranking.cross_modal import (
    PAD,
    REGIONS,
    CrossModal,
    CrossModalConfig,
    Detections,
    Detector,
    Regions,
)

SMALL = CrossModalConfig(
    9, names=(2, 3), backdrops=4, side=32, channels=8, dim=16, heads=2, context=6
)
TOKENS = torch.tensor([[1, 5, 6, 2], [1, 7, 2, PAD]])


@pytest.fixture(scope="module")
def model() -> CrossModal:
    torch.manual_seed(0)
    model = CrossModal(SMALL).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def pictures(n: int) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randint(0, 256, (n, SMALL.side, SMALL.side, 3), dtype=torch.uint8)


@torch.inference_mode()
def test_pairs_are_independent(model: CrossModal) -> None:
    words, real, seen = model.read(TOKENS), TOKENS != PAD, model.relate(model.see(pictures(2)))
    together = model(words, real, seen)
    assert together.shape == (2,)
    for pair in range(2):
        one = torch.tensor([pair])
        alone = model(model.read(TOKENS[one]), real[one], model.relate(model.see(pictures(2)[one])))
        torch.testing.assert_close(alone[0], together[pair])
    assert together.std() > 1e-3


@torch.inference_mode()
def test_padding_changes_nothing(model: CrossModal) -> None:
    seen = model.relate(model.see(pictures(1)))
    short, padded = (
        model(model.read(tokens), tokens != PAD, seen) for tokens in (TOKENS[1:, :3], TOKENS[1:])
    )
    torch.testing.assert_close(short, padded)


@torch.inference_mode()
def test_words_and_regions_both_matter(model: CrossModal) -> None:
    words, real, seen = model.read(TOKENS), TOKENS != PAD, model.relate(model.see(pictures(2)))
    both = torch.tensor([0, 0])
    assert model(words[both], real[both], seen).std() > 1e-3
    assert model(words, real, seen[both]).std() > 1e-3


def test_regions_are_where_centres_peak() -> None:
    detector = Detector(SMALL)
    centre = torch.full((1, 4, 4), -9.0)
    centre[0, 1, 2], centre[0, 1, 3], centre[0, 3, 0] = 4.0, 3.0, 2.0  # the second is no peak
    offset, names = torch.zeros(1, 2, 4, 4), torch.zeros(1, 5, 4, 4)
    offset[0, :, 1, 2] = torch.tensor([0.25, -0.5])
    names[0, [1, 4], 1, 2] = 9.0
    seen = detector.regions(Detections(centre, offset, names, torch.zeros(1, 4)))
    assert seen.confidence.shape == (1, REGIONS)
    torch.testing.assert_close(seen.confidence[0, :2], torch.tensor([4.0, 2.0]).sigmoid())
    assert (seen.confidence[0, 2:] < 1e-3).all()
    torch.testing.assert_close(seen.position[0, 0], torch.tensor([2.75, 1.0]) / 4)
    torch.testing.assert_close(seen.position[0, 1], torch.tensor([0.5, 3.5]) / 4)
    assert seen.names[0, 0].round().tolist() == [0, 1, 0, 0, 1]
    torch.testing.assert_close(seen.names[0, 1, :2], torch.tensor([0.5, 0.5]))
    torch.testing.assert_close(seen.backdrop, torch.full((1, 4), 0.25))


def test_pictures_are_chosen_by_row() -> None:
    parts = [torch.arange(3.0).view(3, *[1] * more) for more in (1, 2, 2, 1)]
    chosen = Regions(*parts)[torch.tensor([2, 2, 0])]
    assert chosen.confidence.flatten().tolist() == chosen.position.flatten().tolist() == [2, 2, 0]
    assert chosen.names.flatten().tolist() == chosen.backdrop.flatten().tolist() == [2, 2, 0]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"dim": 10, "heads": 4}, "dim 10 is not a multiple of heads 4"),
        ({"side": 60}, "side 60 is not a multiple of 8"),
    ],
)
def test_sizes_that_do_not_fit_fail(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CrossModalConfig(9, (2, 3), 4, **sizes)  # type: ignore[arg-type]
