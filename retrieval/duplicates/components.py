"""Connected components of a graph that comes edge by edge: union-find over whole arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Components:
    """Which of `count` nodes hang together; memory does not grow with the edges."""

    def __init__(self, count: int) -> None:
        self._roots = np.arange(count)

    def join(self, nodes: NDArray[np.int64], others: NDArray[np.int64]) -> None:
        """Add an edge between each node and the other of the same place; (n,) each."""
        a, b = self._roots[nodes], self._roots[others]
        while (apart := a != b).any():
            a, b = a[apart], b[apart]
            # A root keeps only the least of the edges that hook it; the next round has the others.
            np.minimum.at(self._roots, np.maximum(a, b), np.minimum(a, b))
            self._flatten()
            a, b = self._roots[a], self._roots[b]

    def roots(self) -> NDArray[np.int64]:
        """The least node of each node's component, (count,)."""
        return self._roots

    def _flatten(self) -> None:
        while not np.array_equal(above := self._roots[self._roots], self._roots):
            self._roots = above
