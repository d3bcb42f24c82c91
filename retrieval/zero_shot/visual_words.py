"""Visual words: a corpus's pictures and frames grouped by hierarchical k-means.

VideoBERT (1904.01766) turns clips into words this way: k-means over all of them, then again inside
every cluster, level by level. A vector's word is the path to its leaf.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BRANCHING = 12
DEPTH = 4
"""VideoBERT's tree: 12 clusters in each of 4 levels, 20,736 words at most."""

LEAST_EACH = 8
"""A cluster is split while it holds as many vectors for each of its parts: fewer say nothing."""

MOST_VECTORS = 200_000
"""Vectors that the tree is made from; of more, every so-manieth is taken."""

Word = tuple[int, ...]


@dataclass(slots=True)
class _Node:
    centroids: NDArray[np.float32]
    children: dict[int, _Node] = field(default_factory=dict)


class VisualWords:
    """A tree of centroids that gives every vector its word."""

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
            branching: Clusters that a cluster is split into, at least 2.
            depth: Levels, at least 1; fewer where there are few vectors.
            seed: Decides where k-means begins.
        """
        if branching < 2 or depth < 1:
            raise ValueError(f"need branching >= 2 and depth >= 1, got {branching} and {depth}")
        return cls(_split(np.ascontiguousarray(vectors, np.float32), branching, depth, seed))

    def of(self, vectors: NDArray[np.float32]) -> list[Word]:
        """The words of (n, dim) vectors: paths, `()` where the corpus was too small to split."""
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
    """K-means over some vectors, then over each cluster's; None where they are too few."""
    if depth == 0 or len(vectors) < branching * LEAST_EACH:
        return None
    import faiss

    # Spherical: of unit vectors the directions count, and centroids have unit length too.
    means = faiss.Kmeans(
        vectors.shape[1], branching, niter=20, seed=seed, spherical=True, min_points_per_centroid=1
    )
    means.train(vectors)
    node = _Node(np.asarray(means.centroids, np.float32))
    nearest = (vectors @ node.centroids.T).argmax(axis=1)
    for number in range(branching):
        child = _split(vectors[nearest == number], branching, depth - 1, seed)
        if child is not None:
            node.children[number] = child
    return node


def thinned(
    blocks: Iterable[NDArray[np.floating]], most: int = MOST_VECTORS
) -> NDArray[np.float32]:
    """Join blocks of rows, keeping every second, fourth, … row of all where there are too many.

    Args:
        blocks: (n, dim) each, of one dim; never held all at once.
        most: Rows to return at most.
    """
    kept: list[NDArray[np.floating]] = []
    step, position, count = 1, 0, 0
    for block in blocks:
        rows = block[-position % step :: step]
        position += len(block)
        kept.append(rows)
        count += len(rows)
        while count > most:
            step *= 2
            joined = np.concatenate(kept)[::2]
            kept, count = [joined], len(joined)
    if not kept:
        return np.empty((0, 0), np.float32)
    return np.concatenate(kept).astype(np.float32)
