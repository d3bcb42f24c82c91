import numpy as np
import pytest
from contracts.index_contract import DIM, IndexContract, unit_vectors
from numpy.typing import NDArray

import indexes.faiss
from indexes.errors import IndexBuildError, InvalidVectorError
from indexes.faiss import FaissIndex, build_approximate, build_exact


class TestExactPart(IndexContract):
    def build(self, vectors: NDArray[np.float32]) -> FaissIndex:
        return FaissIndex(build_exact([vectors[:3], vectors[3:]], vectors.shape[1]))


class TestSelectorInsteadOfGathering(TestExactPart):
    @pytest.fixture(autouse=True)
    def _never_gather(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(indexes.faiss, "EXACT_SET_ROWS", 0)
        monkeypatch.setattr(indexes.faiss, "EXACT_SET_SHARE", 0.0)


class TestEveryListVisited(IndexContract):
    """Re-ranking makes the answers exact where the candidates hold them."""

    def build(self, vectors: NDArray[np.float32]) -> FaissIndex:
        lists = min(8, len(vectors))
        part = build_approximate(f"IVF{lists},SQ8", vectors, [vectors], nprobe=lists)
        return FaissIndex(build_exact([vectors], vectors.shape[1]), part)


class TestGraph(IndexContract):
    recall = 0.9

    def build(self, vectors: NDArray[np.float32]) -> FaissIndex:
        part = build_approximate("HNSW16,SQ8", vectors, [vectors])
        return FaissIndex(build_exact([vectors], vectors.shape[1]), part)


def test_a_factory_string_that_faiss_refuses_fails() -> None:
    with pytest.raises(IndexBuildError, match="FAISS refuses 'NOPE7'"):
        build_approximate("NOPE7", unit_vectors(10), [])


def test_fewer_rows_than_lists_fails() -> None:
    with pytest.raises(IndexBuildError, match="10 training rows"):
        build_approximate("IVF64,SQ8", unit_vectors(10), [])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_faults_28_a_row_without_direction_fails(bad: float) -> None:
    vectors = unit_vectors(4)
    vectors[2] = bad
    with pytest.raises(InvalidVectorError, match="row 6"):
        build_exact([unit_vectors(4), vectors], DIM)


def test_rows_are_read_back() -> None:
    vectors = unit_vectors(9)
    index = FaissIndex(build_exact([vectors], DIM))
    np.testing.assert_array_equal(index.vectors(2, 5), vectors[2:5])
    np.testing.assert_array_equal(index.gather(np.array([8, 0])), vectors[[8, 0]])
    assert index.vectors(3, 3).shape == (0, DIM)
