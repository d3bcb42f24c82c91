"""The model of the small re-ranker: words of a caption attend to detected regions of a picture.

It has the role of ViLBERT (1908.02265), in two parts. A pretrained detector finds regions with
their positions and names. The words then attend to the regions and score the match. Only the
caption attends to the picture, as in BLIP (2201.12086), and only after self-attention among its
words, so that the cost of each pair is small.

Attributes of the modules and fields of the configuration are the names in stored weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

PAD: Final = 0

REGIONS: Final = 5
"""Number of regions per picture; scenes of the demo world have up to three objects."""

STRIDE: Final = 8
"""Pixels between neighbouring cells of the detector's grid."""

WAVES: Final = (1, 2, 4, 8)
"""Half periods per picture of the sines and cosines that encode a position."""


@dataclass(frozen=True, slots=True)
class CrossModalConfig:
    """Sizes of the model.

    Attributes:
        vocabulary: Number of tokens.
        names: Number of names in each group: shapes, colours, sizes, textures.
        backdrops: Number of background classes.
        side: Height and width of a picture in pixels, a multiple of STRIDE.
        channels: Channels of the detector's features.
        dim: Width of word and region tokens.
        heads: Attention heads.
        reading_layers: Layers of self-attention among words.
        relating_layers: Layers of self-attention among regions.
        looking_layers: Layers of attention from words to regions.
        context: Maximum number of tokens of a caption.

    Raises:
        ValueError: Sizes are not multiples of each other.
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
            raise ValueError(f"dim {self.dim} is not a multiple of heads {self.heads}")
        if self.side < STRIDE or self.side % STRIDE:
            raise ValueError(f"side {self.side} is not a multiple of {STRIDE}")


@dataclass(frozen=True, slots=True)
class Detections:
    """Raw output of the detector on a grid of cells.

    Attributes:
        centre: (n, grid, grid) logits that an object's centre is in the cell.
        offset: (n, 2, grid, grid) from the cell's centre to the object's, x and y in cells.
        names: (n, sum of names, grid, grid) logits, group after group.
        backdrop: (n, backdrops) logits of the background class.
    """

    centre: Tensor
    offset: Tensor
    names: Tensor
    backdrop: Tensor


@dataclass(frozen=True, slots=True)
class Regions:
    """The most probable objects of pictures.

    Attributes:
        confidence: (n, REGIONS) probabilities of an object, highest first.
        position: (n, REGIONS, 2) x and y as fractions of the picture.
        names: (n, REGIONS, sum of names) probabilities, group after group.
        backdrop: (n, backdrops) probabilities of the background class.
    """

    confidence: Tensor
    position: Tensor
    names: Tensor
    backdrop: Tensor

    def __getitem__(self, rows: Tensor) -> Regions:
        return Regions(
            self.confidence[rows], self.position[rows], self.names[rows], self.backdrop[rows]
        )


class Detector(nn.Module):
    """A small convolutional detector of object centres, as CenterNet (1904.07850)."""

    def __init__(self, config: CrossModalConfig) -> None:
        super().__init__()
        channels = config.channels
        self.group_sizes = config.names
        self.layers = nn.Sequential(
            _convolution(3, channels // 4, stride=2),
            _convolution(channels // 4, channels // 2, stride=2),
            _convolution(channels // 2, channels, stride=2),
            *[_convolution(channels, channels) for _ in range(3)],
        )
        self.judge = nn.Conv2d(channels, 3 + sum(config.names), 1)
        self.behind = nn.Linear(channels, config.backdrops)

    def forward(self, pixels: Tensor) -> Detections:
        """Detect objects in (n, side, side, 3) uint8 pictures."""
        pictures = pixels.permute(0, 3, 1, 2).float().div(127.5).sub(1)
        features = self.layers(pictures.contiguous(memory_format=torch.channels_last))
        output = self.judge(features).float()
        backdrop = self.behind(features.mean(dim=(2, 3))).float()
        return Detections(output[:, 0], output[:, 1:3], output[:, 3:], backdrop)

    def regions(self, detections: Detections) -> Regions:
        """Return the most probable cells among those that exceed their neighbours."""
        grid = detections.centre.shape[-1]
        probability = detections.centre.sigmoid()
        maximum = functional.max_pool2d(probability[:, None], 3, 1, 1)[:, 0]
        peaks = probability * (probability == maximum)
        confidence, cells = peaks.flatten(1).topk(REGIONS)

        def at_cells(values: Tensor) -> Tensor:
            flat = values.flatten(2).transpose(1, 2)
            return flat.gather(1, cells[..., None].expand(-1, -1, flat.shape[2]))

        centres = torch.stack([cells % grid, cells // grid], dim=-1) + 0.5
        groups = at_cells(detections.names).split_with_sizes(self.group_sizes, dim=-1)
        names = torch.cat([group.softmax(dim=-1) for group in groups], dim=-1)
        position = (centres + at_cells(detections.offset)) / grid
        return Regions(confidence, position, names, detections.backdrop.softmax(dim=-1))


class CrossModal(nn.Module):
    """Scores captions against pictures."""

    def __init__(self, config: CrossModalConfig) -> None:
        super().__init__()
        dim, heads = config.dim, config.heads
        self.eyes = Detector(config)
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
        """Encode the words of captions: (n, length) int64 → (n, length, dim)."""
        words: Tensor = self.words(tokens) + self.order[: tokens.shape[1]]
        for layer in self.reading:
            words = layer(words, words, tokens != PAD)
        return words

    def see(self, pixels: Tensor) -> Regions:
        """Detect the regions of (n, side, side, 3) uint8 pictures."""
        return self.eyes.regions(self.eyes(pixels))

    def relate(self, regions: Regions) -> Tensor:
        """Encode the regions of pictures: (n, REGIONS + 1, dim), the background last."""
        angles = torch.cat([regions.position * (torch.pi * wave) for wave in WAVES], dim=-1)
        confidence = regions.confidence[..., None]
        features = torch.cat(
            [confidence, confidence * regions.names, angles.sin(), angles.cos()], dim=-1
        )
        tokens = torch.cat(
            [self.from_region(features), self.from_backdrop(regions.backdrop)[:, None]], dim=1
        )
        for layer in self.relating:
            tokens = layer(tokens, tokens)
        return tokens

    def forward(self, words: Tensor, mask: Tensor, regions: Tensor) -> Tensor:
        """Compute the logits of a match, (pairs,).

        Args:
            words: (pairs, length, dim) from `read`.
            mask: (pairs, length) bool, False for padding.
            regions: (pairs, REGIONS + 1, dim) from `relate`.
        """
        for layer in self.looking:
            words = layer(words, regions)
        # A caption matches if every word does, so a single wrong word has a strong gradient.
        fits = functional.logsigmoid(self.fits(self.norm(words))[..., 0].float())
        logits: Tensor = self.centre + fits.masked_fill(~mask, 0).sum(dim=1)
        return logits


class Layer(nn.Module):
    """A transformer layer: tokens attend to other tokens, or to each other."""

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

    def forward(self, tokens: Tensor, others: Tensor, mask: Tensor | None = None) -> Tensor:
        """Update tokens, (n, length, dim).

        Args:
            tokens: (n, length, dim).
            others: (n, others, dim), the tokens to attend to.
            mask: (n, others) bool, False for padding; None: no padding.
        """
        normed = self.before(tokens)
        keys, values = self.keys_values(self.before_others(others)).chunk(2, dim=-1)
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.queries(normed), keys, values)
        )
        attended = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=None if mask is None else mask[:, None, None]
        )
        # Products detect agreement, which sums alone learn slowly (1610.04325).
        product = attended.transpose(1, 2).flatten(2) * (1 + self.meet(normed))
        tokens = tokens + self.after(product)
        output: Tensor = tokens + self.feed(tokens)
        return output


def _layers(count: int, dim: int, heads: int) -> nn.ModuleList:
    return nn.ModuleList(Layer(dim, heads) for _ in range(count))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
