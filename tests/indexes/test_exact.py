import numpy as np
from numpy.typing import NDArray

import indexes.exact
from contracts.index_contract import IndexContract, unit_vectors
from indexes.exact import ExactIndex, exact_search


class TestExactIndex(IndexContract):
    def build(self, vectors: NDArray[np.float32]) -> ExactIndex:
        return ExactIndex(vectors)


class TestFloat16Rows(IndexContract):
    def build(self, vectors: NDArray[np.float32]) -> ExactIndex:
        return ExactIndex(vectors.astype(np.float16))


def test_field_00_blocks_change_nothing(monkeypatch) -> None:
    vectors, queries = np.repeat(unit_vectors(60), 3, axis=0), unit_vectors(4, seed=1)
    whole = exact_search(vectors, queries, 7)
    monkeypatch.setattr(indexes.exact, "BLOCK_ROWS", 11)
    for got, want in zip(exact_search(vectors, queries, 7), whole, strict=True):
        np.testing.assert_array_equal(got, want)


def test_an_empty_array_answers_with_padding() -> None:
    scores, ids = exact_search(np.empty((0, 4), np.float32), np.ones((2, 4)), 3)
    assert (ids == -1).all()
    assert np.isneginf(scores).all()
