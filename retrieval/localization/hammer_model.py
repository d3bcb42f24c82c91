"""The HAMMER network (2011.09046): hierarchical cross-modal encoders over a video and a query.

The first level reads the frames of each clip with the query and summarises each clip. Each further
level reads the summaries of the level below with the query, until one summary represents the whole
window. The context of each level is added to the rows below. Attribute names of modules are keys of
the weights file.
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
"""Labels of a frame: the first frame of a moment, its last, or neither."""

LABEL_REACH = 2
"""Context of the label head: frames on either side."""

SURROUNDINGS = 8
"""Frames on either side whose mean a frame is compared with, to represent motion."""

CHANGE_REACH = 1
"""Context of the convolution over these differences: frames on either side."""

CHANGE_SCALE = 3.0
"""Differences are about a third as long as frame vectors."""

FIRST_STAGE_ROWS = 4
"""Neighbouring frames whose mean score imitates the segment score of the first stage."""

FIRST_STAGE_SCALE = 20.0
"""Initial weight of the first stage's score in the match, as in XML (2001.09099)."""

DEFAULT_LIKELY_SCORE = 0.1
"""Score from which a span is likely, if it was not measured."""


@dataclass(frozen=True, slots=True)
class Level:
    """One encoder of the hierarchy: group size in units and number of layers."""

    units: int
    layers: int


