"""The interface of vector indexes."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Ids = NDArray[np.int64]


class VectorIndex(Protocol):
    """An inner-product index over unit vectors; higher scores are better."""

    @property
    def dim(self) -> int:
        """Vector dimension."""
        ...

    @property
    def rows(self) -> int:
        """Number of vectors; ids are the row positions 0 … rows - 1."""
        ...

    def search(
        self,
        queries: NDArray[np.floating],
        k: int,
        *,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[Scores, Ids]:
        """Find the k nearest rows of each query.

        Args:
            queries: (queries, dim) of any float dtype; scaled to unit length.
            k: Rows per query, at least 1; may exceed `rows`.
            allowed: (rows,) bool; only rows marked True are answers. None allows all rows.

        Returns:
            Scores float32 and ids int64, both (queries, k), best first, padded with -inf and -1.
        Raises:
            DimensionMismatchError: The queries have another dimension than the index.
            InvalidVectorError: A query is NaN, infinite or zero.
            ValueError: k < 1, k exceeds both `rows` and a million, or `allowed` is not one bool
                per row.
        """
        ...
