import numpy as np
import pytest
import torch
from torch import Tensor, nn

from retrieval.training.pairs.augmentation import (
    AUGMENTATIONS,
    NO_AUGMENTATION,
    Augmentation,
    Augmented,
    augment,
    change_gain,
    choose_augmentation,
    draw_mixture,
    mask_stripes,
    mix,
    shift_time,
)


def pictures(count: int = 3, bands: int = 4, frames: int = 6) -> Tensor:
    return torch.arange(count * bands * frames, dtype=torch.float32).reshape(count, bands, frames)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_pictures_are_rolled_by_seeded_shifts() -> None:
    shifts = rng(5).integers(-2, 3, (3, 1))[:, 0]
    assert len(set(shifts)) > 1
    shifted = shift_time(pictures(), 2, rng(5))
    for picture, got, shift in zip(pictures(), shifted, shifts, strict=True):
        torch.testing.assert_close(got, picture.roll(int(shift), dims=1))


def test_gain_adds_decibels_to_a_whole_picture() -> None:
    added = change_gain(pictures(100), 6.0, rng()) - pictures(100)
    gains = added[:, 0, 0] * 30  # a unit of a picture is 30 dB
    torch.testing.assert_close(
        added, (gains / 30)[:, None, None].expand_as(added), atol=1e-3, rtol=0
    )
    assert gains.min() >= -6.01
    assert gains.max() <= 6.01
    assert gains.std() == pytest.approx(12 / np.sqrt(12), rel=0.2)  # uniform on [-6, 6]


def test_masks_are_whole_stripes_of_the_pictures_mean() -> None:
    before = pictures(200, 20, 30)
    after = mask_stripes(before, 1, 0.2, rng())
    covered = after != before
    means = before.mean(dim=(1, 2), keepdim=True).expand_as(after)
    torch.testing.assert_close(after[covered], means[covered])
    bands, frames = covered.all(dim=2).sum(dim=1), covered.all(dim=1).sum(dim=1)
    assert set(bands.tolist()) == {0, 1, 2, 3, 4}  # 0 … 20 % of 20
    assert set(frames.tolist()) == {0, 1, 2, 3, 4, 5, 6}
    # Nothing else is covered: a stripe of bands and a stripe of frames overlap in a rectangle.
    want = bands * 30 + frames * 20 - bands * frames
    assert covered.sum(dim=(1, 2)).tolist() == want.tolist()


def test_a_mixture_keeps_the_larger_share() -> None:
    partners, shares = draw_mixture(1_000, 0.3, rng())
    assert sorted(partners.tolist()) == list(range(1_000))
    assert shares.dtype == torch.float32
    assert 0.5 <= shares.min() < 0.55
    drawn = rng()
    drawn.permutation(1_000)
    drawn = drawn.beta(0.3, 0.3, 1_000)
    np.testing.assert_allclose(shares, np.maximum(drawn, 1 - drawn), rtol=1e-6)


def test_mixing_is_worked_by_hand() -> None:
    rows = torch.tensor([[0.0, 4.0], [8.0, 0.0]])
    mixed = mix(rows, torch.tensor([1, 0]), torch.tensor([0.75, 1.0]))
    assert mixed.tolist() == [[2.0, 3.0], [8.0, 0.0]]


class Towers(nn.Module):
    """Media are pictures' sums as angles; texts are the tokens' rows of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(1.0))
        self.seen = torch.empty(0)

    def forward(self, media: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        self.seen = media
        return media.flatten(1), torch.eye(3)[tokens], self.logit_scale.exp()


def test_mixup_mixes_pictures_and_caption_vectors_in_equal_shares() -> None:
    towers = Towers()
    augmented = Augmented(towers, Augmentation(mixup=0.5)).train()
    torch.manual_seed(4)
    _, texts, _ = augmented(pictures(), torch.arange(3))
    torch.manual_seed(4)
    drawn = int(torch.randint(2**62, ()))
    partners, shares = draw_mixture(3, 0.5, np.random.default_rng(drawn))
    torch.testing.assert_close(towers.seen, mix(pictures(), partners, shares))
    for row, (partner, share) in enumerate(zip(partners, shares, strict=True)):
        want = share * torch.eye(3)[row] + (1 - share) * torch.eye(3)[partner]
        torch.testing.assert_close(texts[row], want / want.norm())


def test_evaluation_and_no_augmentation_leave_pictures_alone() -> None:
    everything = choose_augmentation(AUGMENTATIONS)
    for augmentation, training in ((everything, False), (NO_AUGMENTATION, True)):
        towers = Towers()
        Augmented(towers, augmentation).train(training)(pictures(), torch.arange(3))
        assert torch.equal(towers.seen, pictures())


def test_a_seed_repeats_the_augmentation() -> None:
    everything = choose_augmentation(AUGMENTATIONS)
    first, second, other = (augment(pictures(3, 20, 40), everything, rng(n)) for n in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_augmentations_are_combined() -> None:
    assert choose_augmentation([]) == NO_AUGMENTATION
    assert choose_augmentation(["gain", "mixup"]) == Augmentation(gain_decibels=6.0, mixup=0.3)


def test_the_trainer_reaches_the_towers_own_temperature() -> None:
    towers = Towers()
    augmented = Augmented(towers, NO_AUGMENTATION)
    assert augmented.logit_scale is towers.logit_scale
    assert [id(p) for p in augmented.parameters()] == [id(towers.logit_scale)]
