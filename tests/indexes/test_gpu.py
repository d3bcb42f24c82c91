import logging
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

import indexes.gpu
import indexes.selection
from contracts.index_contract import DIM, IndexContract, brute_force, unit_vectors
from indexes.building import build_approximate, build_exact
from indexes.effort import Effort
from indexes.errors import DeviceError
from indexes.faiss import FaissIndex, float16_rows
from indexes.gpu import DeviceIndex, gpus_for_build, index_for_device, visible_gpus
from indexes.gpu_approximate import GpuApproximateIndex
from indexes.gpu_exact import ShardedExact, TorchExact
from indexes.gpu_placement import Gpu, Placement, SearchMode
from indexes.gpus import Gpus
from support.gpus import GIB, CpuGpus, gpu


def opened(vectors: NDArray[np.float32], factory: str | None = None) -> FaissIndex:
    part = None if factory is None else build_approximate(factory, vectors, [vectors])
    return FaissIndex(build_exact([vectors], vectors.shape[1]), part)


# ------------------------------------------------------------------ devices


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulated GPU; its rows are on the CPU."""
    monkeypatch.setattr(indexes.gpu, "visible_gpus", lambda: (gpu(0, 3.0),))


def test_auto_and_cpu_return_the_same_index_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes.gpu, "visible_gpus", lambda: ())
    monkeypatch.setattr(indexes.gpu, "GPU_FROM_ROWS", 1)
    index = opened(unit_vectors(20))
    assert index_for_device(index, "auto") is index
    assert index_for_device(index, "cpu") is index
    assert gpus_for_build("auto", 10**6) is None


def test_missing_gpu_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes.gpu, "visible_gpus", lambda: ())
    for ask in (
        lambda device: gpus_for_build(device, 10),
        lambda device: index_for_device(opened(unit_vectors(5)), device),
    ):
        with pytest.raises(DeviceError, match=r"no CUDA device 'cuda' .* device auto or cpu"):
            ask("cuda")


def test_device_selects_one_of_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes.gpu, "visible_gpus", lambda: (gpu(0, 3.0), gpu(1, 3.0)))
    assert gpus_for_build("cuda:1", 10) == Gpus((1,))
    assert gpus_for_build("cuda", 10) == Gpus((0, 1))
    with pytest.raises(DeviceError, match="no CUDA device 'cuda:2'"):
        gpus_for_build("cuda:2", 10)


def test_device_for_models_only_keeps_index_on_cpu() -> None:
    index = opened(unit_vectors(5))
    assert index_for_device(index, "mps") is index


@pytest.mark.usefixtures("one_gpu")
def test_small_indexes_stay_on_cpu_except_for_cuda() -> None:
    index = opened(unit_vectors(20))
    assert index_for_device(index, "auto") is index
    assert isinstance(index_for_device(index, "cuda"), DeviceIndex)
    assert gpus_for_build("auto", 20) is None
    assert gpus_for_build("auto", 20_000) == Gpus((0,))
    assert gpus_for_build("cpu", 20_000) is None


@pytest.mark.gpu
def test_real_gpu_is_visible_with_its_memory() -> None:
    gpus = visible_gpus()
    assert gpus
    assert all(gpu.free_bytes > GIB for gpu in gpus)


# ------------------------------------------------------------------ copying to a GPU


@pytest.fixture
def cpu_in_place_of_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def place(cpu: FaissIndex, chosen: Placement) -> GpuApproximateIndex | TorchExact:
        if chosen.mode is SearchMode.APPROXIMATE:
            return GpuApproximateIndex(cpu, CpuGpus((0,)))
        return TorchExact(float16_rows(cpu), "cpu", resident=chosen.mode is SearchMode.EXACT)

    monkeypatch.setattr(indexes.gpu, "_copy_to_gpus", place)


def moving(index: FaissIndex, gpus: Sequence[Gpu], *, copy_after: int = 0) -> DeviceIndex:
    return DeviceIndex(index, copy_after=copy_after, find_gpus=lambda: gpus)


@pytest.mark.usefixtures("cpu_in_place_of_gpu")
class TestMovedExact(IndexContract):
    def build(self, vectors: NDArray[np.float32]) -> DeviceIndex:
        return moving(opened(vectors), [gpu(0, 3.0)])


@pytest.mark.gpu
class TestMovedToARealGpu(IndexContract):
    def build(self, vectors: NDArray[np.float32]) -> DeviceIndex:
        index = index_for_device(opened(vectors), "cuda")
        assert isinstance(index, DeviceIndex)
        return index


@pytest.mark.usefixtures("cpu_in_place_of_gpu")
def test_auto_answers_first_queries_on_cpu() -> None:
    vectors, queries = unit_vectors(300), unit_vectors(4, seed=1)
    index = moving(opened(vectors), [gpu(0, 3.0)], copy_after=10)
    want = brute_force(vectors, queries, 5)[1]
    for where in (SearchMode.CPU, SearchMode.CPU, SearchMode.EXACT, SearchMode.EXACT):
        np.testing.assert_array_equal(index.search(queries, 5)[1], want)
        assert index.mode is where


@pytest.mark.usefixtures("cpu_in_place_of_gpu")
def test_rows_are_read_from_cpu() -> None:
    vectors = unit_vectors(30)
    index = moving(opened(vectors), [gpu(0, 3.0)])
    index.search(vectors[:1], 1)
    assert (index.rows, index.dim) == (30, DIM)
    np.testing.assert_array_equal(index.vectors(3, 9), vectors[3:9])
    np.testing.assert_array_equal(index.gather(np.array([8, 0])), vectors[[8, 0]])


@pytest.mark.usefixtures("cpu_in_place_of_gpu")
@pytest.mark.parametrize("every", [2, 50])
def test_selection_gives_same_answers_as_mask(every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Selections with copied rows are searched on the CPU."""
    monkeypatch.setattr(indexes.selection, "COPIED_BYTES", 20 * 2 * DIM)
    vectors, queries = unit_vectors(300), unit_vectors(4, seed=1)
    index = moving(opened(vectors), [gpu(0, 3.0)])
    mask = np.arange(300) % every == 0
    selection = index.select(mask)
    assert (selection.ids is None) == (every == 2)
    searched: list[int] = []
    on_gpu = TorchExact.search
    monkeypatch.setattr(
        TorchExact,
        "search",
        lambda self, queries, k, allowed: (
            searched.append(len(queries)) or on_gpu(self, queries, k, allowed=allowed)
        ),
    )
    ids = index.search(queries, 5, allowed=selection)[1]
    np.testing.assert_array_equal(ids, brute_force(vectors, queries, 5, mask)[1])
    assert searched == ([4] if every == 2 else [])


