"""Augmentation: no picture of a sound is seen twice the same, so that few recordings go further.

Every function draws from the numpy generator it is given, so a seed repeats a run on any device.
Pictures are (n, bands, frames) float32 as `LogMel` makes them.
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
    """What happens to a batch, in this order; the defaults leave it as it is.

    Attributes:
        shift_share: Sounds begin up to this share of the window earlier or later.
        gain_decibels: They are up to this much louder or softer.
        masks: Stripes over bands, and as many over frames, of each picture (SpecAugment).
        mask_share: The widest stripe, as a share of the bands or frames.
        mixup: α of the Beta distribution that pairs are mixed by; 0: they are not.
    """

    shift_share: float = 0.0
    gain_decibels: float = 0.0
    masks: int = 0
    mask_share: float = 0.0
    mixup: float = 0.0


AS_IT_IS: Final = Augmentation()

KINDS: Final[dict[str, dict[str, Any]]] = {
    "shift": {"shift_share": 0.5},
    "gain": {"gain_decibels": 6.0},
    "spec": {"masks": 2, "mask_share": 0.15},
    "mixup": {"mixup": 0.3},
}
"""What people name on the command line, at the strength that is usual."""


def choose_augmentation(kinds: Collection[str]) -> Augmentation:
    """Combine kinds of `KINDS`; none: pictures stay as they are."""
    chosen: dict[str, Any] = {}
    for kind in kinds:
        chosen |= KINDS[kind]
    return Augmentation(**chosen)


def shift_time(pictures: Tensor, most: int, rng: np.random.Generator) -> Tensor:
    """Roll each picture by up to `most` frames either way; what leaves one end enters the other."""
    shifts = torch.from_numpy(rng.integers(-most, most + 1, (len(pictures), 1)))
    frames = pictures.shape[2]
    source = ((torch.arange(frames) - shifts) % frames).to(pictures.device)
    return pictures.gather(2, source[:, None].expand_as(pictures))


def change_gain(pictures: Tensor, decibels: float, rng: np.random.Generator) -> Tensor:
    """Make each sound up to `decibels` louder or softer: a constant added to its logarithms."""
    gains = rng.uniform(-decibels, decibels, (len(pictures), 1, 1)) / DECIBELS_PER_UNIT
    return pictures + _tensor(gains, pictures)


def mask_stripes(pictures: Tensor, masks: int, share: float, rng: np.random.Generator) -> Tensor:
    """Cover bands and frames with the picture's mean, as SpecAugment (1904.08779) does.

    Args:
        pictures: (n, bands, frames).
        masks: Stripes of each direction.
        share: The widest stripe, as a share of the bands or frames; each is 0 to this wide.
        rng: Decides widths and places.
    """
    count, bands, frames = pictures.shape
    covered = torch.zeros(pictures.shape, dtype=torch.bool, device=pictures.device)
    for _ in range(masks):
        covered |= _stripes(count, bands, share, rng).to(pictures.device)[:, :, None]
        covered |= _stripes(count, frames, share, rng).to(pictures.device)[:, None, :]
    return torch.where(covered, pictures.mean(dim=(1, 2), keepdim=True), pictures)


def draw_mixture(count: int, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Draw whom each row is mixed with, and how much of the row stays.

    Returns:
        Partners, (n,) int64, a permutation, and shares, (n,) float32 in [0.5, 1]: the larger of
        λ and 1 - λ for λ from Beta(α, α), so that a row stays mostly itself.
    """
    partners = torch.from_numpy(rng.permutation(count))
    share = rng.beta(alpha, alpha, count).astype(np.float32)
    return partners, torch.from_numpy(np.maximum(share, 1 - share))


def mix(rows: Tensor, partners: Tensor, shares: Tensor) -> Tensor:
    """`share` of each row and the rest of its partner: mixup (1710.09412)."""
    kept = shares.reshape(-1, *(1,) * (rows.ndim - 1)).to(rows)
    return torch.lerp(rows[partners.to(rows.device)], rows, kept)


class Augmented(nn.Module):
    """Two towers whose training sees altered pictures; it trains in their place and is thrown away.

    Mixup of a contrastive batch mixes both sides of a pair in the same proportion: the pictures
    before the tower, and the unit vectors of the captions after theirs. So the picture of two
    sounds belongs between their captions, and the loss stays what it is.

    What happens to a batch depends on torch's random numbers: a checkpoint holds them, and a batch
    that goes through the towers twice is altered in the same way twice.
    """

    def __init__(self, towers: nn.Module, augmentation: Augmentation) -> None:
        super().__init__()
        self.towers = towers
        self._augmentation = augmentation

    @property
    def logit_scale(self) -> nn.Parameter:
        """The towers' own, which the trainer keeps within its bounds."""
        scale: nn.Parameter = self.towers.logit_scale  # type: ignore[assignment]
        return scale

    def forward(self, pictures: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As the towers', in training on altered pictures."""
        if not self.training or self._augmentation == AS_IT_IS:
            return self.towers(pictures, tokens)  # type: ignore[no-any-return]
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        pictures = alter(pictures, self._augmentation, rng)
        if not self._augmentation.mixup:
            return self.towers(pictures, tokens)  # type: ignore[no-any-return]
        partners, shares = draw_mixture(len(pictures), self._augmentation.mixup, rng)
        media, text, scale = self.towers(mix(pictures, partners, shares), tokens)
        return media, functional.normalize(mix(text, partners, shares), dim=-1), scale


def alter(pictures: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    """Shift, change the gain and cover stripes of each picture for itself."""
    if augmentation.shift_share:
        most = round(augmentation.shift_share * pictures.shape[2])
        pictures = shift_time(pictures, most, rng)
    if augmentation.gain_decibels:
        pictures = change_gain(pictures, augmentation.gain_decibels, rng)
    if augmentation.masks:
        pictures = mask_stripes(pictures, augmentation.masks, augmentation.mask_share, rng)
    return pictures


def _stripes(count: int, length: int, share: float, rng: np.random.Generator) -> Tensor:
    """(count, length) bool: one stripe of up to `share` of the length in each row."""
    widths = rng.integers(0, round(share * length) + 1, (count, 1))
    starts = rng.integers(0, length - widths + 1)
    places = np.arange(length)
    return torch.from_numpy((places >= starts) & (places < starts + widths))


def _tensor(values: np.ndarray[Any, np.dtype[np.float64]], like: Tensor) -> Tensor:
    return torch.from_numpy(values).to(like)
