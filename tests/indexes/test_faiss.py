import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

import indexes.exact
import indexes.faiss
import indexes.selection
from contracts.index_contract import DIM, IndexContract, brute_force, unit_vectors
from indexes.building import build_approximate, build_exact, refill
from indexes.effort import Effort
from indexes.errors import IndexBuildError, InvalidVectorError
from indexes.faiss import FaissIndex


class TestExactPart(IndexContract):
    def build(self, vectors: NDArray[np.float32]) -> FaissIndex:
        return FaissIndex(build_exact([vectors[:3], vectors[3:]], vectors.shape[1]))


class TestGatheringInsteadOfSelector(TestExactPart):
    @pytest.fixture(autouse=True)
    def _always_gather(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(indexes.selection, "GATHERED_SHARE", 1.0)


class TestMatrixProducts(TestExactPart):
    """Every search uses matrix products over several blocks of rows."""

    @pytest.fixture(autouse=True)
    def _always_multiply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(indexes.faiss, "MANY_QUERIES", 1)
        monkeypatch.setattr(indexes.exact, "BLOCK_ROWS", 7)
        monkeypatch.setattr(indexes.selection, "GATHERED_SHARE", 0.0)


class TestEveryListVisited(IndexContract):
    """Re-ranking makes answers exact if the candidates contain them."""

    def build(self, vectors: NDArray[np.float32]) -> FaissIndex:
        lists = min(8, len(vectors))
        part = build_approximate(f"IVF{lists},SQ8", vectors, [vectors])
        return FaissIndex(build_exact([vectors], vectors.shape[1]), part, Effort(lists, 200))


class TestGraph(IndexContract):
    recall = 0.9

    def build(self, vectors: NDArray[np.float32]) -> FaissIndex:
        part = build_approximate("HNSW16,SQ8", vectors, [vectors])
        return FaissIndex(build_exact([vectors], vectors.shape[1]), part)


class TestRandomRotation(IndexContract):
    """An index behind a transform."""

    recall = 0.9

    def build(self, vectors: NDArray[np.float32]) -> FaissIndex:
        part = build_approximate("RR16,IVF1,SQ8", vectors, [vectors])
        return FaissIndex(build_exact([vectors], vectors.shape[1]), part)


ONE_LIST = Effort(visited=1, candidates=200)


def built(factory: str, vectors: NDArray[np.float32], effort: Effort | None = None) -> FaissIndex:
    part = build_approximate(factory, vectors, [vectors])
    return FaissIndex(build_exact([vectors], vectors.shape[1]), part, effort)


def test_fault_30_short_approximate_answers_are_completed_exactly() -> None:
    """One visited list of 20 holds fewer than 50 of 100 rows."""
    vectors, queries = unit_vectors(100), unit_vectors(4, seed=1)
    scores, ids = built("IVF20,SQ8", vectors, ONE_LIST).search(queries, 50)
    want_scores, want_ids = brute_force(vectors, queries, 50)
    np.testing.assert_array_equal(ids, want_ids)
    np.testing.assert_allclose(scores, want_scores, atol=2e-6)


def test_index_without_selector_support_searches_masks_exactly() -> None:
    vectors, queries = unit_vectors(300), unit_vectors(4, seed=1)
    index = built("NSG8", vectors)
    allowed = np.arange(300) % 2 == 0
    for _ in range(2):
        ids = index.search(queries, 10, allowed=allowed)[1]
        np.testing.assert_array_equal(ids, brute_force(vectors, queries, 10, allowed)[1])


def test_answers_too_long_to_rerank_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes.faiss, "MAX_CANDIDATES", 9)
    vectors, queries = unit_vectors(200), unit_vectors(4, seed=1)
    ids = built("IVF50,SQ8", vectors, ONE_LIST).search(queries, 10)[1]
    np.testing.assert_array_equal(ids, brute_force(vectors, queries, 10)[1])


def test_default_effort_visits_an_eighth_of_lists_and_at_least_eight() -> None:
    vectors = unit_vectors(200)
    for lists, visited in [(4, 8), (16, 8), (80, 10)]:
        assert built(f"IVF{lists},SQ8", vectors).effort == Effort(visited, 200)
    assert built("HNSW8", vectors).effort == Effort(200, 200)


def test_candidates_grow_with_k_and_are_at_least_k() -> None:
    effort = Effort(visited=1, candidates=200)
    assert [effort.candidates_for(k) for k in (1, 10, 40, 1_000)] == [200, 200, 400, 2_000]
    assert Effort(1, 20).candidates_for(1_000) == 1_000


@pytest.mark.parametrize("factory", ["IVF16,SQ8", "RR32,IVF16,PQ8x4fs", "HNSW8,SQ8", "SQ8"])
def test_effort_applies_to_all_kinds_of_index(factory: str) -> None:
    """If all lists are visited, the proposals contain each row once."""
    vectors, queries = unit_vectors(300), unit_vectors(4, seed=1)
    ids = built(factory, vectors).propose(queries, 300, Effort(300, 300))
    assert [len(set(line[line >= 0].tolist())) for line in ids] == [300] * 4


