"""The bundled re-ranker's model: a caption's words look at a picture's places, and say if they fit.

In ViLBERT's role (1908.02265): co-attention over both streams and a head that says whether picture
and caption match. Here only the caption attends to the picture, as in BLIP (2201.12086), so that a
picture's places are read once for all captions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor, nn
from torch.nn import functional

PAD, START = 0, 1


@dataclass(frozen=True, slots=True)
class CrossModalConfig:
    """Sizes of the model, and how pictures and captions reach it.

    Attributes:
        side: Pixels of the square input; the map of places has (side / 8)² of them.
        width: Channels behind the convolutional stem.
        blocks: Residual blocks of the three stages.
        dim: Width of the tokens of both streams.
        text_layers: Layers in which the caption reads itself.
        cross_layers: Layers in which it reads the picture too.
        mean: Subtracted from pixels in 0 … 1.
        deviation: What they are divided by then.
    """

    side: int = 64
    width: int = 32
    blocks: tuple[int, int, int] = (2, 2, 2)
    dim: int = 128
    heads: int = 4
    text_layers: int = 2
    cross_layers: int = 3
    vocabulary: int = 1_200
    context_length: int = 48
    mean: float = 0.5
    deviation: float = 0.25

    def __post_init__(self) -> None:
        if self.side % 32 or self.dim % self.heads:
            raise ValueError(
                f"need a side in steps of 32 and a dim in steps of heads, got {self.side}, "
                f"{self.dim} and {self.heads}"
            )


class FeatureMap(nn.Module):
    """The first three stages of CLIP's ResNet: what is where, with fine places and wide context."""

    def __init__(self, config: CrossModalConfig) -> None:
        super().__init__()
        # Names as in open_clip, so that a trained image tower can lend its weights.
        self.resnet = ModifiedResNet(
            [*config.blocks, 1], output_dim=1, heads=1, image_size=config.side, width=config.width
        )
        del self.resnet.layer4, self.resnet.attnpool
        channels = config.width * 8 + config.width * 16
        self.project = nn.Linear(channels, config.dim)
        self.places = nn.Parameter(0.02 * torch.randn((config.side // 8) ** 2, config.dim))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, 3, side, side) normalised pixels → (n, (side / 8)², dim) tokens, row by row."""
        net = self.resnet
        fine = net.layer2(net.layer1(net.stem(pictures)))
        wide = functional.interpolate(net.layer3(fine), size=fine.shape[-2:], mode="bilinear")
        channels = torch.cat([fine, wide], dim=1).flatten(2).transpose(1, 2)
        tokens: Tensor = self.norm(self.project(channels) + self.places)
        return tokens


class Block(nn.Module):
    """A transformer layer of captions, which look at pictures too where `looks` is True."""

    def __init__(self, dim: int, heads: int, *, looks: bool) -> None:
        super().__init__()
        self.heads = heads
        self.before_self = nn.LayerNorm(dim)
        self.queries_keys_values = nn.Linear(dim, 3 * dim)
        self.after_self = nn.Linear(dim, dim)
        self.looks = looks
        if looks:
            self.before_look = nn.LayerNorm(dim)
            self.queries = nn.Linear(dim, dim)
            self.keys_values = nn.Linear(dim, 2 * dim)
            self.after_look = nn.Linear(dim, dim)
        self.feed = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim)
        )

    def forward(self, words: Tensor, real: Tensor, places: Tensor | None = None) -> Tensor:
        """Update words.

        Args:
            words: (pictures, captions, length, dim); without pictures, (1, captions, …).
            real: (pictures, captions, length) bool, False for padding.
            places: (pictures, places, dim); a picture is looked at by all its captions.
        """
        pictures, captions, length, dim = words.shape
        split = self.queries_keys_values(self.before_self(words)).flatten(0, 1).chunk(3, dim=-1)
        mask = real.flatten(0, 1)[:, None, None]
        own = self._attend(*split, mask=mask).view(pictures, captions, length, dim)
        words = words + self.after_self(own)
        if self.looks and places is not None:
            asked = self.queries(self.before_look(words)).flatten(1, 2)
            seen = self._attend(asked, *self.keys_values(places).chunk(2, dim=-1))
            words = words + self.after_look(seen).view(pictures, captions, length, dim)
        fed: Tensor = words + self.feed(words)
        return fed

    def _attend(
        self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        heads = [
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (queries, keys, values)
        ]
        mixed = functional.scaled_dot_product_attention(*heads, attn_mask=mask)
        return mixed.transpose(1, 2).flatten(2)


class CrossModal(nn.Module):
    """Scores captions against pictures; also fills masked words in, which teaches it to look."""

    def __init__(self, config: CrossModalConfig) -> None:
        super().__init__()
        self.config = config
        self.mask_id = config.vocabulary
        self.pictures = FeatureMap(config)
        self.words = nn.Embedding(config.vocabulary + 1, config.dim, padding_idx=PAD)
        nn.init.normal_(self.words.weight, std=0.02)
        self.order = nn.Parameter(0.02 * torch.randn(config.context_length, config.dim))
        self.reading = nn.ModuleList(
            Block(config.dim, config.heads, looks=False) for _ in range(config.text_layers)
        )
        self.looking = nn.ModuleList(
            Block(config.dim, config.heads, looks=True) for _ in range(config.cross_layers)
        )
        self.norm = nn.LayerNorm(config.dim)
        self.match = nn.Linear(config.dim, 1)

    def read(self, tokens: Tensor) -> Tensor:
        """(captions, length) token ids → (captions, length, dim), each caption read on its own."""
        words: Tensor = (self.words(tokens) + self.order[: tokens.shape[1]])[None]
        real = (tokens != PAD)[None]
        for block in self.reading:
            words = block(words, real)
        return words[0]

    def look(self, words: Tensor, tokens: Tensor, places: Tensor) -> Tensor:
        """Every picture is looked at by captions of its own.

        Args:
            words: (pictures, captions, length, dim) from `read`.
            tokens: (pictures, captions, length) their ids.
            places: (pictures, places, dim) from `pictures`.

        Returns:
            (pictures, captions, length, dim); a caption's first word stands for the pair.
        """
        real = tokens != PAD
        for block in self.looking:
            words = block(words, real, places)
        normed: Tensor = self.norm(words)
        return normed

    def logits(self, seen: Tensor) -> Tensor:
        """(pictures, captions, length, dim) from `look` → (pictures, captions) match logits."""
        matched: Tensor = self.match(seen[:, :, 0])[..., 0]
        return matched

    def guesses(self, seen: Tensor) -> Tensor:
        """(…, dim) rows from `look` → (…, vocabulary + 1) logits of the word at each."""
        return seen @ self.words.weight.T

    def prepare(self, pixels: Tensor) -> Tensor:
        """(n, side, side, 3) uint8 → (n, 3, side, side) float32 as the model reads it."""
        scaled = pixels.permute(0, 3, 1, 2).float().div(255)
        return (scaled - self.config.mean) / self.config.deviation
