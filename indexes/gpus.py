"""GPUs that FAISS indexes move to and back from; what may go there, and what it takes.

What is saved always has its CPU form, so that a machine without a GPU opens it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

MAX_SELECTED: Final = 2_048
"""Answers per query, and lists visited, that FAISS's GPU kernels can select."""

FREE_SHARE: Final = 0.9
"""Of a GPU's free memory; the rest is for other libraries."""

WORK_BYTES: Final = 4 << 30
"""What searching takes beside the rows."""


def usable_bytes(free: int) -> int:
    """Room for rows or an index on a GPU with so many bytes free."""
    return max(0, int(FREE_SHARE * free) - WORK_BYTES)


@dataclass(frozen=True, slots=True)
class Gpus:
    """The GPUs that hold an index, and how one gets there and back.

    Attributes:
        numbers: CUDA's device numbers.
        cuvs: Let NVIDIA's cuVS search IVF-Flat and IVF-PQ in place of FAISS's own kernels.
    """

    numbers: tuple[int, ...]
    cuvs: bool = False

    def place(self, index: Any, *, shard: bool = False, half: bool = True) -> Any:
        """Copy an index to one GPU, or to all of them: each a share of its rows, or each all.

        A graph goes to the first GPU alone.

        Args:
            index: In its CPU form; may still be untrained.
            shard: Divide the rows where there are several GPUs.
            half: Float16 in flat indexes and lookup tables.

        Raises:
            RuntimeError: FAISS has no GPU form for it, or the memory is short.
        """
        if isinstance(innermost(index), faiss.IndexHNSWCagra):
            return self._place_graph(faiss.downcast_index(index))
        options = faiss.GpuMultipleClonerOptions()
        options.useFloat16 = half
        options.shard = shard
        options.use_cuvs = self.cuvs and not isinstance(
            innermost(index), faiss.IndexIVFScalarQuantizer
        )
        if len(self.numbers) == 1:
            resources = faiss.StandardGpuResources()
            return faiss.index_cpu_to_gpu(resources, self.numbers[0], index, options)
        return faiss.index_cpu_to_gpus_list(index, co=options, gpus=list(self.numbers))

    def _place_graph(self, graph: Any) -> Any:
        """Copy a graph to the first GPU: FAISS's cloning makes something else of it on several."""
        settings = faiss.GpuIndexCagraConfig()
        settings.device = self.numbers[0]
        placed = faiss.GpuIndexCagra(
            faiss.StandardGpuResources(), graph.d, graph.metric_type, settings
        )
        placed.copyFrom_ex(graph, faiss.Float16)
        return placed

    def fetch(self, index: Any) -> Any:
        """Copy an index back to its CPU form."""
        return faiss.index_gpu_to_cpu(index)

    def free_bytes(self) -> list[int]:
        """Memory that each GPU has left now."""
        import torch

        return [torch.cuda.mem_get_info(number)[0] for number in self.numbers]

    def usable_bytes(self) -> list[int]:
        """Room for rows or an index on each GPU now."""
        return [usable_bytes(free) for free in self.free_bytes()]

    def build_graph(self, rows: NDArray[np.float16], neighbours: int) -> Any:
        """Build CAGRA's graph over (rows, dim) vectors; its CPU form, searched like an HNSW."""
        settings = faiss.GpuIndexCagraConfig()
        settings.device = self.numbers[0]
        settings.graph_degree = neighbours
        settings.intermediate_graph_degree = 2 * neighbours
        built = faiss.GpuIndexCagra(
            faiss.StandardGpuResources(), rows.shape[1], faiss.METRIC_INNER_PRODUCT, settings
        )
        built.train(rows, numeric_type=faiss.Float16)
        graph = faiss.IndexHNSWCagra()
        graph.base_level_only = True  # float16 rows have no upper levels
        built.copyTo(graph)
        return graph


def unsuitable(index: Any, visited: int = 0) -> str | None:
    """Why FAISS cannot search an index on a GPU, visiting so many lists; None where it can."""
    inner = innermost(index)
    kinds = (faiss.IndexIVFFlat, faiss.IndexIVFScalarQuantizer, faiss.IndexIVFPQ)
    if not isinstance(inner, (*kinds, faiss.IndexHNSWCagra)):
        return f"FAISS has no GPU form of {type(inner).__name__}"
    if isinstance(inner, faiss.IndexHNSWCagra):
        half = inner.get_numeric_type() == faiss.Float16
        return None if half else "its graph holds other rows than float16"
    if not isinstance(faiss.downcast_index(inner.quantizer), faiss.IndexFlat):
        return "its lists are found by an index that FAISS searches on a CPU"
    if isinstance(inner, faiss.IndexIVFPQ) and inner.pq.nbits != 8:
        return f"its codes have {inner.pq.nbits} bits, a GPU reads 8"
    if visited > MAX_SELECTED:
        return f"it visits {visited} lists, a GPU at most {MAX_SELECTED}"
    return None


def gpu_bytes(index: Any) -> int:
    """About what an index takes on a GPU, ids included."""
    inner = innermost(index)
    if isinstance(inner, faiss.IndexHNSWCagra):
        row_bytes = inner.storage.sa_code_size() + 4 * inner.hnsw.nb_neighbors(0)
        return int(inner.ntotal * row_bytes)
    return int(inner.ntotal * (inner.code_size + 8) + 4 * inner.nlist * inner.d)


def innermost(index: Any) -> Any:
    """The index behind its transforms, as the class that it is."""
    found = faiss.downcast_index(index)
    while isinstance(found, faiss.IndexPreTransform):
        found = faiss.downcast_index(found.index)
    return found
