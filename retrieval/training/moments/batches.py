"""Batches for a Hammer: every query with its own video and with some of its rivals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retrieval.training.moments.data import MomentData, label_rows

PADDED = -100
"""Label of rows and words that the losses pass over, as torch's cross-entropy has it."""


@dataclass(frozen=True, slots=True)
class BatchShape:
    """What a batch holds.

    Attributes:
        queries: How many different ones.
        rivals: Videos that each is read with beside its own.
        window_rows: Rows of a video that are read at most.
        masked_queries: Share of the queries that lose words.
        masked_words: Share of their words that are masked.
    """

    queries: int = 16
    rivals: int = 1
    window_rows: int = 128
    masked_queries: float = 0.3
    masked_words: float = 0.2


@dataclass(frozen=True, slots=True)
class MomentBatch:
    """Pairs of videos and queries; of each query's 1 + rivals rows the first is the true one.

    Attributes:
        rows: (queries * (1 + rivals), rows, dim) float32.
        real: The same without dim, bool.
        sentences: (queries * (1 + rivals), dim) float32.
        tokens: (queries * (1 + rivals), tokens) int64, some of them masked.
        labels: (queries, rows) int64 of OTHER, BEGIN, END and PADDED, for the true pairs.
        words: (queries, tokens) int64, what was masked, PADDED elsewhere.
    """

    rows: Tensor
    real: Tensor
    sentences: Tensor
    tokens: Tensor
    labels: Tensor
    words: Tensor


def moment_batches(
    data: MomentData, tokens: NDArray[np.int64], mask: int, shape: BatchShape, seed: int
) -> Iterator[MomentBatch]:
    """Endless shuffled batches.

    Args:
        data: At least two videos.
        tokens: (queries, longest) the queries' tokens, padded with 0.
        mask: The token that hides another.
        shape: What a batch holds.
        seed: Decides everything.
    """
    rng = np.random.default_rng([seed, len(data.asked)])
    size = min(shape.queries, len(data.asked))
    while True:
        order = rng.permutation(len(data.asked))
        for first in range(0, len(order) - size + 1, size):
            yield _batch(data, tokens, mask, shape, order[first : first + size], rng)


def _batch(
    data: MomentData,
    tokens: NDArray[np.int64],
    mask: int,
    shape: BatchShape,
    queries: NDArray[np.int64],
    rng: np.random.Generator,
) -> MomentBatch:
    pieces, labels = [], []
    for query in queries.tolist():
        asked = data.asked[query]
        own = data.videos[asked.video].vectors
        marks = label_rows(data.videos[asked.video], asked.windows)
        part = _window_with(np.flatnonzero(marks), len(own), shape.window_rows, rng)
        pieces.append(own[part])
        labels.append(marks[part])
        for video in _some_rivals(data, query, shape.rivals, rng):
            vectors = data.videos[video].vectors
            pieces.append(vectors[_window_with(None, len(vectors), shape.window_rows, rng)])
    rows, real = _padded(pieces, data.dim)
    marked = np.full((len(queries), rows.shape[1]), PADDED, np.int64)
    for number, own_marks in enumerate(labels):
        marked[number, : len(own_marks)] = own_marks
    read = tokens[queries]
    read = read[:, : max(1, int((read != 0).sum(axis=1).max()))]
    hidden = _hidden_words(read, shape, rng)
    each = 1 + shape.rivals
    return MomentBatch(
        torch.from_numpy(rows),
        torch.from_numpy(real),
        torch.from_numpy(data.sentences[queries].repeat(each, axis=0)),
        torch.from_numpy(np.where(hidden, mask, read).repeat(each, axis=0)),
        torch.from_numpy(marked),
        torch.from_numpy(np.where(hidden, read, PADDED)),
    )


def _window_with(
    marked: NDArray[np.int64] | None, rows: int, window_rows: int, rng: np.random.Generator
) -> slice:
    """A window over a long video; one that holds as much of the marked rows as fits."""
    if rows <= window_rows:
        return slice(0, rows)
    low, high = 0, rows - window_rows
    if marked is not None and len(marked):
        first, last = int(marked[0]), int(marked[-1])
        if last - first >= window_rows:
            last = first + window_rows - 1
        low, high = max(0, last + 1 - window_rows), min(first, high)
    start = int(rng.integers(low, high + 1))
    return slice(start, start + window_rows)


def _some_rivals(data: MomentData, query: int, count: int, rng: np.random.Generator) -> list[int]:
    """Draw rivals; where a query has too few, other videos take their places."""
    rivals = data.rivals[query]
    chosen: list[int] = rng.permutation(rivals)[:count].tolist()
    while len(chosen) < count:
        video = int(rng.integers(len(data.videos)))
        if video != data.asked[query].video:
            chosen.append(video)
    return chosen


def _padded(
    pieces: list[NDArray[np.float32]], dim: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    longest = max(len(piece) for piece in pieces)
    rows = np.zeros((len(pieces), longest, dim), np.float32)
    real = np.zeros((len(pieces), longest), np.bool_)
    for number, piece in enumerate(pieces):
        rows[number, : len(piece)] = piece
        real[number, : len(piece)] = True
    return rows, real


def _hidden_words(
    tokens: NDArray[np.int64], shape: BatchShape, rng: np.random.Generator
) -> NDArray[np.bool_]:
    chosen = rng.random((len(tokens), 1)) < shape.masked_queries
    hidden: NDArray[np.bool_] = (
        (tokens != 0) & chosen & (rng.random(tokens.shape) < shape.masked_words)
    )
    return hidden
