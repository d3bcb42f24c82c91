"""The network of HAMMER (2011.09046): a hierarchy of cross-modal encoders over a video and a query.

The first level reads the frames of each short clip together with the query and sums every clip up;
the next reads the clips' summaries together with the query, and so on, until one summary stands for
the whole. What a level has understood flows back to the frames below it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrieval.localization.co_attention import CoAttention, TextEncoder
from retrieval.types import Medium

OTHER, BEGIN, END = 0, 1, 2
"""What a frame is to a moment: its first, its last, or neither."""

LABEL_REACH = 2
"""Frames to either side that the label of a frame looks at, beside its own understanding."""


@dataclass(frozen=True, slots=True)
class Level:
    """One encoder of the hierarchy: it reads so many units at once, in so many layers."""

    units: int
    layers: int


@dataclass(frozen=True, slots=True)
class HammerConfig:
    """Sizes of a Hammer and what it reads; what config.json holds.

    Attributes:
        space_digest: Digest of the space whose rows it was trained on.
        medium: `video`: it reads the frames of videos; `audio`: the segments of sound.
        dim: Length of a row.
        width: Of both streams.
        heads: Of every attention.
        levels: From the frames up; the last one's summary is the video's.
        vocabulary: Tokens known.
        context_length: Tokens of a query read at most.
    """

    space_digest: str
    medium: Medium
    dim: int
    width: int
    heads: int
    levels: tuple[Level, ...]
    vocabulary: int
    context_length: int

    @property
    def window_rows(self) -> int:
        """Rows that are read at once; longer videos are read in overlapping windows."""
        return math.prod(level.units for level in self.levels)


class Understanding(NamedTuple):
    """What a Hammer makes of n windows, each with a query.

    Attributes:
        match: (n,) how well video and query go together; larger is better.
        labels: (n, rows, 3) logits of OTHER, BEGIN and END.
        text: (n, 1 + tokens, width) the query after reading the video.
    """

    match: Tensor
    labels: Tensor
    text: Tensor


class LevelEncoder(nn.Module):
    """Reads groups of units with the query; returns them in context, and a summary of each group.

    Args:
        level: Its size.
        width: Of both streams.
        heads: Of every attention.
        keep_text: Whether the query's tokens are read after the last layer.
    """

    def __init__(self, level: Level, width: int, heads: int, *, keep_text: bool) -> None:
        super().__init__()
        self._units = level.units
        self.summary = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn(level.units, width) * 0.02)
        self.layers = CoAttention(width, heads, level.layers, keep_text=keep_text)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, units: Tensor, real: Tensor, text: Tensor, text_real: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Read (n, units, width) in groups.

        Returns:
            The units in context, (n, units, width); the groups' summaries, (n, groups, width);
            which groups are real, (n, groups); and the text, (n * groups, tokens, width).
        """
        count, length, width = units.shape
        groups = -(-length // self._units)
        size = self._units if groups > 1 else length
        missing = groups * size - length
        units = functional.pad(units, (0, 0, 0, missing)).reshape(-1, size, width)
        real = functional.pad(real, (0, missing)).reshape(-1, size)
        summaries = self.summary.expand(len(units), 1, width)
        rows, text = self.layers(
            torch.cat([summaries, units + self.positions[:size]], dim=1),
            functional.pad(real, (1, 0), value=True),
            text.repeat_interleave(groups, dim=0),
            text_real.repeat_interleave(groups, dim=0),
        )
        rows = self.norm(rows)
        context = rows[:, 1:].reshape(count, -1, width)[:, :length]
        summed = rows[:, 0].reshape(count, groups, width)
        return context, summed, real.any(dim=1).reshape(count, groups), text


class Hammer(nn.Module):
    """The hierarchy with its two heads, and the one that predicts masked words in training."""

    def __init__(self, config: HammerConfig) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self._units = [level.units for level in config.levels]
        self.query = TextEncoder(config.dim, width, heads, config.vocabulary, config.context_length)
        self.seen = nn.Linear(config.dim, width)
        self.alike = nn.Linear(config.dim, width, bias=False)
        self.curve = nn.Linear(1, width, bias=False)
        self.levels = nn.ModuleList(
            LevelEncoder(level, width, heads, keep_text=number == len(config.levels))
            for number, level in enumerate(config.levels, 1)
        )
        self.down = nn.ModuleList(nn.Linear(width, width) for _ in config.levels[1:])
        self.match = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        reach = 2 * LABEL_REACH + 1
        self.labels = nn.Sequential(
            nn.Conv1d(width, width, reach, padding=LABEL_REACH), nn.GELU(), nn.Conv1d(width, 3, 1)
        )

    def forward(
        self, rows: Tensor, real: Tensor, sentence: Tensor, tokens: Tensor
    ) -> Understanding:
        """Read windows, each with its own query.

        Args:
            rows: (n, rows, dim) unit vectors, at most `window_rows` of them.
            real: (n, rows) bool, False for padding, which is at the end.
            sentence: (n, dim) the queries' unit vectors.
            tokens: (n, tokens) int64, padded with 0.
        """
        text, text_real = self.query(sentence, tokens)
        scale = rows.shape[-1] ** 0.5
        # The product of a frame's and the query's vectors sums up to the first stage's score.
        product = rows * sentence[:, None] * scale**2
        units = self.seen(rows * scale) + self.alike(product)
        units = units + self.curve(standardised(product.mean(dim=-1), real)[..., None])
        contexts = []
        units_real = real
        read = text
        for level in self.levels:
            context, units, units_real, read = level(units, units_real, text, text_real)
            contexts.append(context)
        frames = self._downwards(contexts) * real[..., None]
        labels = self.labels(frames.transpose(1, 2)).transpose(1, 2)
        return Understanding(self.match(units[:, 0])[:, 0], labels, read)

    def words(self, text: Tensor) -> Tensor:
        """Logits of the tokens behind a text that was read, (n, tokens, vocabulary)."""
        return functional.linear(text[:, 1:], self.query.words.weight)

    def _downwards(self, contexts: list[Tensor]) -> Tensor:
        """Give every unit what the levels above have understood of its group."""
        understood = contexts[-1]
        for number in range(len(contexts) - 2, -1, -1):
            below = contexts[number]
            spread = self.down[number](understood).repeat_interleave(self._units[number], dim=1)
            understood = below + spread[:, : below.shape[1]]
        return understood


def standardised(scores: Tensor, real: Tensor) -> Tensor:
    """Scores (n, rows) with mean 0 and deviation 1 over the real rows of each window."""
    count = real.sum(dim=1, keepdim=True).clamp_min(1)
    centred = (scores - (scores * real).sum(dim=1, keepdim=True) / count) * real
    deviation = (centred.square().sum(dim=1, keepdim=True) / count).sqrt()
    return centred / deviation.clamp_min(1e-3)