@pytest.mark.usefixtures("cpu_in_place_of_gpu")
def test_exact_search_bypasses_approximate_part_on_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors, queries = unit_vectors(300), unit_vectors(4, seed=1)
    monkeypatch.setattr(
        indexes.gpu,
        "choose_placement",
        lambda rows, dim, part, gpus, visited: Placement(SearchMode.APPROXIMATE, tuple(gpus)),
    )
    part = build_approximate("IVF30,SQ8", vectors, [vectors])
    index = moving(FaissIndex(build_exact([vectors], DIM), part, Effort(1, 20)), [gpu(0, 3.0)])
    want = brute_force(vectors, queries, 5)[1]
    np.testing.assert_array_equal(index.search(queries, 5, exact=True)[1], want)
    assert not np.array_equal(index.search(queries, 5)[1], want)


@pytest.mark.usefixtures("cpu_in_place_of_gpu")
def test_rows_are_streamed_for_batches_only(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = unit_vectors(300), unit_vectors(8, seed=1)
    index = moving(opened(vectors), [gpu(0, 3.0)])
    monkeypatch.setattr(
        indexes.gpu,
        "choose_placement",
        lambda rows, dim, part, gpus, visited: Placement(SearchMode.STREAMED, tuple(gpus)),
    )
    index.search(queries[:1], 3)
    streamed: list[int] = []
    monkeypatch.setattr(
        TorchExact,
        "search",
        lambda self, queries, k, allowed: streamed.append(len(queries)) or (queries, queries),
    )
    for count in (7, 8):
        index.search(queries[:count], 3)
    assert streamed == [8]


def test_index_too_large_for_gpu_logs_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    vectors = unit_vectors(20)
    index = moving(opened(vectors), [Gpu(0, 1_000)])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert index.search(vectors[:1], 1)[1].tolist() == [[0]]
    assert [record.getMessage() for record in caplog.records] == [
        "searching 20 rows on the CPU: 20 rows x 16 take 0.0 GiB, 0.0 GiB of GPU memory are free"
    ]


def test_gpu_error_falls_back_to_cpu(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        dim, rows = DIM, 20

        def search(self, *arguments: object, **options: object) -> None:
            raise RuntimeError("CUDA error: an illegal memory access\nwas encountered")

    def refuse(cpu: FaissIndex, chosen: Placement) -> None:
        raise RuntimeError("Error in alloc at GpuRes.cpp:1: Error: out of memory")

    vectors = unit_vectors(20)
    for place in (refuse, lambda cpu, chosen: Failing()):
        monkeypatch.setattr(indexes.gpu, "_copy_to_gpus", place)
        index = moving(opened(vectors), [gpu(0, 3.0)])
        for _ in range(2):
            assert index.search(vectors[:1], 1)[1].tolist() == [[0]]
        assert index.mode is SearchMode.CPU
    assert [record.getMessage() for record in caplog.records] == [
        "searching 20 rows on the CPU: out of memory",
        "searching 20 rows on the CPU: CUDA error: an illegal memory access was encountered",
    ]


def test_fault_10_batch_is_halved_when_gpu_memory_is_insufficient(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Small(TorchExact):
        batches: list[int] = []  # noqa: RUF012 - of one test

        def search(self, queries: NDArray[np.float32], k: int, **options: object) -> object:
            self.batches.append(len(queries))
            if len(queries) > 3:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return super().search(queries, k, **options)

    monkeypatch.setattr(
        indexes.gpu, "_copy_to_gpus", lambda cpu, chosen: Small(float16_rows(cpu), "cpu")
    )
    vectors, queries = unit_vectors(50), unit_vectors(10, seed=1)
    index = moving(opened(vectors), [gpu(0, 3.0)])
    ids = index.search(queries, 5)[1]
    np.testing.assert_array_equal(ids, brute_force(vectors, queries, 5)[1])
    assert Small.batches == [10, 5, 2, 3, 5, 2, 3]
    assert index.mode is SearchMode.EXACT
    assert not caplog.records


@pytest.mark.usefixtures("cpu_in_place_of_gpu")
def test_threads_copy_an_index_once(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, moves = unit_vectors(100), []

    def look() -> Sequence[Gpu]:
        moves.append(1)
        return [gpu(0, 3.0)]

    index = DeviceIndex(opened(vectors), find_gpus=look)
    threads = [threading.Thread(target=index.search, args=(vectors, 3)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(moves) == 1


# ------------------------------------------------------------------ rows and shards


def test_float16_rows_are_those_of_the_exact_part() -> None:
    vectors = unit_vectors(40)
    index = opened(vectors)
    rows = float16_rows(index)
    assert rows.dtype == np.float16
    np.testing.assert_array_equal(rows, vectors)


class TestSharded(IndexContract):
    """Three devices, one of them nearly empty."""

    def build(self, vectors: NDArray[np.float32]) -> ShardedExact:
        return ShardedExact(vectors.astype(np.float16), ["cpu"] * 3, [5, 0.001, 3])


@pytest.mark.gpu
class TestShardedOverOneRealGpu(IndexContract):
    def build(self, vectors: NDArray[np.float32]) -> ShardedExact:
        return ShardedExact(vectors.astype(np.float16), ["cuda:0"] * 2, [1, 1])


def test_sharded_search_applies_masks_and_breaks_ties_by_row() -> None:
    vectors = np.repeat(unit_vectors(5), 60, axis=0)
    allowed = np.arange(300) % 3 == 0
    index = ShardedExact(vectors.astype(np.float16), ["cpu"] * 4, [1, 1, 1, 1])
    assert (index.rows, index.dim) == (300, DIM)
    queries = vectors[[0, 299]]
    ids = index.search(queries, 30, allowed=allowed)[1]
    np.testing.assert_array_equal(ids, brute_force(vectors, queries, 30, allowed)[1])
