"""The bundled re-ranker's model: a caption's words look at a picture's places, and say if they fit.

In ViLBERT's role (1908.02265): co-attention over both streams and a head that says whether picture
and caption match. Here only the caption attends to the picture, as in BLIP (2201.12086), so that a
picture's places are read once for all captions. Captions come as the bundled image-text model reads
them, and that model's similarity counts too; its own first layers see, trained further.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.encoders.weights import file_digest

PAD = 0


@dataclass(frozen=True, slots=True)
class CrossModalConfig:
    """Sizes of the model.

    Attributes:
        first_stage: sha256 of the image-text model's weights, whose features it was trained on.
        dim: Width of the tokens of both streams.
        text_layers: Layers in which the caption reads itself, in both directions.
        cross_layers: Layers in which it looks at the picture too.
    """

    first_stage: str
    dim: int = 128
    heads: int = 4
    text_layers: int = 1
    cross_layers: int = 3

    def __post_init__(self) -> None:
        if self.dim < 1 or self.heads < 1 or self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is no multiple of heads {self.heads}")


@dataclass(frozen=True, slots=True)
class Seen:
    """Pictures: unit vectors (n, dim), and what a stage made of their pixels.

    `places` is (n, 3, side, side) from the first stage, and (n, places, dim), row by row, once the
    model has surveyed them.
    """

    places: Tensor
    vectors: Tensor


@dataclass(frozen=True, slots=True)
class Read:
    """Captions: words (n, length, width), which of them are real, and unit vectors (n, dim)."""

    words: Tensor
    real: Tensor
    vectors: Tensor


class FirstStage:
    """The bundled image-text model, a CLIP of open_clip with a ResNet, frozen: what both read."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        import open_clip

        name = f"local-dir:{folder}"
        self.digest = file_digest(folder / "open_clip_model.safetensors")
        self.device = device
        self.clip: Any = open_clip.create_model(name, device=device).eval().requires_grad_(False)
        self.tokenizer: Any = open_clip.get_tokenizer(name)
        wanted = self.clip.visual.preprocess_cfg
        size = wanted["size"]
        self.side = int(size if isinstance(size, int) else size[0])
        self._mean = torch.tensor(wanted["mean"], device=device).view(-1, 1, 1)
        self._deviation = torch.tensor(wanted["std"], device=device).view(-1, 1, 1)

    @property
    def scale(self) -> float:
        """What the inner products of its vectors are multiplied with in training."""
        return float(self.clip.logit_scale.exp())

    @torch.no_grad()
    def see(self, pixels: Tensor) -> Seen:
        """Read (n, side, side, 3) uint8 pictures."""
        scaled = pixels.to(self.device).permute(0, 3, 1, 2).float().div(255)
        pictures = ((scaled - self._mean) / self._deviation).to(memory_format=torch.channels_last)
        return Seen(pictures, self.clip.encode_image(pictures, normalize=True))

    @torch.no_grad()
    def read(self, tokens: Tensor) -> Read:
        """Read (n, context) token ids; the words come as long as the longest caption."""
        tokens = tokens.to(self.device)
        found = self.clip.forward_intermediates(
            text=tokens, text_indices=1, normalize_intermediates=True
        )
        longest = int((tokens != PAD).any(dim=0).nonzero().max()) + 1
        words = found["text_intermediates"][-1][:, :longest]
        return Read(words, tokens[:, :longest] != PAD, found["text_features"])


class Eyes(nn.Module):
    """Three stages of a CLIP's ResNet: the fine map of the second beside the wide third one."""

    def __init__(self, resnet: Any) -> None:
        super().__init__()
        self.resnet = deepcopy(resnet).requires_grad_(True)
        del self.resnet.layer4, self.resnet.attnpool
        self.channels = sum(int(stage[-1].bn3.num_features) for stage in
                            (self.resnet.layer2, self.resnet.layer3))  # fmt: skip

    def forward(self, pictures: Tensor) -> Tensor:
        """(n, 3, side, side) normalised pixels → (n, (side / 8)², channels), row by row."""
        net = self.resnet
        fine = net.layer2(net.layer1(net.stem(pictures)))
        wide = functional.interpolate(net.layer3(fine), size=fine.shape[-2:], mode="bilinear")
        return torch.cat([fine, wide], dim=1).flatten(2).transpose(1, 2).contiguous()


