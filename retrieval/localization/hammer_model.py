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

SURROUNDINGS = 8
"""Frames to either side whose mean a frame is compared with: motion is what differs from it."""

CHANGE_REACH = 1
"""Frames to either side whose differences from their surroundings are read together."""

CHANGE_SCALE = 3.0
"""Differences are about a third as long as the frames' vectors."""

FIRST_STAGE_ROWS = 4
"""Neighbouring frames whose mean is compared with the query, as a segment's in the first stage."""

FIRST_STAGE_SCALE = 20.0
"""How much an inner product counts in the match before training, as in XML (2001.09099)."""


UNMEASURED = 0.1
"""Score from which a span is likely, where nobody measured what is."""


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
        label_frames: Neighbouring frames whose labels are told together, as an n-gram; 1: each
            frame's alone.
        no_match: Logit of the answer that no item matches, beside the items' own; None: not
            measured, then the best item always matches.
        likely_score: Score of a span from which it is likely an answer: few queries without a
            match reach it.
    """

    space_digest: str
    medium: Medium
    dim: int
    width: int
    heads: int
    levels: tuple[Level, ...]
    vocabulary: int
    context_length: int
    label_frames: int = 1
    no_match: float | None = None
    likely_score: float = UNMEASURED

    @property
    def window_rows(self) -> int:
        """Rows that are read at once; longer videos are read in overlapping windows."""
        return math.prod(level.units for level in self.levels)


class Understanding(NamedTuple):
    """What a Hammer makes of n windows, each with a query.

    Attributes:
        match: (n,) how well video and query go together; larger is better.
        labels: (n, rows, 3 ** label_frames) logits of the labels, OTHER, BEGIN and END, of a frame
            and those that follow it; the first frame's is the most significant digit.
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
        self.changes = nn.Conv1d(
            config.dim, width, 2 * CHANGE_REACH + 1, padding=CHANGE_REACH, bias=False
        )
        self.levels = nn.ModuleList(
            LevelEncoder(level, width, heads, keep_text=number == len(config.levels))
            for number, level in enumerate(config.levels, 1)
        )
        self.down = nn.ModuleList(nn.Linear(width, width) for _ in config.levels[1:])
        self.match = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        self.trust = nn.Parameter(torch.tensor(FIRST_STAGE_SCALE))
        reach = 2 * LABEL_REACH + 1
        self.labels = nn.Sequential(
            nn.Conv1d(width, width, reach, padding=LABEL_REACH),
            nn.GELU(),
            nn.Conv1d(width, 3**config.label_frames, 1),
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
        scores = (rows * sentence[:, None]).sum(dim=-1)
        units = self.seen(rows * scale) + self.alike(product)
        units = units + self.curve(standardised(scores * scale, real)[..., None])
        changes = differences(rows, real) * (scale * CHANGE_SCALE)
        units = units + self.changes(changes.transpose(1, 2)).transpose(1, 2)
        contexts = []
        units_real = real
        read = text
        for level in self.levels:
            context, units, units_real, read = level(units, units_real, text, text_real)
            contexts.append(context)
        frames = self._downwards(contexts) * real[..., None]
        labels = self.labels(frames.transpose(1, 2)).transpose(1, 2)
        # Before training the match is the first stage's own; what is learned comes on top.
        match = self.match(units[:, 0])[:, 0] + self.trust * best_segment(scores, real)
        return Understanding(match, labels, read)

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


def best_segment(scores: Tensor, real: Tensor) -> Tensor:
    """The highest mean of neighbouring scores (n, rows) in each window, (n,)."""
    kept = real.to(scores.dtype)
    rows = min(FIRST_STAGE_ROWS, scores.shape[1])
    sums = functional.avg_pool1d(torch.stack([scores * kept, kept], dim=1), rows, stride=1)
    means = sums[:, 0] / sums[:, 1].clamp_min(1e-6)
    # A segment that reaches into padding is as good as its real frames; an empty one is none.
    return means.masked_fill(sums[:, 1] == 0, -torch.inf).amax(dim=1)


def frame_labels(labels: Tensor, label_frames: int) -> Tensor:
    """Log-probabilities of each frame's own label, (n, rows, 3), from logits of n-grams.

    Every frame is part of `label_frames` n-grams, the first ones of a window excepted; what they
    say of it is averaged.

    Args:
        labels: (n, rows, 3 ** label_frames) logits.
        label_frames: Frames of an n-gram.
    """
    chances = functional.log_softmax(labels.float(), dim=-1)
    count, rows, _ = chances.shape
    grams = chances.view(count, rows, *[3] * label_frames)
    total = torch.zeros(count, rows, 3, device=labels.device)
    said = torch.zeros(rows, 1, device=labels.device)
    for place in range(min(label_frames, rows)):
        others = [2 + other for other in range(label_frames) if other != place]
        own = grams.logsumexp(dim=others) if others else grams
        total[:, place:] += own[:, : rows - place]
        said[place:] += 1
    return functional.log_softmax(total / said, dim=-1)


def differences(rows: Tensor, real: Tensor) -> Tensor:
    """What each of (n, rows, dim) differs in from the mean of its surroundings; 0 in padding."""
    kept = real[..., None].to(rows.dtype)
    reach = 2 * SURROUNDINGS + 1
    both = torch.cat([rows * kept, kept], dim=-1).transpose(1, 2)
    sums = functional.avg_pool1d(both, reach, stride=1, padding=SURROUNDINGS).transpose(1, 2)
    return (rows - sums[..., :-1] / sums[..., -1:].clamp_min(1e-6)) * kept
