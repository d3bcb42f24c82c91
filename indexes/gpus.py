"""Copies FAISS indexes to GPUs and back, and states which indexes a GPU can search.

Indexes are always saved in their CPU form, so that machines without a GPU can open them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

MAX_SELECTED: Final = 2_048
"""Maximum number of answers per query, and of visited lists, in FAISS's GPU kernels."""

FREE_SHARE: Final = 0.9
"""Share of the free GPU memory to use; the rest is for other libraries."""

WORK_BYTES: Final = 4 << 30
"""Working memory of a search in addition to the rows."""


def usable_bytes(free: int) -> int:
    """Return the memory available for rows or an index on a GPU with `free` bytes free."""
    return max(0, int(FREE_SHARE * free) - WORK_BYTES)


@dataclass(frozen=True, slots=True)
class Gpus:
    """A set of GPUs that can hold indexes.

    Attributes:
        numbers: CUDA device numbers.
        cuvs: Use NVIDIA's cuVS instead of FAISS's own kernels for IVF-Flat and IVF-PQ.
    """

    numbers: tuple[int, ...]
    cuvs: bool = False

    def to_gpu(self, index: Any, *, shard: bool = False, half: bool = True) -> Any:
        """Copy an index to the GPUs: all rows to each, or a share to each.

        A graph is copied to the first GPU only.

        Args:
            index: In its CPU form; may be untrained.
            shard: Divide the rows among the GPUs.
            half: Use float16 in flat indexes and lookup tables.

        Raises:
            RuntimeError: FAISS has no GPU form of the index, or memory is insufficient.
        """
        if isinstance(innermost_index(index), faiss.IndexHNSWCagra):
            return self._graph_to_gpu(faiss.downcast_index(index))
        options = faiss.GpuMultipleClonerOptions()
        options.useFloat16 = half
        options.shard = shard
        options.use_cuvs = self.cuvs and not isinstance(
            innermost_index(index), faiss.IndexIVFScalarQuantizer
        )
        if len(self.numbers) == 1:
            resources = faiss.StandardGpuResources()
            return faiss.index_cpu_to_gpu(resources, self.numbers[0], index, options)
        return faiss.index_cpu_to_gpus_list(index, co=options, gpus=list(self.numbers))

    def _graph_to_gpu(self, graph: Any) -> Any:
        # FAISS's cloner for several GPUs changes the type of a graph.
        settings = faiss.GpuIndexCagraConfig()
        settings.device = self.numbers[0]
        copy = faiss.GpuIndexCagra(
            faiss.StandardGpuResources(), graph.d, graph.metric_type, settings
        )
        copy.copyFrom_ex(graph, faiss.Float16)
        return copy

    def to_cpu(self, index: Any) -> Any:
        """Copy an index back to its CPU form."""
        return faiss.index_gpu_to_cpu(index)

    def free_bytes(self) -> list[int]:
        """Return the free memory of each GPU."""
        import torch

        return [torch.cuda.mem_get_info(number)[0] for number in self.numbers]

    def usable_bytes(self) -> list[int]:
        """Return the memory available for rows or an index on each GPU."""
        return [usable_bytes(free) for free in self.free_bytes()]

    def build_graph(self, rows: NDArray[np.float16], neighbours: int) -> Any:
        """Build a CAGRA graph over (rows, dim) vectors; returns its CPU form, an HNSW index."""
        settings = faiss.GpuIndexCagraConfig()
        settings.device = self.numbers[0]
        settings.graph_degree = neighbours
        settings.intermediate_graph_degree = 2 * neighbours
        built = faiss.GpuIndexCagra(
            faiss.StandardGpuResources(), rows.shape[1], faiss.METRIC_INNER_PRODUCT, settings
        )
        built.train(rows, numeric_type=faiss.Float16)
        graph = faiss.IndexHNSWCagra()
        graph.base_level_only = True  # CAGRA graphs of float16 rows have no upper levels.
        built.copyTo(graph)
        return graph


def unsupported_reason(index: Any, visited: int = 0) -> str | None:
    """Return why a GPU cannot search an index and visit a number of lists; None if it can."""
    inner = innermost_index(index)
    ivf_types = (faiss.IndexIVFFlat, faiss.IndexIVFScalarQuantizer, faiss.IndexIVFPQ)
    if not isinstance(inner, (*ivf_types, faiss.IndexHNSWCagra)):
        return f"FAISS has no GPU form of {type(inner).__name__}"
    if isinstance(inner, faiss.IndexHNSWCagra):
        half = inner.get_numeric_type() == faiss.Float16
        return None if half else "the rows of its graph are not float16"
    if not isinstance(faiss.downcast_index(inner.quantizer), faiss.IndexFlat):
        return "its coarse quantizer only runs on a CPU"
    if isinstance(inner, faiss.IndexIVFPQ) and inner.pq.nbits != 8:
        return f"its codes have {inner.pq.nbits} bits, a GPU supports 8"
    if visited > MAX_SELECTED:
        return f"it visits {visited} lists, a GPU at most {MAX_SELECTED}"
    return None


def gpu_bytes(index: Any) -> int:
    """Return the approximate GPU memory of an index, including ids."""
    inner = innermost_index(index)
    if isinstance(inner, faiss.IndexHNSWCagra):
        row_bytes = inner.storage.sa_code_size() + 4 * inner.hnsw.nb_neighbors(0)
        return int(inner.ntotal * row_bytes)
    return int(inner.ntotal * (inner.code_size + 8) + 4 * inner.nlist * inner.d)


def innermost_index(index: Any) -> Any:
    """Return the index behind all transforms, downcast to its class."""
    inner = faiss.downcast_index(index)
    while isinstance(inner, faiss.IndexPreTransform):
        inner = faiss.downcast_index(inner.index)
    return inner
