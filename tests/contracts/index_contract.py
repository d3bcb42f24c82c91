"""Tests that every vector index must pass, compared with exact search in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from indexes.errors import DimensionMismatchError, InvalidVectorError
from indexes.protocol import VectorIndex

ROWS, DIM = 500, 16


def unit_vectors(rows: int, dim: int = DIM, *, seed: int = 0) -> NDArray[np.float32]:
    """Random unit vectors that float16 represents exactly, so that all storages score equally."""
    vectors = np.random.default_rng(seed).normal(size=(rows, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    # Training may make torch flush subnormal float16 numbers to zero.
    vectors[np.abs(vectors) < np.finfo(np.float16).smallest_normal] = 0
    return vectors.astype(np.float16).astype(np.float32)


def brute_force(
    vectors: NDArray[Any], queries: NDArray[Any], k: int, allowed: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Score all rows in float64 and sort; ties by row.

    Sums use one order: matrix products give equal rows unequal scores on some kernels.
    """
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    wide = vectors.astype(np.float64)
    scores = np.stack([(wide * query.astype(np.float64)).sum(axis=1) for query in queries])
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, order, 1)
    return best, np.where(np.isfinite(best), order, -1)


class IndexContract:
    """Subclasses add `build`; `recall` is the share of exact answers they must find."""

    recall = 1.0

    def build(self, vectors: NDArray[np.float32]) -> VectorIndex:
        raise AssertionError("a subclass builds the index")

    def check(
        self,
        vectors: NDArray[np.float32],
        queries: NDArray[Any],
        k: int,
        allowed: NDArray[np.bool_] | None = None,
    ) -> None:
        scores, ids = self.build(vectors).search(queries, k, allowed=allowed)
        want_scores, want_ids = brute_force(vectors, queries, k, allowed)
        width = want_ids.shape[1]
        assert scores.dtype == np.float32
        assert ids.dtype == np.int64
        assert ids.shape == scores.shape == (len(queries), k)
        assert (ids[:, width:] == -1).all()
        found = np.mean([np.isin(w[w >= 0], i).mean() if (w >= 0).any() else 1.0
                         for w, i in zip(want_ids, ids, strict=True)])  # fmt: skip
        assert found >= self.recall
        if self.recall == 1.0:
            np.testing.assert_allclose(scores[:, :width], want_scores, atol=2e-6)
            np.testing.assert_array_equal(ids[:, :width], want_ids)
        for row_scores, row_ids, query in zip(scores, ids, queries, strict=True):
            real = row_ids >= 0
            assert np.isneginf(row_scores[~real]).all()
            expected = vectors[row_ids[real]] @ (query / np.linalg.norm(query))
            np.testing.assert_allclose(row_scores[real], expected, atol=2e-6)
            assert (np.diff(row_scores[real]) <= 0).all()
            assert len(set(row_ids[real].tolist())) == real.sum()

    def test_answers_equal_exact_search_for_queries_of_any_length(self) -> None:
        self.check(unit_vectors(ROWS), 3.0 * unit_vectors(5, seed=1), k=10)

    def test_equal_scores_rank_by_row(self) -> None:
        vectors = np.repeat(unit_vectors(20), 4, axis=0)
        scores, ids = self.build(vectors).search(vectors[40:41], 4)
        np.testing.assert_array_equal(ids, [[40, 41, 42, 43]])
        np.testing.assert_allclose(scores, 1.0, atol=2e-3)

    def test_answers_are_padded_if_k_exceeds_rows(self) -> None:
        self.check(unit_vectors(7), unit_vectors(3, seed=1), k=12)

    def test_one_row(self) -> None:
        self.check(unit_vectors(1), unit_vectors(2, seed=1), k=1)

    @pytest.mark.parametrize("share", [0.0, 0.004, 0.1, 0.5, 1.0])
    def test_only_allowed_rows_are_answers(self, share: float) -> None:
        allowed = np.random.default_rng(2).random(ROWS) < share
        self.check(unit_vectors(ROWS), unit_vectors(4, seed=1), k=10, allowed=allowed)

    def test_float64_and_strided_queries(self) -> None:
        queries = np.asfortranarray(unit_vectors(6, seed=1).astype(np.float64))[::2]
        self.check(unit_vectors(ROWS), queries, k=3)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
    def test_invalid_query_fails(self, bad: float) -> None:
        with pytest.raises(InvalidVectorError, match="query 1"):
            self.build(unit_vectors(5)).search(
                np.stack([unit_vectors(1)[0], np.full(DIM, bad, np.float32)]), 1
            )

    def test_query_of_another_dimension_fails(self) -> None:
        with pytest.raises(DimensionMismatchError, match="8-d, the index holds 16-d"):
            self.build(unit_vectors(5)).search(unit_vectors(1, 8), 1)

    @pytest.mark.parametrize("k", [0, -3])
    def test_k_below_one_fails(self, k: int) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            self.build(unit_vectors(5)).search(unit_vectors(1), k)

    def test_fault_30_excessive_k_fails_before_allocation(self) -> None:
        with pytest.raises(ValueError, match="k is 1000000000, the index has 5 rows"):
            self.build(unit_vectors(5)).search(unit_vectors(1), 10**9)

    def test_mask_of_another_length_fails(self) -> None:
        with pytest.raises(ValueError, match="5 rows"):
            self.build(unit_vectors(5)).search(unit_vectors(1), 1, allowed=np.ones(6, dtype=bool))

    def test_integer_mask_fails(self) -> None:
        """Row numbers used as a mask would silently select wrong rows."""
        with pytest.raises(ValueError, match="expected bool"):
            self.build(unit_vectors(5)).search(
                unit_vectors(1),
                1,
                allowed=np.array([0, 1, 2, 3, 4]),  # type: ignore[arg-type]
            )
