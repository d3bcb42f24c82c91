import faiss
import pytest

from contracts.index_contract import DIM, unit_vectors
from indexes.building import build_approximate
from indexes.gpus import gpu_bytes, innermost_index, unsupported_reason
from support.gpus import neighbour_graph


@pytest.mark.parametrize("factory", ["IVF4,Flat", "IVF4,SQ8", "IVF4,PQ4", "OPQ4,IVF4,PQ4", "CAGRA"])
def test_supported_indexes_have_no_reason(factory: str) -> None:
    if factory == "CAGRA":
        index = neighbour_graph(unit_vectors(50), 8)
    else:
        index = faiss.index_factory(DIM, factory, faiss.METRIC_INNER_PRODUCT)
    assert unsupported_reason(index) is None


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("HNSW8,SQ8", "no GPU form of IndexHNSWSQ"),
        ("IVF4,RaBitQ", "no GPU form of IndexIVFRaBitQ"),
        ("IVF4,PQ4x4fs", "no GPU form of IndexIVFPQFastScan"),
        ("PCAR8,HNSW8", "no GPU form of IndexHNSWFlat"),
        ("IVF4,PQ4x4", "its codes have 4 bits"),
        ("IVF4_HNSW4,SQ8", "its coarse quantizer only runs on a CPU"),
    ],
)
def test_unsupported_indexes_have_a_reason(factory: str, reason: str) -> None:
    index = faiss.index_factory(DIM, factory, faiss.METRIC_INNER_PRODUCT)
    assert reason in (unsupported_reason(index) or "")


def test_too_many_visited_lists_are_unsupported() -> None:
    index = faiss.index_factory(DIM, "IVF4096,SQ8", faiss.METRIC_INNER_PRODUCT)
    assert unsupported_reason(index, 2_048) is None
    assert unsupported_reason(index, 2_049) == "it visits 2049 lists, a GPU at most 2048"


def test_gpu_bytes_counts_codes_ids_and_centroids_or_rows_and_links() -> None:
    vectors = unit_vectors(100)
    assert gpu_bytes(build_approximate("IVF4,SQ8", vectors, [vectors])) == (
        100 * (DIM + 8) + 4 * 4 * DIM
    )
    assert gpu_bytes(neighbour_graph(vectors, 8)) == 100 * (2 * DIM + 4 * 8)


def test_graph_over_float32_rows_is_unsupported() -> None:
    graph = faiss.IndexHNSWCagra(DIM, 4, faiss.METRIC_INNER_PRODUCT)
    assert unsupported_reason(graph) == "the rows of its graph are not float16"


def test_innermost_index_is_behind_transforms() -> None:
    index = faiss.index_factory(DIM, "OPQ4,IVF4,PQ4", faiss.METRIC_INNER_PRODUCT)
    assert isinstance(innermost_index(index), faiss.IndexIVFPQ)
