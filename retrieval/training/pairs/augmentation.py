"""Augmentation of log-mel pictures of sound: shifts, gains, masks and mixup.

Every function draws from a numpy generator, so a seed repeats a run on any device. Pictures are
(n, bands, frames) float32 as `LogMel` makes them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.encoders.log_mel import DECIBELS_PER_UNIT


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Strengths of the changes, applied in this order; the defaults change nothing.

    Attributes:
        shift_share: Largest shift in time, as a share of the window.
        gain_decibels: Largest change of loudness, in either direction.
        masks: Number of masked stripes of bands, and of frames, in each picture (SpecAugment).
        mask_share: Largest width of a stripe, as a share of the bands or frames.
        mixup: α of the Beta distribution that pairs are mixed by; 0: no mixup.
    """

    shift_share: float = 0.0
    gain_decibels: float = 0.0
    masks: int = 0
    mask_share: float = 0.0
    mixup: float = 0.0


NO_AUGMENTATION: Final = Augmentation()

AUGMENTATIONS: Final[dict[str, dict[str, Any]]] = {
    "shift": {"shift_share": 0.5},
    "gain": {"gain_decibels": 6.0},
    "spec": {"masks": 2, "mask_share": 0.15},
    "mixup": {"mixup": 0.3},
}
"""Named changes at their usual strengths."""


def choose_augmentation(names: Collection[str]) -> Augmentation:
    """Combine names of `AUGMENTATIONS`; without names nothing changes."""
    strengths: dict[str, Any] = {}
    for name in names:
        strengths |= AUGMENTATIONS[name]
    return Augmentation(**strengths)


def shift_time(pictures: Tensor, max_frames: int, rng: np.random.Generator) -> Tensor:
    """Roll each picture in time by up to `max_frames` frames in either direction."""
    shifts = torch.from_numpy(rng.integers(-max_frames, max_frames + 1, (len(pictures), 1)))
    frames = pictures.shape[2]
    source = ((torch.arange(frames) - shifts) % frames).to(pictures.device)
    return pictures.gather(2, source[:, None].expand_as(pictures))


def change_gain(pictures: Tensor, decibels: float, rng: np.random.Generator) -> Tensor:
    """Make each sound up to `decibels` louder or softer: add a constant to its logarithms."""
    gains = rng.uniform(-decibels, decibels, (len(pictures), 1, 1)) / DECIBELS_PER_UNIT
    return pictures + torch.from_numpy(gains).to(pictures)


def mask_stripes(pictures: Tensor, masks: int, share: float, rng: np.random.Generator) -> Tensor:
    """Replace stripes of bands and frames by the picture's mean: SpecAugment (1904.08779).

    Args:
        pictures: (n, bands, frames).
        masks: Number of stripes in each direction.
        share: Largest width of a stripe, as a share of the bands or frames; widths start at 0.
        rng: Draws widths and positions.
    """
    count, bands, frames = pictures.shape
    masked = torch.zeros(pictures.shape, dtype=torch.bool, device=pictures.device)
    for _ in range(masks):
        masked |= _draw_stripes(count, bands, share, rng).to(pictures.device)[:, :, None]
        masked |= _draw_stripes(count, frames, share, rng).to(pictures.device)[:, None, :]
    return torch.where(masked, pictures.mean(dim=(1, 2), keepdim=True), pictures)


def draw_mixture(count: int, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw the partner of each row and the row's share of the mixture.

    Returns:
        Partners, (n,) int64, a permutation, and shares, (n,) float32 in [0.5, 1]: the larger of
        λ and 1 - λ for λ from Beta(α, α).
    """
    partners = torch.from_numpy(rng.permutation(count))
    share = rng.beta(alpha, alpha, count).astype(np.float32)
    return partners, torch.from_numpy(np.maximum(share, 1 - share))


def mix(rows: Tensor, partners: Tensor, shares: Tensor) -> Tensor:
    """Interpolate between each row (weight `share`) and its partner: mixup (1710.09412)."""
    weights = shares.reshape(-1, *(1,) * (rows.ndim - 1)).to(rows)
    return torch.lerp(rows[partners.to(rows.device)], rows, weights)


class Augmented(nn.Module):
    """Two towers that are trained on augmented pictures.

    Mixup of a contrastive batch mixes both sides of a pair in the same proportion: the pictures
    before the tower, and the unit vectors of the captions after theirs. The loss does not change.

    Random numbers come from torch's generator. Checkpoints restore its state, and GradCache repeats
    it, so both passes over a part see the same pictures.
    """

    def __init__(self, towers: nn.Module, augmentation: Augmentation) -> None:
        super().__init__()
        self.towers = towers
        self._augmentation = augmentation

    @property
    def logit_scale(self) -> nn.Parameter:
        """The parameter of the towers, which the trainer limits."""
        scale: nn.Parameter = self.towers.logit_scale  # type: ignore[assignment]
        return scale

    def forward(self, pictures: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Call the towers; in training, on augmented pictures."""
        if not self.training or self._augmentation == NO_AUGMENTATION:
            return self.towers(pictures, tokens)  # type: ignore[no-any-return]
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        pictures = augment(pictures, self._augmentation, rng)
        if not self._augmentation.mixup:
            return self.towers(pictures, tokens)  # type: ignore[no-any-return]
        partners, shares = draw_mixture(len(pictures), self._augmentation.mixup, rng)
        media, text, scale = self.towers(mix(pictures, partners, shares), tokens)
        return media, functional.normalize(mix(text, partners, shares), dim=-1), scale


def augment(pictures: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    """Shift, change the gain of, and mask each picture independently; mixup is not applied."""
    if augmentation.shift_share:
        max_frames = round(augmentation.shift_share * pictures.shape[2])
        pictures = shift_time(pictures, max_frames, rng)
    if augmentation.gain_decibels:
        pictures = change_gain(pictures, augmentation.gain_decibels, rng)
    if augmentation.masks:
        pictures = mask_stripes(pictures, augmentation.masks, augmentation.mask_share, rng)
    return pictures


def _draw_stripes(count: int, length: int, share: float, rng: np.random.Generator) -> Tensor:
    """Draw one stripe of up to `share` of the length in each row, (count, length) bool."""
    widths = rng.integers(0, round(share * length) + 1, (count, 1))
    starts = rng.integers(0, length - widths + 1)
    positions = np.arange(length)
    return torch.from_numpy((positions >= starts) & (positions < starts + widths))
