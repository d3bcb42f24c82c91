"""Groups a corpus's pictures and frames into visual words by hierarchical k-means.

The method is VideoBERT's (1904.01766): k-means over all vectors, then over those of every cluster,
level by level. A vector's word is the path to its leaf.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BRANCHING = 12
DEPTH = 4
"""VideoBERT's tree: 12 clusters in each of 4 levels, 20,736 words at most."""

MIN_VECTORS_PER_CLUSTER = 8
"""A cluster is split if it has this many vectors on average for each new cluster."""

MAX_VECTORS = 200_000
"""Vectors for fitting the tree; larger corpora are subsampled evenly."""

Word = tuple[int, ...]


@dataclass(slots=True)
class _Node:
    centroids: NDArray[np.float32]
    children: dict[int, _Node] = field(default_factory=dict)


class VisualWords:
    """A tree of centroids that assigns a word to every vector."""

    def __init__(self, root: _Node | None) -> None:
        self._root = root

    @classmethod
    def fit(
        cls,
        vectors: NDArray[np.float32],
        *,
        branching: int = BRANCHING,
        depth: int = DEPTH,
        seed: int = 0,
    ) -> VisualWords:
        """Build the tree.

        Args:
            vectors: (n, dim) unit vectors; n may be 0.
            branching: Clusters per split, at least 2.
            depth: Maximal number of levels, at least 1.
            seed: Seed of k-means.
        """
        if branching < 2 or depth < 1:
            raise ValueError(f"need branching >= 2 and depth >= 1, got {branching} and {depth}")
        return cls(_split(np.ascontiguousarray(vectors, np.float32), branching, depth, seed))

    def of(self, vectors: NDArray[np.float32]) -> list[Word]:
        """Return the words of (n, dim) vectors; `()` if the corpus was too small to split."""
        return [self._word(vector) for vector in vectors]

    def _word(self, vector: NDArray[np.float32]) -> Word:
        path: Word = ()
        node = self._root
        while node is not None:
            nearest = int((node.centroids @ vector).argmax())
            path = (*path, nearest)
            node = node.children.get(nearest)
        return path


def _split(vectors: NDArray[np.float32], branching: int, depth: int, seed: int) -> _Node | None:
    """Split vectors by k-means, recursively; return None if there are too few."""
    if depth == 0 or len(vectors) < branching * MIN_VECTORS_PER_CLUSTER:
        return None
    import faiss

    # Spherical: centroids of unit vectors have unit length, too.
    kmeans = faiss.Kmeans(
        vectors.shape[1], branching, niter=20, seed=seed, spherical=True, min_points_per_centroid=1
    )
    kmeans.train(vectors)
    node = _Node(np.asarray(kmeans.centroids, np.float32))
    nearest = (vectors @ node.centroids.T).argmax(axis=1)
    for number in range(branching):
        child = _split(vectors[nearest == number], branching, depth - 1, seed)
        if child is not None:
            node.children[number] = child
    return node


def subsample(
    blocks: Iterable[NDArray[np.floating]], limit: int = MAX_VECTORS
) -> NDArray[np.float32]:
    """Concatenate blocks of rows; keep every second, fourth, … row if there are too many.

    Args:
        blocks: (n, dim) each, of one dim; never in memory all at once.
        limit: Maximal number of rows.
    """
    samples: list[NDArray[np.floating]] = []
    step, position, count = 1, 0, 0
    for block in blocks:
        rows = block[-position % step :: step]
        position += len(block)
        samples.append(rows)
        count += len(rows)
        while count > limit:
            step *= 2
            halved = np.concatenate(samples)[::2]
            samples, count = [halved], len(halved)
    if not samples:
        return np.empty((0, 0), np.float32)
    return np.concatenate(samples).astype(np.float32)
