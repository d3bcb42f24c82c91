"""What every vector index offers, whatever library stands behind it."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
Ids = NDArray[np.int64]


class VectorIndex(Protocol):
    """Unit vectors by row position, searched by inner product; higher is better."""

    @property
    def dim(self) -> int:
        """Length of a vector."""
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
            queries: (queries, dim), any float dtype, any length: they are scaled to unit length.
            k: Rows per query, at least 1; may exceed `rows`.
            allowed: (rows,) bool; where given, only rows marked True can be answers.

        Returns:
            Scores float32 and ids int64, both (queries, k), best first, padded with -inf and -1.
        Raises:
            DimensionMismatchError: A query has another length than the index's vectors.
            InvalidVectorError: A query is NaN, infinite or zero.
            ValueError: k < 1 or above both `rows` and a million, or `allowed` is not one bool
                for each row.
        """
        ...
