"""Small synthetic videos with queries, as vectors, for trainings of a few seconds."""

from __future__ import annotations

import numpy as np

from retrieval.training.moments.data import AnnotatedMoment, MomentData, find_rivals
from retrieval.types import TimedRows

NAMES = ("apple", "bridge", "candle", "dragon", "engine", "forest")
DIM = 16


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def concept(number: int, seed: int = 5) -> np.ndarray:
    """The direction of a name; the query's vector and, with noise, its frames'."""
    return unit(np.random.default_rng([seed, number]).normal(size=DIM))


def rows_of(vectors: np.ndarray, step: float = 0.5) -> TimedRows:
    edges = np.arange(len(vectors) + 1) * step
    return TimedRows(edges[:-1], edges[1:], unit(vectors))


def named_events(count: int, *, seed: int = 0, rows: int = 24) -> MomentData:
    """Videos of three named events each; each event has a query with its name."""
    rng = np.random.default_rng(seed)
    videos, queries, sentences = [], [], []
    for number in range(count):
        names = rng.choice(len(NAMES), 3, replace=False).tolist()
        cuts = [0, *sorted(rng.choice(np.arange(4, rows - 3, 4), 2, replace=False).tolist()), rows]
        parts = [
            concept(name) + rng.normal(0, 0.05, (last - first, DIM))
            for name, first, last in zip(names, cuts[:-1], cuts[1:], strict=True)
        ]
        videos.append(rows_of(np.concatenate(parts)))
        for name, first, last in zip(names, cuts[:-1], cuts[1:], strict=True):
            queries.append(
                AnnotatedMoment(number, f"the {NAMES[name]}", ((first * 0.5, last * 0.5),))
            )
            sentences.append(concept(name))
    return find_rivals(videos, queries, np.stack(sentences))
