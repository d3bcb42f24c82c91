"""Connected components of a graph whose edges arrive in blocks: vectorised union-find."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Components:
    """Connected components of `count` nodes; memory does not depend on the number of edges."""

    def __init__(self, count: int) -> None:
        self._roots = np.arange(count)

    def join(self, nodes: NDArray[np.int64], others: NDArray[np.int64]) -> None:
        """Add an edge between each of `nodes` and the corresponding one of `others`; (n,) each."""
        a, b = self._roots[nodes], self._roots[others]
        while (apart := a != b).any():
            a, b = a[apart], b[apart]
            # Each root is attached to its smallest neighbour; the next round adds other edges.
            np.minimum.at(self._roots, np.maximum(a, b), np.minimum(a, b))
            self._flatten()
            a, b = self._roots[a], self._roots[b]

    def roots(self) -> NDArray[np.int64]:
        """Return the smallest node of each node's component, (count,)."""
        return self._roots

    def _flatten(self) -> None:
        while not np.array_equal(above := self._roots[self._roots], self._roots):
            self._roots = above
