"""A vector as a query: what is searched where the model that made a space is not here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from indexes.errors import InvalidVectorError
from indexes.vectors import unit_queries
from retrieval.errors import QueryError, SpaceMismatchError
from retrieval.search.calibration import QueryKind
from retrieval.search.query_vectors import MAX_QUERY_VECTORS, QueryVectors
from retrieval.types import Space


@dataclass(frozen=True, slots=True)
class VectorQuery:
    """One vector, or several of one recording or video, in the embedding space of a collection.

    Attributes:
        vectors: (m, dim) of any length, m at most 64; several score an item by the mean, over
            them, of its best row.
        space: Its name; None where only one space has vectors of so many numbers.
    """

    vectors: NDArray[np.float32]
    space: str | None = None

    @classmethod
    def of(cls, vector: ArrayLike, space: str | None = None) -> VectorQuery:
        """Take (dim,) or (m, dim) numbers.

        Raises:
            QueryError: Something else, too many, or a row that is NaN, infinite or zero.
        """
        try:
            given = np.asarray(vector)
        except ValueError as error:
            raise QueryError(f"the vector is no array of numbers: {error}") from error
        rows = np.atleast_2d(given)
        if given.ndim not in (1, 2) or not rows.size or rows.dtype.kind not in "fiu":
            raise QueryError(
                f"a vector as a query has shape (numbers,) or (vectors, numbers), "
                f"got shape {given.shape} of {given.dtype}"
            )
        if len(rows) > MAX_QUERY_VECTORS:
            raise QueryError(
                f"the query has {len(rows)} vectors, at most {MAX_QUERY_VECTORS} are one query; "
                "ask them one by one"
            )
        try:
            return cls(unit_queries(rows, rows.shape[1]), space)
        except InvalidVectorError as error:
            raise QueryError(f"a vector cannot be searched for: {error}") from error

    @classmethod
    def read(cls, path: Path, space: str | None = None) -> VectorQuery:
        """Take the array of a .npy file.

        Raises:
            QueryError: There is no such file, or it holds something else.
        """
        if not path.is_file():
            raise QueryError(f"{path}: there is no such file; expected a .npy file of a vector")
        try:
            array = np.lib.format.open_memmap(path, mode="r")
        except (OSError, ValueError, EOFError, SyntaxError, MemoryError, OverflowError) as error:
            raise QueryError(f"{path} is no whole .npy file of numbers") from error
        try:
            return cls.of(array, space)
        except QueryError as error:
            raise QueryError(f"{path}: {error}") from error

    def __str__(self) -> str:
        count, dim = self.vectors.shape
        return f"a vector of {dim} numbers" if count == 1 else f"{count} vectors of {dim} numbers"

    def chosen(self, spaces: Sequence[Space]) -> Space:
        """The space that the vector belongs to.

        Raises:
            SpaceMismatchError: There is no such space, or it has vectors of another length.
            QueryError: Several spaces have vectors of this length.
        """
        dim = self.vectors.shape[1]
        told = ", ".join(f"{space.name} ({space.dim} numbers)" for space in spaces) or "none"
        named = [space for space in spaces if self.space in (None, space.name)]
        fits = [space for space in named if space.dim == dim]
        if not fits:
            what = "no space" if self.space is None else f"no space {self.space!r} that"
            raise SpaceMismatchError(f"{what} has vectors of {dim} numbers; there are: {told}")
        if len(fits) > 1:
            names = ", ".join(space.name for space in fits)
            raise QueryError(f"vectors of {dim} numbers may belong to {names}; name the space")
        return fits[0]

    def embedded(self, spaces: Sequence[Space]) -> dict[str, QueryVectors]:
        """As `retrieval.search.query_vectors.embed_query`, without a model.

        Raises:
            SpaceMismatchError, QueryError: As `chosen`.
        """
        return {self.chosen(spaces).name: QueryVectors(self.vectors, QueryKind.MEDIA)}
