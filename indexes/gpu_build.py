"""Trains and fills FAISS indexes with a GPU; the results have their CPU form."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import faiss
import numpy as np
from faiss.contrib.ivf_tools import add_preassigned
from numpy.typing import NDArray

from indexes.errors import IndexBuildError
from indexes.gpus import Gpus, innermost_index, unsupported_reason

ASSIGNED_ROWS: Final = 1 << 17
"""Rows assigned to lists on the GPU at once."""

CAGRA: Final = re.compile(r"CAGRA(\d*)")
"""`CAGRA`, or `CAGRA32` for a graph with 32 neighbours."""

CAGRA_NEIGHBOURS: Final = 64

CAGRA_BUILD_FACTOR: Final = 1.5
"""Memory for building, as a multiple of the size of the rows and both graphs."""


def train_and_fill(
    index: Any, sample: NDArray[np.float32], blocks: Iterable[NDArray[np.float32]], gpus: Gpus
) -> Any:
    """Train an index and assign its rows to lists on a GPU; the rows stay on the CPU.

    The GPU only needs memory for the sample and the centroids. If FAISS has no GPU form of an
    index with lists, only its k-means runs on the GPU.

    Args:
        index: Made by `index_factory`.
        sample: (rows, dim) training sample.
        blocks: All rows, in order, checked.
        gpus: The first one is used.

    Returns:
        The index in its CPU form; may be another object than `index`.
    Raises:
        RuntimeError: An error of FAISS.
    """
    first = replace(gpus, numbers=gpus.numbers[:1])
    ivf = faiss.try_extract_index_ivf(index)
    if unsupported_reason(index) is None:
        on_gpu = first.to_gpu(index)
        clustering = innermost_index(on_gpu).cp
        clustering.niter = ivf.cp.niter
        clustering.max_points_per_centroid = ivf.cp.max_points_per_centroid
        clustering.min_points_per_centroid = ivf.cp.min_points_per_centroid
        on_gpu.train(sample)
        index = first.to_cpu(on_gpu)
    else:
        if ivf is not None:
            # FAISS stores a bare pointer: the variable keeps the object alive.
            clusters = first.to_gpu(faiss.IndexFlatIP(ivf.d), half=False)
            ivf.clustering_index = clusters
        index.train(sample)
        if ivf is not None:
            ivf.clustering_index = None
    fill(index, blocks, first)
    return index


def fill(index: Any, blocks: Iterable[NDArray[np.float32]], gpus: Gpus) -> None:
    """Add rows to a trained CPU index; a GPU assigns them to lists if FAISS supports it."""
    if unsupported_reason(index) is not None:
        for block in blocks:
            index.add(block)
        return
    ivf = faiss.try_extract_index_ivf(index)
    gpus = replace(gpus, numbers=gpus.numbers[:1])
    quantizer = gpus.to_gpu(faiss.downcast_index(ivf.quantizer), half=False)
    for block in blocks:
        for first in range(0, len(block), ASSIGNED_ROWS):
            rows = _transform(index, block[first : first + ASSIGNED_ROWS])
            lists = quantizer.search(rows, 1)[1][:, 0]
            ids = np.arange(index.ntotal, index.ntotal + len(rows))
            add_preassigned(ivf, rows, lists, ids)
            index.ntotal = ivf.ntotal


def _transform(index: Any, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply all transforms of an index to rows."""
    outer = faiss.downcast_index(index)
    while isinstance(outer, faiss.IndexPreTransform):
        for number in range(outer.chain.size()):
            rows = outer.chain.at(number).apply(rows)
        outer = faiss.downcast_index(outer.index)
    return rows


def build_cagra(factory: str, blocks: Iterable[NDArray[np.floating]], gpus: Gpus | None) -> Any:
    """Build `CAGRA` or `CAGRA32` over all rows; returns its CPU form.

    Raises:
        IndexBuildError: There is no GPU, its memory is too small, or the rows are too few.
    """
    if gpus is None:
        raise IndexBuildError(
            f"{factory} is built on a GPU, and none is in use; "
            "use the device cuda, or the kind HNSW32,SQ8"
        )
    match = CAGRA.fullmatch(factory)
    neighbours = int((match and match[1]) or CAGRA_NEIGHBOURS)
    rows = np.concatenate([np.asarray(block, np.float16) for block in blocks])
    if not 0 < neighbours < len(rows) or neighbours % 2:
        raise IndexBuildError(
            f"{factory} over {len(rows)} rows: the neighbours must be an even number below the rows"
        )
    needed = CAGRA_BUILD_FACTOR * (rows.nbytes + 12 * neighbours * len(rows))
    free = gpus.free_bytes()[0]
    if needed > free:
        raise IndexBuildError(
            f"{factory} over {len(rows)} rows takes about {needed / 2**30:.1f} GiB of the GPU, "
            f"{free / 2**30:.1f} are free; use the kind auto, or fewer neighbours"
        )
    return gpus.build_graph(rows, neighbours)
