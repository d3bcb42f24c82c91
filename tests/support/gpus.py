"""Stands where GPUs would: indexes are cloned instead of copied there, with a GPU's limits."""

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.gpu_placement import Gpu
from indexes.gpus import FREE_SHARE, WORK_BYTES, Gpus, unsupported_reason

GIB = 1 << 30
PLENTY = 100 * GIB


def gpu(number: int, gib: float) -> Gpu:
    """A GPU with so many GiB of room."""
    return Gpu(number, int((gib * GIB + WORK_BYTES) / FREE_SHARE) + 1)


class CpuGpus(Gpus):
    """Copies are clones on the CPU; what FAISS cannot place is refused as FAISS does."""

    def to_gpu(self, index: Any, *, shard: bool = False, half: bool = True) -> Any:
        if not isinstance(index, faiss.IndexFlat) and unsupported_reason(index) is not None:
            raise RuntimeError("Error in clone_Index: This index type is not implemented on GPU.")
        # FAISS clones no graph of CAGRA's as what it is.
        graph = isinstance(faiss.downcast_index(index), faiss.IndexHNSWCagra)
        return index if graph else faiss.clone_index(index)

    def to_cpu(self, index: Any) -> Any:
        return faiss.clone_index(index)

    def free_bytes(self) -> list[int]:
        return [PLENTY for _ in self.numbers]

    def build_graph(self, rows: NDArray[np.float16], neighbours: int) -> Any:
        return neighbour_graph(rows.astype(np.float32), neighbours)


def neighbour_graph(rows: NDArray[np.float32], neighbours: int) -> Any:
    """The CPU form of a CAGRA index, over each row's exact neighbours.

    Where there are too few rows the links that are left stay empty.
    """
    graph = faiss.IndexHNSWCagra(
        rows.shape[1], neighbours // 2, faiss.METRIC_INNER_PRODUCT, faiss.Float16
    )
    graph.base_level_only = graph.keep_max_size_level0 = True
    graph.hnsw.prepare_level_tab(len(rows), False)
    graph.storage.add(rows)
    graph.ntotal = len(rows)
    found = min(neighbours, len(rows) - 1)
    nearest = faiss.knn(rows, rows, found + 1, faiss.METRIC_INNER_PRODUCT)[1][:, 1:]
    links = faiss.vector_to_array(graph.hnsw.neighbors)
    for row, first in enumerate(faiss.vector_to_array(graph.hnsw.offsets)[:-1]):
        links[first : first + found] = nearest[row]
    faiss.copy_array_to_vector(links, graph.hnsw.neighbors)
    return graph
