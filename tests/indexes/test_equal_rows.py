import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.index_contract import IndexContract, brute_force, unit_vectors
from indexes.building import build_approximate, build_exact
from indexes.effort import Effort
from indexes.equal_rows import DeduplicatedIndex, RowDigests, drop_equal_rows
from indexes.faiss import FaissIndex, float16_rows


def twin_index(
    vectors: NDArray[np.float32], factory: str | None = None, effort: Effort | None = None
) -> DeduplicatedIndex:
    """Build an index as for a part: drop equal rows, then build the approximate part."""
    digests, blocks = RowDigests(), np.array_split(vectors.astype(np.float16), 3)
    exact = build_exact(digests.collect(blocks), vectors.shape[1])
    places = digests.vector_numbers()
    if places is None:
        places = np.arange(len(vectors))
    else:
        drop_equal_rows(exact, places)
    index = FaissIndex(exact)
    if factory is not None:
        rows = index.vectors(0, index.rows)
        index = index.with_approximate(build_approximate(factory, rows, [rows]), effort)
    return DeduplicatedIndex(index, places)


class TestExact(IndexContract):
    def build(self, vectors: NDArray[np.float32]) -> DeduplicatedIndex:
        return twin_index(vectors)


class TestLists(IndexContract):
    def build(self, vectors: NDArray[np.float32]) -> DeduplicatedIndex:
        return twin_index(vectors, f"IVF{min(4, len(np.unique(vectors, axis=0)))},SQ8")


def with_equal_rows(rows: int, share: float, *, of: int = 20) -> NDArray[np.float32]:
    """Random vectors; a share of them are copies of a few vectors."""
    rng, vectors = np.random.default_rng(5), unit_vectors(rows)
    copies = rng.permutation(rows)[: int(share * rows)]
    vectors[copies] = vectors[rng.integers(0, of, len(copies))]
    return vectors


@pytest.mark.parametrize("share", [0.3, 0.5])
@pytest.mark.parametrize("factory", [None, "NSG32", "HNSW32", "IVF32,SQ8", "IVF32,PQ8x4fs"])
def test_field_55_equal_rows_do_not_reduce_recall(factory: str | None, share: float) -> None:
    """Checks recall@10, and that a row and its copies are the first answers."""
    vectors = with_equal_rows(2_000, share)
    index = twin_index(vectors, factory, Effort(32 if factory and "IVF" in factory else 100, 400))
    queries = vectors[::7]
    want_scores, want = brute_force(vectors, queries, 10)
    scores, found = index.search(queries, 10)
    recall = np.mean([np.isin(w, f).mean() for w, f in zip(want, found, strict=True)])
    assert recall >= 0.99
    np.testing.assert_allclose(scores[:, 0], want_scores[:, 0], atol=1e-6)
    np.testing.assert_array_equal(found[:, 0], want[:, 0])


def test_index_stores_each_vector_once_in_order() -> None:
    vectors = with_equal_rows(300, 0.5)
    index = twin_index(vectors)
    distinct, firsts = np.unique(vectors, axis=0, return_index=True)
    assert index._index.rows == len(distinct)
    np.testing.assert_array_equal(float16_rows(index._index), vectors[np.sort(firsts)])
    np.testing.assert_array_equal(index.vectors(10, 200), vectors[10:200])
    np.testing.assert_array_equal(index.gather(np.array([299, 0, 7])), vectors[[299, 0, 7]])


@pytest.mark.parametrize("k", [1, 3, 40, 300])
@pytest.mark.parametrize("every", [1, 2, 50])
def test_masks_select_individual_equal_rows(k: int, every: int) -> None:
    vectors = with_equal_rows(300, 0.6, of=4)
    index = twin_index(vectors)
    mask = np.arange(300) % every == every - 1
    queries = np.concatenate([vectors[:4], unit_vectors(3, seed=9)])
    want = brute_force(vectors, queries, k, mask)[1]
    for allowed in (mask, index.select(mask)):
        np.testing.assert_array_equal(index.search(queries, k, allowed=allowed)[1], want)
    assert index.select(mask).count == mask.sum()
    assert index.select(mask).bytes > 300


def test_distinct_rows_have_no_vector_numbers() -> None:
    for rows in (0, 1, 50):
        digests = RowDigests()
        assert len(list(digests.collect([unit_vectors(rows).astype(np.float16)]))) == 1
        assert digests.vector_numbers() is None


def test_all_rows_equal() -> None:
    vectors = np.repeat(unit_vectors(1), 500, axis=0)
    scores, ids = twin_index(vectors).search(vectors[:1], 3)
    np.testing.assert_array_equal(ids, [[0, 1, 2]])
    assert (scores == scores[0, 0]).all()
    assert twin_index(vectors).search(vectors[:0], 3)[1].shape == (0, 3)
