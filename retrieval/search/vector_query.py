"""A query given as a vector, for spaces whose model is not available."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from indexes.errors import InvalidVectorError
from indexes.vectors import unit_queries
from retrieval.errors import QueryError, SpaceMismatchError
from retrieval.types import Space

MAX_QUERY_VECTORS = 64
"""Number of vectors of one query. Longer recordings and videos are subsampled evenly."""


@dataclass(frozen=True, slots=True)
class VectorQuery:
    """One or more vectors in an embedding space of the collection.

    Several vectors describe one recording or video. They score an item by the mean, over the
    vectors, of its best row.

    Attributes:
        vectors: (m, dim) float32 unit vectors, m at most MAX_QUERY_VECTORS.
        space: Name of the space; None if only one space has vectors of this length.
    """

    vectors: NDArray[np.float32]
    space: str | None = None

    @classmethod
    def of(cls, vector: ArrayLike, space: str | None = None) -> VectorQuery:
        """Convert (dim,) or (m, dim) numbers of any length to a query.

        Raises:
            QueryError: Another shape or type, too many vectors, or a NaN, infinite or zero vector.
        """
        try:
            array = np.asarray(vector)
        except ValueError as error:
            raise QueryError(f"the vector is no array of numbers: {error}") from error
        rows = np.atleast_2d(array)
        if array.ndim not in (1, 2) or not rows.size or rows.dtype.kind not in "fiu":
            raise QueryError(
                f"a query vector must have the shape (numbers,) or (vectors, numbers), "
                f"got shape {array.shape} of {array.dtype}"
            )
        if len(rows) > MAX_QUERY_VECTORS:
            raise QueryError(
                f"the query has {len(rows)} vectors, at most {MAX_QUERY_VECTORS} are allowed; "
                "search them one by one"
            )
        try:
            return cls(unit_queries(rows, rows.shape[1]), space)
        except InvalidVectorError as error:
            raise QueryError(f"invalid query vector: {error}") from error

    @classmethod
    def read(cls, path: Path, space: str | None = None) -> VectorQuery:
        """Read the array of a .npy file.

        Raises:
            QueryError: The file is missing, damaged, or not a vector.
        """
        if not path.is_file():
            raise QueryError(f"{path}: no such file; expected a .npy file with a vector")
        try:
            array = np.lib.format.open_memmap(path, mode="r")
        except (OSError, ValueError, EOFError, SyntaxError, MemoryError, OverflowError) as error:
            raise QueryError(f"{path} is not a complete .npy file of numbers") from error
        try:
            return cls.of(array, space)
        except QueryError as error:
            raise QueryError(f"{path}: {error}") from error

    @property
    def item_ids(self) -> tuple[int, ...]:
        """Items of the collection that the query consists of: none."""
        return ()

    def __str__(self) -> str:
        count, dim = self.vectors.shape
        return f"a vector of {dim} numbers" if count == 1 else f"{count} vectors of {dim} numbers"

    def choose_space(self, spaces: Sequence[Space]) -> Space:
        """Choose the space that the vectors belong to.

        Raises:
            SpaceMismatchError: No such space, or its vectors have another length.
            QueryError: Several spaces have vectors of this length.
        """
        dim = self.vectors.shape[1]
        named = [space for space in spaces if self.space in (None, space.name)]
        matching = [space for space in named if space.dim == dim]
        if not matching:
            subject = "no space" if self.space is None else f"no space {self.space!r} that"
            known = ", ".join(f"{space.name} ({space.dim} numbers)" for space in spaces) or "none"
            raise SpaceMismatchError(f"{subject} has vectors of {dim} numbers; known: {known}")
        if len(matching) > 1:
            names = ", ".join(space.name for space in matching)
            raise QueryError(f"vectors of {dim} numbers may belong to {names}; name the space")
        return matching[0]
