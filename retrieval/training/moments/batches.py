"""Batches for a Hammer: every query with its own video and with rivals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retrieval.training.moments.data import MomentData, label_rows

IGNORED = -100
"""Label of rows and words that the losses ignore; the default of torch's cross-entropy."""


@dataclass(frozen=True, slots=True)
class BatchShape:
    """Sizes of a batch.

    Attributes:
        queries: Number of different queries.
        rivals: Number of rival videos per query.
        window_rows: Largest number of rows per video.
        masked_queries: Share of the queries with masked words.
        masked_words: Share of their words that are masked.
    """

    queries: int = 16
    rivals: int = 1
    window_rows: int = 128
    masked_queries: float = 0.3
    masked_words: float = 0.2


@dataclass(frozen=True, slots=True)
class MomentBatch:
    """Pairs of videos and queries: 1 + rivals pairs per query, the true pair first.

    Attributes:
        rows: (queries * (1 + rivals), rows, dim) float32.
        real: (queries * (1 + rivals), rows) bool, False for padding.
        sentences: (queries * (1 + rivals), dim) float32.
        tokens: (queries * (1 + rivals), tokens) int64, some of them masked.
        labels: (queries, rows) int64 of OTHER, BEGIN, END and IGNORED, for the true pairs.
        words: (queries, tokens) int64: the masked tokens, and IGNORED elsewhere.
    """

    rows: Tensor
    real: Tensor
    sentences: Tensor
    tokens: Tensor
    labels: Tensor
    words: Tensor

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The inputs of the model."""
        return self.rows, self.real, self.sentences, self.tokens


def moment_batches(
    data: MomentData, tokens: NDArray[np.int64], mask: int, shape: BatchShape, seed: int
) -> Iterator[MomentBatch]:
    """Yield endless shuffled batches.

    Args:
        data: At least two videos.
        tokens: (queries, longest) tokens of the queries, padded with 0.
        mask: The token that replaces masked words.
        shape: Sizes of a batch.
        seed: Determines all draws.
    """
    rng = np.random.default_rng([seed, len(data.queries)])
    size = min(shape.queries, len(data.queries))
    while True:
        order = rng.permutation(len(data.queries))
        for first in range(0, len(order) - size + 1, size):
            yield _draw_batch(data, tokens, mask, shape, order[first : first + size], rng)


def _draw_batch(
    data: MomentData,
    tokens: NDArray[np.int64],
    mask: int,
    shape: BatchShape,
    numbers: NDArray[np.int64],
    rng: np.random.Generator,
) -> MomentBatch:
    windows, labels = [], []
    for number in numbers.tolist():
        query = data.queries[number]
        video = data.videos[query.video]
        row_labels = label_rows(video, query.windows)
        labelled = np.flatnonzero(row_labels)
        window = _draw_window(labelled, len(video.vectors), shape.window_rows, rng)
        windows.append(video.vectors[window])
        labels.append(row_labels[window])
        for rival in _draw_rivals(data, number, shape.rivals, rng):
            vectors = data.videos[rival].vectors
            windows.append(vectors[_draw_window(None, len(vectors), shape.window_rows, rng)])
    rows, real = _pad_rows(windows, data.dim)
    padded_labels = np.full((len(numbers), rows.shape[1]), IGNORED, np.int64)
    for position, row_labels in enumerate(labels):
        padded_labels[position, : len(row_labels)] = row_labels
    words = tokens[numbers]
    words = words[:, : max(1, int((words != 0).sum(axis=1).max()))]
    masked = _draw_masks(words, shape, rng)
    pairs = 1 + shape.rivals
    return MomentBatch(
        torch.from_numpy(rows),
        torch.from_numpy(real),
        torch.from_numpy(data.sentences[numbers].repeat(pairs, axis=0)),
        torch.from_numpy(np.where(masked, mask, words).repeat(pairs, axis=0)),
        torch.from_numpy(padded_labels),
        torch.from_numpy(np.where(masked, words, IGNORED)),
    )


def _draw_window(
    labelled: NDArray[np.int64] | None, rows: int, window_rows: int, rng: np.random.Generator
) -> slice:
    """Draw a window of a long video that contains as many of the labelled rows as possible."""
    if rows <= window_rows:
        return slice(0, rows)
    low, high = 0, rows - window_rows
    if labelled is not None and len(labelled):
        first, last = int(labelled[0]), int(labelled[-1])
        if last - first >= window_rows:
            last = first + window_rows - 1
        low, high = max(0, last + 1 - window_rows), min(first, high)
    start = int(rng.integers(low, high + 1))
    return slice(start, start + window_rows)


def _draw_rivals(data: MomentData, query: int, count: int, rng: np.random.Generator) -> list[int]:
    """Draw rivals of a query; random other videos replace missing rivals."""
    chosen: list[int] = rng.permutation(data.rivals[query])[:count].tolist()
    while len(chosen) < count:
        video = int(rng.integers(len(data.videos)))
        if video != data.queries[query].video:
            chosen.append(video)
    return chosen


def _pad_rows(
    windows: list[NDArray[np.float32]], dim: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    longest = max(len(window) for window in windows)
    rows = np.zeros((len(windows), longest, dim), np.float32)
    real = np.zeros((len(windows), longest), np.bool_)
    for number, window in enumerate(windows):
        rows[number, : len(window)] = window
        real[number, : len(window)] = True
    return rows, real


def _draw_masks(
    tokens: NDArray[np.int64], shape: BatchShape, rng: np.random.Generator
) -> NDArray[np.bool_]:
    chosen = rng.random((len(tokens), 1)) < shape.masked_queries
    masked: NDArray[np.bool_] = (
        (tokens != 0) & chosen & (rng.random(tokens.shape) < shape.masked_words)
    )
    return masked
