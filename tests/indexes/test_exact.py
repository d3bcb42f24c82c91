import numpy as np
from numpy.typing import NDArray

import indexes.exact
from contracts.index_contract import IndexContract, unit_vectors
from indexes.exact import exact_search
from indexes.protocol import Ids, Scores


class ArrayIndex:
    """Exact search over an array as a `VectorIndex`."""

    def __init__(self, vectors: NDArray[np.floating]) -> None:
        self.vectors = vectors
        self.rows, self.dim = vectors.shape

    def search(
        self,
        queries: NDArray[np.floating],
        k: int,
        *,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[Scores, Ids]:
        return exact_search(self.vectors, queries, k, allowed=allowed)


class TestFloat32Rows(IndexContract):
    def build(self, vectors: NDArray[np.float32]) -> ArrayIndex:
        return ArrayIndex(vectors)


class TestFloat16Rows(IndexContract):
    def build(self, vectors: NDArray[np.float32]) -> ArrayIndex:
        return ArrayIndex(vectors.astype(np.float16))


def test_field_00_block_size_does_not_change_answers(monkeypatch) -> None:
    vectors, queries = np.repeat(unit_vectors(60), 3, axis=0), unit_vectors(4, seed=1)
    whole = exact_search(vectors, queries, 7)
    monkeypatch.setattr(indexes.exact, "BLOCK_ROWS", 11)
    for got, want in zip(exact_search(vectors, queries, 7), whole, strict=True):
        np.testing.assert_array_equal(got, want)


def test_empty_array_returns_padding() -> None:
    scores, ids = exact_search(np.empty((0, 4), np.float32), np.ones((2, 4)), 3)
    assert (ids == -1).all()
    assert np.isneginf(scores).all()
