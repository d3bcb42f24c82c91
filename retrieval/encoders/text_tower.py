"""CLIP's text transformer (2103.00020) without open_clip, whose import takes seconds.

The module computes what open_clip's `TextTransformer` does, with the names of its parameters.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

POOLINGS = ("argmax", "eos", "first", "last")


@dataclass(frozen=True, slots=True)
class TextTowerConfig:
    """Sizes and variants of a text tower.

    Attributes:
        prefix: Prefix of its parameters in the file of weights.
        dim: Length of a vector.
        mlp_width: Width of the hidden layer of each block.
        activation: A key of `ACTIVATIONS`.
        is_causal: Whether a token sees only the tokens before it.
        pooling: The token that represents the text, one of `POOLINGS`.
        eos_id: The token of the pooling `eos`.
        projection: `matrix`, `linear` (with a bias), or `none`.
    """

    prefix: str
    dim: int
    width: int
    heads: int
    layers: int
    mlp_width: int
    context_length: int
    vocabulary: int
    activation: str
    epsilon: float
    is_causal: bool
    pooling: str
    eos_id: int
    projection: str


class QuickGelu(nn.Module):
    """The approximation of GELU in OpenAI's models."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply it to each number."""
        return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "quick_gelu": QuickGelu,
}


class Block(nn.Module):
    """Attention and a hidden layer, each with a residual connection."""

    def __init__(self, config: TextTowerConfig) -> None:
        super().__init__()
        width = config.width
        self.ln_1 = nn.LayerNorm(width, config.epsilon)
        self.attn = nn.MultiheadAttention(width, config.heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width, config.epsilon)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, config.mlp_width),
                gelu=ACTIVATIONS[config.activation](),
                c_proj=nn.Linear(config.mlp_width, width),
            )
        )

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Map (n, tokens, width) to the same shape."""
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0]
        mapped: torch.Tensor = x + self.mlp(self.ln_2(x))
        return mapped


class TextTower(nn.Module):
    """Maps tokens to vectors that are not normalized."""

    def __init__(self, config: TextTowerConfig) -> None:
        super().__init__()
        self.config = config
        width, length = config.width, config.context_length
        self.token_embedding = nn.Embedding(config.vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.empty(length, width))
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.ln_final = nn.LayerNorm(width, config.epsilon)
        if config.projection == "linear":
            self.text_projection: Any = nn.Linear(width, config.dim)
        elif config.projection == "matrix":
            self.text_projection = nn.Parameter(torch.empty(width, config.dim))

    @classmethod
    def load(cls, config: TextTowerConfig, weights: Path) -> TextTower:
        """Read the parameters from a checked safetensors file.

        Raises:
            RuntimeError, SafetensorError: The file lacks a parameter, or one has another shape.
            OSError: The file cannot be read.
        """
        from safetensors import safe_open

        from retrieval.encoders.initialization import SkipRandomInitialization

        with torch.device("meta"), SkipRandomInitialization():
            tower = cls(config)
        with safe_open(weights, framework="pt") as file:
            # Copied: mapped tensors are not aligned, and some kernels round differently for them.
            tensors = {
                name: file.get_tensor(config.prefix + name).float().clone()
                for name in tower.state_dict()
            }
        tower.load_state_dict(tensors, assign=True)
        return tower.eval()

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map (n, context length) ids to (n, dim)."""
        config = self.config
        x: torch.Tensor = self.token_embedding(tokens) + self.positional_embedding
        mask = None
        if config.is_causal:
            mask = torch.full((tokens.shape[1],) * 2, -torch.inf).triu_(1)
        for block in self.transformer.resblocks:  # type: ignore[union-attr]
            x = block(x, mask)
        x = self.ln_final(x)[torch.arange(len(tokens)), self._places(tokens)]
        if config.projection == "linear":
            x = self.text_projection(x)
        elif config.projection == "matrix":
            x = x @ self.text_projection
        return x

    def _places(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the position of the token that represents each text, (n,)."""
        if self.config.pooling == "argmax":
            return tokens.argmax(dim=-1)
        if self.config.pooling == "eos":
            return (tokens == self.config.eos_id).int().argmax(dim=-1)
        last = tokens.shape[1] - 1 if self.config.pooling == "last" else 0
        return torch.full((len(tokens),), last)
