"""The small re-ranker's model: a caption's words look at what lies where, and say if they fit.

In ViLBERT's role (1908.02265), and like it in two parts. Eyes, which learned to name things first,
find a picture's regions: where they are and what they look like. Words then attend to the regions
and say whether they fit. Only the caption attends to the picture, as in BLIP (2201.12086), and it
does so after its words have read each other: little is left to do for each pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

PAD: Final = 0

REGIONS: Final = 5
"""Regions of a picture that words can look at; the demo world draws up to three things."""

STRIDE: Final = 8
"""Pixels between two places that the eyes judge."""

WAVES: Final = (1, 2, 4, 8)
"""Half periods per picture of the sines and cosines that say where a region is."""


@dataclass(frozen=True, slots=True)
class CrossModalConfig:
    """Sizes of the model.

    Attributes:
        vocabulary: Tokens of its tokenizer.
        names: How many names of each kind a thing can have: shapes, colours, sizes, textures.
        backdrops: How many kinds of background there are.
        side: Pixels of a picture's side, a multiple of STRIDE.
        channels: Width of what the eyes see at a place.
        dim: Width of the tokens of both streams.
        reading_layers: Layers in which the caption's words read each other, in both directions.
        relating_layers: Layers in which regions do the same.
        looking_layers: Layers in which words look at the regions.
        context: Tokens of a caption that are read.
    """

    vocabulary: int
    names: tuple[int, ...]
    backdrops: int
    side: int = 128
    channels: int = 64
    dim: int = 72
    heads: int = 4
    reading_layers: int = 2
    relating_layers: int = 1
    looking_layers: int = 2
    context: int = 64

    def __post_init__(self) -> None:
        if self.dim < 1 or self.heads < 1 or self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is no multiple of heads {self.heads}")
        if self.side < STRIDE or self.side % STRIDE:
            raise ValueError(f"side {self.side} is no multiple of {STRIDE}")


@dataclass(frozen=True, slots=True)
class Sight:
    """What the eyes make of pictures, at each of grid × grid places.

    Attributes:
        thing: (n, grid, grid) logits that a thing's centre lies there.
        offset: (n, 2, grid, grid) from a place's middle to the thing's, x and y in places.
        names: (n, sum of names, grid, grid) logits, kind after kind.
        backdrop: (n, backdrops) logits of the background.
    """

    thing: Tensor
    offset: Tensor
    names: Tensor
    backdrop: Tensor


@dataclass(frozen=True, slots=True)
class Seen:
    """What matters of pictures.

    Attributes:
        sure: (n, REGIONS) chances that there is a thing, highest first.
        where: (n, REGIONS, 2) x and y as fractions of the picture.
        names: (n, REGIONS, sum of names) chances, kind after kind.
        backdrop: (n, backdrops) chances of the background.
    """

    sure: Tensor
    where: Tensor
    names: Tensor
    backdrop: Tensor

    def __getitem__(self, rows: Tensor) -> Seen:
        return Seen(self.sure[rows], self.where[rows], self.names[rows], self.backdrop[rows])


class Eyes(nn.Module):
    """A small convolutional detector without boxes, as CenterNet (1904.07850)."""

    def __init__(self, config: CrossModalConfig) -> None:
        super().__init__()
        wide = config.channels
        self.kinds = config.names
        self.layers = nn.Sequential(
            _convolution(3, wide // 4, stride=2),
            _convolution(wide // 4, wide // 2, stride=2),
            _convolution(wide // 2, wide, stride=2),
            *[_convolution(wide, wide) for _ in range(3)],
        )
        self.judge = nn.Conv2d(wide, 3 + sum(config.names), 1)
        self.behind = nn.Linear(wide, config.backdrops)

    def forward(self, pixels: Tensor) -> Sight:
        """See (n, side, side, 3) uint8 pictures."""
        pictures = pixels.permute(0, 3, 1, 2).float().div(127.5).sub(1)
        features = self.layers(pictures.contiguous(memory_format=torch.channels_last))
        judged = self.judge(features)
        backdrop = self.behind(features.mean(dim=(2, 3)))
        return Sight(
            judged[:, 0].float(), judged[:, 1:3].float(), judged[:, 3:].float(), backdrop.float()
        )

    def regions(self, sight: Sight) -> Seen:
        """The places that look most like a thing's centre, more so than those around them."""
        grid = sight.thing.shape[-1]
        chance = sight.thing.sigmoid()
        around = functional.max_pool2d(chance[:, None], 3, 1, 1)[:, 0]
        sure, at = (chance * (chance == around)).flatten(1).topk(REGIONS)

        def there(values: Tensor) -> Tensor:
            flat = values.flatten(2).transpose(1, 2)
            return flat.gather(1, at[..., None].expand(-1, -1, flat.shape[2]))

        middle = torch.stack([at % grid, at // grid], dim=-1) + 0.5
        kinds = there(sight.names).split_with_sizes(self.kinds, dim=-1)
        names = torch.cat([kind.softmax(dim=-1) for kind in kinds], dim=-1)
        where = (middle + there(sight.offset)) / grid
        return Seen(sure, where, names, sight.backdrop.softmax(dim=-1))


class CrossModal(nn.Module):
    """Scores captions against pictures."""

    def __init__(self, config: CrossModalConfig) -> None:
        super().__init__()
        dim, heads = config.dim, config.heads
        self.eyes = Eyes(config)
        self.words = nn.Embedding(config.vocabulary, dim)
        self.order = nn.Parameter(0.2 * torch.randn(config.context, dim))
        self.from_region = nn.Linear(1 + 4 * len(WAVES) + sum(config.names), dim)
        self.from_backdrop = nn.Linear(config.backdrops, dim)
        self.reading = _layers(config.reading_layers, dim, heads)
        self.relating = _layers(config.relating_layers, dim, heads)
        self.looking = _layers(config.looking_layers, dim, heads)
        self.norm = nn.LayerNorm(dim)
        self.fits = nn.Linear(dim, 1)
        self.centre = nn.Parameter(torch.tensor(2.0))

    def read(self, tokens: Tensor) -> Tensor:
        """Let the words of captions read each other: (n, length) int64 → (n, length, dim)."""
        words: Tensor = self.words(tokens) + self.order[: tokens.shape[1]]
        for block in self.reading:
            words = block(words, words, tokens != PAD)
        return words

    def see(self, pixels: Tensor) -> Seen:
        """Find what lies where in (n, side, side, 3) uint8 pictures."""
        return self.eyes.regions(self.eyes(pixels))

    def relate(self, seen: Seen) -> Tensor:
        """Let the regions of pictures see each other: (n, REGIONS + 1, dim), background last."""
        turns = torch.cat([seen.where * (torch.pi * wave) for wave in WAVES], dim=-1)
        sure = seen.sure[..., None]
        told = torch.cat([sure, sure * seen.names, turns.sin(), turns.cos()], dim=-1)
        regions = torch.cat(
            [self.from_region(told), self.from_backdrop(seen.backdrop)[:, None]], dim=1
        )
        for block in self.relating:
            regions = block(regions, regions)
        return regions

    def forward(self, words: Tensor, real: Tensor, regions: Tensor) -> Tensor:
        """Logits of a match, (pairs,).

        Args:
            words: (pairs, length, dim) from `read`.
            real: (pairs, length) bool, False for padding.
            regions: (pairs, REGIONS + 1, dim) from `relate`.
        """
        for block in self.looking:
            words = block(words, regions)
        # A caption fits where every word of it does, so one wrong word is enough to learn from.
        fits = functional.logsigmoid(self.fits(self.norm(words))[..., 0].float())
        logits: Tensor = self.centre + fits.masked_fill(~real, 0).sum(dim=1)
        return logits


class Block(nn.Module):
    """A transformer layer: tokens attend to others, or to each other."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(dim)
        self.before_others = nn.LayerNorm(dim)
        self.queries = nn.Linear(dim, dim)
        self.keys_values = nn.Linear(dim, 2 * dim)
        self.meet = nn.Linear(dim, dim)
        self.after = nn.Linear(dim, dim)
        self.feed = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )

    def forward(self, tokens: Tensor, others: Tensor, real: Tensor | None = None) -> Tensor:
        """Update tokens.

        Args:
            tokens: (n, length, dim).
            others: (n, others, dim), what they attend to.
            real: (n, others) bool, False for padding; None: all are real.
        """
        asking = self.before(tokens)
        keys, values = self.keys_values(self.before_others(others)).chunk(2, dim=-1)
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.queries(asking), keys, values)
        )
        mask = None if real is None else real[:, None, None]
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        # Whether two things agree is a product, which sums alone are slow to learn (1610.04325).
        met = mixed.transpose(1, 2).flatten(2) * (1 + self.meet(asking))
        tokens = tokens + self.after(met)
        fed: Tensor = tokens + self.feed(tokens)
        return fed


def _layers(count: int, dim: int, heads: int) -> nn.ModuleList:
    return nn.ModuleList(Block(dim, heads) for _ in range(count))


def _convolution(channels: int, wide: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, wide, 3, stride, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()
    )
