from pathlib import Path
from typing import Any

import numpy as np
import pytest

import indexes.gpu_build
from contracts.index_contract import DIM, unit_vectors
from indexes.building import build_approximate, build_exact, refill
from indexes.effort import Effort
from indexes.errors import IndexBuildError, InvalidVectorError
from indexes.faiss import FaissIndex
from indexes.gpus import Gpus
from indexes.saved import open_index, write_index
from support.gpus import CpuGpus

GPUS = [
    pytest.param(CpuGpus((0, 1)), id="stand-in"),
    pytest.param(Gpus((0,)), id="gpu", marks=pytest.mark.gpu),
]
VECTORS = unit_vectors(400)


def recall(exact: Any, part: Any, visited: int = 4) -> float:
    """Recall@10 of a part that visits half of eight lists."""
    index = FaissIndex(exact, part, Effort(visited, 100))
    queries = unit_vectors(20, seed=1)
    found, want = index.search(queries, 10)[1], index.search(queries, 10, exact=True)[1]
    return float(np.mean([np.isin(w, f).mean() for w, f in zip(want, found, strict=True)]))


FACTORIES = ["IVF8,Flat", "IVF8,SQ8", "RR16,IVF8,SQ8", "IVF8,PQ2x4", "IVF8,RaBitQ"]
SLOW_TO_TRAIN = [
    # Training codebooks of 256 entries takes half a minute on a CPU.
    pytest.param(Gpus((0,)), factory, id=f"{factory}-gpu", marks=pytest.mark.gpu)
    for factory in ("IVF8,PQ8", "OPQ8,IVF8,PQ8")
]


@pytest.mark.parametrize(
    ("gpus", "factory"),
    [
        pytest.param(gpus.values[0], factory, id=f"{factory}-{gpus.id}", marks=gpus.marks)
        for gpus in GPUS
        for factory in FACTORIES
    ]
    + SLOW_TO_TRAIN,
)
def test_index_built_on_gpu_opens_on_cpu(
    gpus: Gpus, factory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes.gpu_build, "ASSIGNED_ROWS", 90)
    built = build_approximate(factory, VECTORS, [VECTORS[:150], VECTORS[150:]], gpus=gpus)
    write_index(built, tmp_path / "part.faiss")
    part = open_index(tmp_path / "part.faiss", dim=DIM, rows=400)
    on_cpu = build_approximate(factory, VECTORS, [VECTORS])
    exact = build_exact([VECTORS], DIM)
    assert type(part) is type(on_cpu)
    assert recall(exact, part) >= recall(exact, on_cpu) - 0.05
    assert recall(exact, part) >= 0.7


@pytest.mark.parametrize("gpus", GPUS)
def test_graph_built_on_gpu_opens_on_cpu(gpus: Gpus, tmp_path: Path) -> None:
    built = build_approximate("CAGRA16", VECTORS[:10], [VECTORS[:150], VECTORS[150:]], gpus=gpus)
    write_index(built, tmp_path / "part.faiss")
    part = open_index(tmp_path / "part.faiss", dim=DIM, rows=400)
    assert part.hnsw.nb_neighbors(0) == 16
    assert recall(build_exact([VECTORS], DIM), part, visited=100) >= 0.95


def test_building_graph_without_gpu_fails() -> None:
    with pytest.raises(IndexBuildError, match=r"CAGRA is built on a GPU.*HNSW32,SQ8"):
        build_approximate("CAGRA", VECTORS, [VECTORS])


@pytest.mark.parametrize("gpus", GPUS)
@pytest.mark.parametrize("factory", ["IVF8,SQ8", "RR16,IVF8,SQ8", "IVF8,RaBitQ", "CAGRA32"])
def test_refill_replaces_rows(gpus: Gpus, factory: str) -> None:
    index = build_approximate(factory, VECTORS, [VECTORS], gpus=gpus)
    others = unit_vectors(300, seed=5)
    filled = refill(index, [others[:100], others[100:]], gpus=gpus)
    assert filled.ntotal == 300
    assert recall(build_exact([others], DIM), filled, visited=100) >= 0.9


def test_refilling_graph_without_gpu_fails() -> None:
    index = build_approximate("CAGRA8", VECTORS, [VECTORS], gpus=CpuGpus((0,)))
    with pytest.raises(IndexBuildError, match="CAGRA8 is built on a GPU"):
        refill(index, [VECTORS])


@pytest.mark.parametrize("factory", ["CAGRA0", "CAGRA7", "CAGRA400"])
def test_invalid_number_of_neighbours_fails(factory: str) -> None:
    with pytest.raises(IndexBuildError, match=f"{factory} over 400 rows"):
        build_approximate(factory, VECTORS, [VECTORS], gpus=CpuGpus((0,)))


def test_graph_too_large_for_gpu_fails_before_allocation() -> None:
    class Small(CpuGpus):
        def free_bytes(self) -> list[int]:
            return [10_000]

    with pytest.raises(IndexBuildError, match=r"400 rows takes about .* GiB of the GPU"):
        build_approximate("CAGRA8", VECTORS, [VECTORS], gpus=Small((0,)))


def test_fault_28_invalid_row_fails() -> None:
    vectors = VECTORS.copy()
    vectors[203] = np.nan
    with pytest.raises(InvalidVectorError, match="row 203"):
        build_approximate("IVF8,SQ8", VECTORS, [vectors[:150], vectors[150:]], gpus=CpuGpus((0,)))


def test_gpu_error_fails_with_one_line() -> None:
    class Full(CpuGpus):
        def to_gpu(self, *arguments: object, **options: object) -> None:
            raise RuntimeError("Error in alloc at GpuRes.cpp:1: Error: out of memory\nrequested 9")

    with pytest.raises(IndexBuildError, match=r"out of memory requested 9; try the CPU"):
        build_approximate("IVF8,SQ8", VECTORS, [VECTORS], gpus=Full((0,)))
