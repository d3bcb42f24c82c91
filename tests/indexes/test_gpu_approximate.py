from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.index_contract import DIM, IndexContract, brute_force, unit_vectors
from indexes.building import build_approximate, build_exact
from indexes.effort import Effort
from indexes.faiss import FaissIndex
from indexes.gpu_approximate import GpuApproximateIndex
from indexes.gpus import Gpus
from support.gpus import CpuGpus, neighbour_graph


class OneNumberType:
    """A CPU graph with the interface of a GPU graph."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph

    def search(self, x: Any, k: int, *, params: Any, numeric_type: int) -> Any:
        assert params.itopk_size >= k
        assert params.itopk_size % 32 == 0
        return self._graph.search(x, k)


class GraphOnCpu(CpuGpus):
    def to_gpu(self, index: Any, *, shard: bool = False, half: bool = True) -> Any:
        return OneNumberType(super().to_gpu(index))


GPUS = [
    pytest.param(CpuGpus((0, 1)), id="stand-in"),
    pytest.param(Gpus((0,)), id="gpu", marks=pytest.mark.gpu),
]


@pytest.mark.parametrize("gpus", GPUS)
class Contract(IndexContract):
    storage = "SQ8"

    @pytest.fixture(autouse=True)
    def _gpus(self, gpus: Gpus) -> None:
        self.gpus = gpus

    def build(self, vectors: NDArray[np.float32]) -> GpuApproximateIndex:
        lists = min(8, len(vectors))
        part = build_approximate(f"IVF{lists},{self.storage}", vectors, [vectors])
        exact = build_exact([vectors], vectors.shape[1])
        return GpuApproximateIndex(FaissIndex(exact, part, Effort(lists, 200)), self.gpus)


class TestFlat(Contract):
    storage = "Flat"


class TestQuantized(Contract):
    storage = "SQ8"


class TestGraph(IndexContract):
    recall = 0.9

    def build(self, vectors: NDArray[np.float32]) -> GpuApproximateIndex:
        part = neighbour_graph(vectors, 32)
        return GpuApproximateIndex(FaissIndex(build_exact([vectors], DIM), part), GraphOnCpu((0,)))


@pytest.mark.gpu
class TestGraphOnGpu(IndexContract):
    recall = 0.9

    def build(self, vectors: NDArray[np.float32]) -> GpuApproximateIndex:
        part = neighbour_graph(vectors, 32)
        return GpuApproximateIndex(FaissIndex(build_exact([vectors], DIM), part), Gpus((0,)))


class Counting(CpuGpus):
    """Records the number of requested candidates."""

    asked: list[int] = []  # noqa: RUF012 - shared by the clones of one test

    def to_gpu(self, index: Any, *, shard: bool = False, half: bool = True) -> Any:
        placed, asked = super().to_gpu(index), self.asked

        class Placed:
            def search(self, x: Any, k: int) -> Any:
                asked.append(k)
                return placed.search(x, k)

        return Placed()


@pytest.fixture
def asked() -> list[int]:
    Counting.asked.clear()
    return Counting.asked


def placed(vectors: NDArray[np.float32], *, visited: int = 16) -> GpuApproximateIndex:
    part = build_approximate("IVF16,SQ8", vectors, [vectors])
    index = FaissIndex(build_exact([vectors], DIM), part, Effort(visited, 200))
    return GpuApproximateIndex(index, Counting((0,)))


def test_mask_increases_candidates(asked: list[int]) -> None:
    vectors, queries = unit_vectors(3_000), unit_vectors(4, seed=1)
    allowed = np.arange(3_000) % 2 == 0
    ids = placed(vectors).search(queries, 10, allowed=allowed)[1]
    assert asked == [400]
    np.testing.assert_array_equal(ids, brute_force(vectors, queries, 10, allowed)[1])


@pytest.mark.parametrize(("k", "every"), [(10, 8), (2_500, 1)])
def test_small_masks_and_long_answers_use_the_cpu(asked: list[int], k: int, every: int) -> None:
    vectors, queries = unit_vectors(3_000), unit_vectors(4, seed=1)
    allowed = np.arange(3_000) % every == 0
    scores, ids = placed(vectors).search(queries, k, allowed=allowed)
    assert not asked
    # Two of thousands of rows may have equal scores and exchange positions.
    np.testing.assert_allclose(scores, brute_force(vectors, queries, k, allowed)[0], atol=2e-6)
    assert all(len(set(line.tolist())) == len(line) and allowed[line].all() for line in ids)


def test_short_answers_are_completed_on_the_cpu(asked: list[int]) -> None:
    """One visited list of 16 holds fewer than 150 of 600 rows."""
    vectors, queries = unit_vectors(600), unit_vectors(4, seed=1)
    ids = placed(vectors, visited=1).search(queries, 150)[1]
    assert len(asked) == 1
    np.testing.assert_array_equal(ids, brute_force(vectors, queries, 150)[1])
