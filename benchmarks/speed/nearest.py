"""Finds the exact neighbours of queries while blocks of rows are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray


class Nearest:
    """The k best rows of each query among the rows seen so far.

    Args:
        queries: (queries, dim) unit vectors.
        k: Number of neighbours.

    Attributes:
        ids: (queries, k) positions of the best rows, best first.
    """

    def __init__(self, queries: NDArray[np.float32], k: int) -> None:
        self._queries, self._k = queries, k
        self._seen = 0
        self._scores = np.empty((len(queries), 0), np.float32)
        self.ids = np.empty((len(queries), 0), np.int64)

    def watch(self, blocks: Iterable[NDArray[np.float16]]) -> Iterator[NDArray[np.float16]]:
        """Yield the blocks unchanged, and update the neighbours with each."""
        for block in blocks:
            self._update(block.astype(np.float32))
            yield block

    def _update(self, rows: NDArray[np.float32]) -> None:
        scores = self._queries @ rows.T
        width = min(self._k, len(rows))
        columns = np.argpartition(-scores, width - 1, axis=1)[:, :width]
        scores = np.concatenate([self._scores, np.take_along_axis(scores, columns, 1)], axis=1)
        ids = np.concatenate([self.ids, columns + self._seen], axis=1)
        order = np.argsort(-scores, axis=1)[:, : self._k]
        self._scores, self.ids = (np.take_along_axis(each, order, 1) for each in (scores, ids))
        self._seen += len(rows)