class CrossModal(nn.Module):
    """Scores captions against pictures.

    Args:
        config: Sizes.
        first_stage: Gives the eyes to begin with, the width of a word, and the scale of its own
            similarity.
    """

    def __init__(self, config: CrossModalConfig, first_stage: FirstStage) -> None:
        super().__init__()
        dim, heads = config.dim, config.heads
        self.scale = first_stage.scale
        self.eyes = Eyes(first_stage.clip.visual)
        channels = self.eyes.channels
        width = int(first_stage.clip.ln_final.normalized_shape[0])
        self.from_places = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, dim))
        self.from_words = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim))
        self.where = nn.Parameter(0.02 * torch.randn((first_stage.side // 8) ** 2, dim))
        self.reading = nn.ModuleList(
            Block(dim, heads, looks=False) for _ in range(config.text_layers)
        )
        self.looking = nn.ModuleList(
            Block(dim, heads, looks=True) for _ in range(config.cross_layers)
        )
        self.norm = nn.LayerNorm(dim)
        self.match = nn.Linear(dim, 1)
        # At first the judgement is the first stage's own; what is learned comes on top.
        nn.init.zeros_(self.match.weight)
        nn.init.zeros_(self.match.bias)
        self.trust = nn.Parameter(torch.tensor(0.5))
        self.centre = nn.Parameter(torch.tensor(0.6))

    def understand(self, read: Read) -> Read:
        """Let captions read themselves; their words come back `dim` wide."""
        words = self.from_words(read.words)[None]
        for block in self.reading:
            words = block(words, read.real[None])
        return replace(read, words=words[0])

    def survey(self, seen: Seen) -> Seen:
        """See what is where in pictures, ready to be looked at."""
        return replace(seen, places=self.from_places(self.eyes(seen.places)) + self.where)

    def look(self, read: Read, seen: Seen, captions: int) -> Tensor:
        """Let every picture be looked at by captions of its own.

        Args:
            read: From `understand`: pictures * captions, those of a picture after each other.
            seen: From `survey`.
            captions: Of each picture.

        Returns:
            (pictures, captions, length, dim).
        """
        words = read.words.view(-1, captions, *read.words.shape[1:])
        real = read.real.view(-1, captions, read.real.shape[1])
        for block in self.looking:
            words = block(words, real, seen.places)
        normed: Tensor = self.norm(words)
        return normed

    def forward(self, read: Read, seen: Seen, captions: int) -> Tensor:
        """Logits of a match, (pictures, captions); see `look`."""
        first = self.look(read, seen, captions)[:, :, 0]
        vectors = read.vectors.view(-1, captions, read.vectors.shape[1])
        cosine = torch.einsum("pcd,pd->pc", vectors.float(), seen.vectors.float())
        learned = self.match(first)[..., 0].float()
        logits: Tensor = learned + self.trust * self.scale * (cosine - self.centre)
        return logits


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
            words: (pictures, captions, length, dim).
            real: (pictures, captions, length) bool, False for padding.
            places: (pictures, places, dim); a picture is looked at by all its captions.
        """
        pictures, captions, length, dim = words.shape
        flat = self.before_self(words).flatten(0, 1)
        asked, keys, values = self.queries_keys_values(flat).chunk(3, dim=-1)
        mask = real.flatten(0, 1)[:, None, None]
        own = self._attend(asked, keys, values, mask).view(pictures, captions, length, dim)
        words = words + self.after_self(own)
        if self.looks and places is not None:
            asked = self.queries(self.before_look(words)).flatten(1, 2)
            keys, values = self.keys_values(places).chunk(2, dim=-1)
            seen = self._attend(asked, keys, values)
            words = words + self.after_look(seen).view(pictures, captions, length, dim)
        fed: Tensor = words + self.feed(words)
        return fed

    def _attend(
        self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        q, k, v = (
            part.view(*part.shape[:2], self.heads, -1).transpose(1, 2)
            for part in (queries.contiguous(), keys.contiguous(), values.contiguous())
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return mixed.transpose(1, 2).flatten(2)