def test_refill_keeps_quantizer_and_replaces_rows() -> None:
    old, new, queries = unit_vectors(300), unit_vectors(80, seed=2), unit_vectors(4, seed=1)
    trained = build_approximate("IVF8,PQ8x4fs", old, [old])
    part = refill(trained, [new[:30], new[30:]])
    assert part.ntotal == 80
    index = FaissIndex(build_exact([new], DIM), part, Effort(8, 80))
    np.testing.assert_array_equal(index.search(queries, 5)[1], brute_force(new, queries, 5)[1])


def test_index_without_rows() -> None:
    index = FaissIndex(build_exact([], DIM))
    scores, ids = index.search(unit_vectors(2), 3)
    assert index.rows == 0
    assert (ids == -1).all()
    assert np.isneginf(scores).all()


def test_missing_expected_rows_leave_no_data() -> None:
    """All expected rows may have been removed."""
    index = build_exact([], DIM, expected_rows=100)
    assert (index.ntotal, index.codes.size()) == (0, 0)


def test_no_queries_give_no_answers() -> None:
    scores, ids = built("IVF4,SQ8", unit_vectors(50)).search(unit_vectors(0), 3)
    assert scores.shape == ids.shape == (0, 3)


def test_expected_rows_do_not_change_index() -> None:
    vectors, queries = unit_vectors(30), unit_vectors(2, seed=1)
    for expected in (0, 7, 30, 1000):
        index = FaissIndex(build_exact([vectors[:9], vectors[9:]], DIM, expected_rows=expected))
        np.testing.assert_array_equal(
            index.search(queries, 5)[1], brute_force(vectors, queries, 5)[1]
        )


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("NOPE7", "could not parse index string NOPE7"),
        ("", "could not parse index string"),
        ("PQ7", "should be a multiple of the number of subquantizers"),
        ("IDMap,Flat", "use add_with_ids"),
        ("HNSW1,SQ8", "cannot build"),
        ("IVF0,Flat", "cannot build"),
    ],
)
def test_invalid_factory_string_fails_with_one_line(factory: str, reason: str) -> None:
    vectors = unit_vectors(10)
    with pytest.raises(IndexBuildError, match=reason) as caught:
        build_approximate(factory, vectors, [vectors])
    assert repr(factory) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "faiss/" not in str(caught.value)


def test_rotation_with_fewer_rows_than_dimensions_fails() -> None:
    with pytest.raises(IndexBuildError, match="at least as many rows as dimensions"):
        build_approximate("OPQ8,IVF2,PQ8x4fs", unit_vectors(DIM - 1), [])


def test_rotation_for_four_bit_codes_is_orthogonal() -> None:
    vectors, queries = unit_vectors(400), unit_vectors(4, seed=1)
    part = build_approximate("OPQ8,IVF4,PQ8x4fs", vectors, [vectors])
    rotation = faiss.vector_to_array(faiss.downcast_VectorTransform(part.chain.at(0)).A)
    matrix = rotation.reshape(DIM, DIM)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(DIM), atol=1e-4)
    index = FaissIndex(build_exact([vectors], DIM), part, Effort(4, 400))
    want = brute_force(vectors, queries, 5)[1]
    np.testing.assert_array_equal(index.search(queries, 5)[1], want)


@pytest.mark.parametrize("factory", ["PQ8", "IVF4,PQ8"])
def test_codes_are_not_sorted_for_hamming_filters(factory: str) -> None:
    vectors, queries = unit_vectors(600), unit_vectors(4, seed=1)
    part = build_approximate(factory, vectors, [vectors])
    unsorted = build_approximate(f"{factory}np", vectors, [vectors])
    for got, want in zip(part.search(queries, 5), unsorted.search(queries, 5), strict=True):
        np.testing.assert_array_equal(got, want)
    codebooks = [faiss.vector_to_array(one.pq.centroids) for one in (part, unsorted)]
    np.testing.assert_array_equal(*codebooks)


def test_fewer_rows_than_lists_fails() -> None:
    with pytest.raises(IndexBuildError, match="10 training rows"):
        build_approximate("IVF64,SQ8", unit_vectors(10), [])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_fault_28_invalid_row_fails(bad: float) -> None:
    vectors = unit_vectors(4)
    vectors[2] = bad
    with pytest.raises(InvalidVectorError, match="row 6"):
        build_exact([unit_vectors(4), vectors], DIM)


def test_rows_can_be_read() -> None:
    vectors = unit_vectors(9)
    index = FaissIndex(build_exact([vectors], DIM))
    np.testing.assert_array_equal(index.vectors(2, 5), vectors[2:5])
    np.testing.assert_array_equal(index.gather(np.array([8, 0])), vectors[[8, 0]])
    assert index.vectors(3, 3).shape == (0, DIM)


def test_rows_find_themselves_in_few_lists_and_recall_grows_with_lists() -> None:
    vectors = unit_vectors(2_000)
    exact = build_exact([vectors], DIM)
    index = FaissIndex(exact, build_approximate("IVF64,SQ8", vectors, [vectors]), Effort(64, 200))
    _, few = index.search(vectors[:200], 10, visited_share=1 / 64)
    _, all_lists = index.search(vectors[:200], 10, visited_share=1.0)
    _, saved = index.search(vectors[:200], 10)
    np.testing.assert_array_equal(few[:, 0], np.arange(200))
    np.testing.assert_array_equal(all_lists, saved)
    assert (few != saved).any()
    half = np.arange(2_000) % 2 == 0
    _, chosen = index.search(vectors[:200], 3, allowed=half, visited_share=1 / 64)
    assert (chosen % 2 == 0).all()