@dataclass(frozen=True, slots=True)
class HammerConfig:
    """Sizes and inputs of a Hammer; the content of config.json.

    Attributes:
        space_digest: Digest of the space whose rows it reads.
        medium: `video` for the frames of videos, `audio` for the segments of sound.
        dim: Dimension of a row.
        width: Width of both streams.
        heads: Heads of each attention.
        levels: From the frames up; the summary of the last level represents the window.
        vocabulary: Number of tokens.
        context_length: Maximum tokens of a query.
        label_frames: Number of neighbouring frames whose labels are predicted jointly, as an
            n-gram; 1 predicts each label separately.
        no_match: Logit of the answer that no item matches; None if not measured, in which case the
            best item always matches.
        likely_score: Score from which a span is likely an answer; few queries without a match
            reach it.
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
    likely_score: float = DEFAULT_LIKELY_SCORE

    @property
    def window_rows(self) -> int:
        """Maximum rows of a window; longer videos are read in overlapping windows."""
        return math.prod(level.units for level in self.levels)


class HammerOutput(NamedTuple):
    """Output of a Hammer for n windows with one query each.

    Attributes:
        match: (n,) logits of the match between window and query.
        labels: (n, rows, 3 ** label_frames) logits of the labels OTHER, BEGIN and END of a frame
            and its successors; the first frame's label is the most significant digit.
        text: (n, 1 + tokens, width) the query after reading the video.
    """

    match: Tensor
    labels: Tensor
    text: Tensor


class LevelEncoder(nn.Module):
    """Reads groups of units with the query; returns units in context and a summary per group.

    Args:
        level: Group size and number of layers.
        width: Width of both streams.
        heads: Heads of each attention.
        keep_text: Whether the last layer updates the text.
    """

    def __init__(self, level: Level, width: int, heads: int, *, keep_text: bool) -> None:
        super().__init__()
        self._units = level.units
        self.summary = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn(level.units, width) * 0.02)
        self.layers = CoAttention(width, heads, level.layers, keep_text=keep_text)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, units: Tensor, mask: Tensor, text: Tensor, text_mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Read (n, units, width) in groups.

        Returns:
            The units in context, (n, units, width); the summaries, (n, groups, width); the mask of
            the groups, (n, groups); and the text, (n * groups, tokens, width).
        """
        count, length, width = units.shape
        groups = -(-length // self._units)
        size = self._units if groups > 1 else length
        missing = groups * size - length
        units = functional.pad(units, (0, 0, 0, missing)).reshape(-1, size, width)
        mask = functional.pad(mask, (0, missing)).reshape(-1, size)
        summaries = self.summary.expand(len(units), 1, width)
        rows, text = self.layers(
            torch.cat([summaries, units + self.positions[:size]], dim=1),
            functional.pad(mask, (1, 0), value=True),
            text.repeat_interleave(groups, dim=0),
            text_mask.repeat_interleave(groups, dim=0),
        )
        rows = self.norm(rows)
        context = rows[:, 1:].reshape(count, -1, width)[:, :length]
        summaries = rows[:, 0].reshape(count, groups, width)
        return context, summaries, mask.any(dim=1).reshape(count, groups), text


class Hammer(nn.Module):
    """The hierarchy with heads for match and labels; training also predicts masked words."""

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
        kernel = 2 * LABEL_REACH + 1
        self.labels = nn.Sequential(
            nn.Conv1d(width, width, kernel, padding=LABEL_REACH),
            nn.GELU(),
            nn.Conv1d(width, 3**config.label_frames, 1),
        )

    def forward(self, rows: Tensor, mask: Tensor, sentence: Tensor, tokens: Tensor) -> HammerOutput:
        """Read windows, each with its own query.

        Args:
            rows: (n, rows, dim) unit vectors, at most `window_rows` of them.
            mask: (n, rows) bool, False for padding at the end.
            sentence: (n, dim) unit vectors of the queries.
            tokens: (n, tokens) int64, padded with 0.
        """
        text, text_mask = self.query(sentence, tokens)
        scale = rows.shape[-1] ** 0.5
        # The elementwise product sums to the score of the first stage.
        product = rows * sentence[:, None] * scale**2
        scores = (rows * sentence[:, None]).sum(dim=-1)
        units = self.seen(rows * scale) + self.alike(product)
        units = units + self.curve(standardise(scores * scale, mask)[..., None])
        changes = differences_from_mean(rows, mask) * (scale * CHANGE_SCALE)
        units = units + self.changes(changes.transpose(1, 2)).transpose(1, 2)
        contexts = []
        units_mask = mask
        query = text
        for level in self.levels:
            context, units, units_mask, query = level(units, units_mask, text, text_mask)
            contexts.append(context)
        frames = self._propagate_down(contexts) * mask[..., None]
        labels = self.labels(frames.transpose(1, 2)).transpose(1, 2)
        # Before training, the match is the score of the first stage; training adds to it.
        match = self.match(units[:, 0])[:, 0] + self.trust * best_segment_score(scores, mask)
        return HammerOutput(match, labels, query)

    def token_logits(self, text: Tensor) -> Tensor:
        """Return logits of the tokens of a query after reading, (n, tokens, vocabulary)."""
        return functional.linear(text[:, 1:], self.query.words.weight)

    def _propagate_down(self, contexts: list[Tensor]) -> Tensor:
        """Add the context of the levels above to each unit."""
        combined = contexts[-1]
        for number in range(len(contexts) - 2, -1, -1):
            below = contexts[number]
            spread = self.down[number](combined).repeat_interleave(self._units[number], dim=1)
            combined = below + spread[:, : below.shape[1]]
        return combined


def standardise(scores: Tensor, mask: Tensor) -> Tensor:
    """Scale scores (n, rows) to mean 0 and deviation 1 over the unmasked rows of each window."""
    count = mask.sum(dim=1, keepdim=True).clamp_min(1)
    centred = (scores - (scores * mask).sum(dim=1, keepdim=True) / count) * mask
    deviation = (centred.square().sum(dim=1, keepdim=True) / count).sqrt()
    return centred / deviation.clamp_min(1e-3)


def best_segment_score(scores: Tensor, mask: Tensor) -> Tensor:
    """Return the highest mean of neighbouring scores (n, rows) in each window, (n,)."""
    weights = mask.to(scores.dtype)
    rows = min(FIRST_STAGE_ROWS, scores.shape[1])
    sums = functional.avg_pool1d(torch.stack([scores * weights, weights], dim=1), rows, stride=1)
    means = sums[:, 0] / sums[:, 1].clamp_min(1e-6)
    # Padding does not lower the mean of a segment; a segment of padding only does not count.
    return means.masked_fill(sums[:, 1] == 0, -torch.inf).amax(dim=1)


def frame_log_probabilities(labels: Tensor, label_frames: int) -> Tensor:
    """Convert logits of n-grams to log-probabilities of each frame's label, (n, rows, 3).

    A frame is part of up to `label_frames` n-grams; their log-probabilities are averaged.

    Args:
        labels: (n, rows, 3 ** label_frames) logits.
        label_frames: Frames per n-gram.
    """
    log_probabilities = functional.log_softmax(labels.float(), dim=-1)
    count, rows, _ = log_probabilities.shape
    grams = log_probabilities.view(count, rows, *[3] * label_frames)
    total = torch.zeros(count, rows, 3, device=labels.device)
    counts = torch.zeros(rows, 1, device=labels.device)
    for offset in range(min(label_frames, rows)):
        others = [2 + other for other in range(label_frames) if other != offset]
        own = grams.logsumexp(dim=others) if others else grams
        total[:, offset:] += own[:, : rows - offset]
        counts[offset:] += 1
    return functional.log_softmax(total / counts, dim=-1)


def differences_from_mean(rows: Tensor, mask: Tensor) -> Tensor:
    """Subtract from each of (n, rows, dim) the mean of its surroundings; 0 in padding."""
    weights = mask[..., None].to(rows.dtype)
    kernel = 2 * SURROUNDINGS + 1
    weighted = torch.cat([rows * weights, weights], dim=-1).transpose(1, 2)
    sums = functional.avg_pool1d(weighted, kernel, stride=1, padding=SURROUNDINGS).transpose(1, 2)
    return (rows - sums[..., :-1] / sums[..., -1:].clamp_min(1e-6)) * weights
