"""Indexes trained and filled with a GPU's help; what comes out has its CPU form."""

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
from indexes.gpus import Gpus, innermost, unsuitable

ASSIGNED_ROWS: Final = 1 << 17
"""Rows that go to the GPU at once to find their lists."""

CAGRA: Final = re.compile(r"CAGRA(\d*)")
"""`CAGRA`, or `CAGRA32` for a graph of 32 neighbours."""

CAGRA_NEIGHBOURS: Final = 64

CAGRA_BUILD_FACTOR: Final = 1.5
"""What building takes, as a multiple of the rows and both of its graphs."""


def train_and_fill(
    index: Any, sample: NDArray[np.float32], blocks: Iterable[NDArray[np.float32]], gpus: Gpus
) -> Any:
    """Train an index on a GPU, and find its rows' lists there; the rows stay on the CPU.

    So the GPU's memory has to hold the sample and the centroids only. Where FAISS has no GPU form
    of the index, k-means at least runs there, for anything with lists.

    Args:
        index: As `index_factory` makes it.
        sample: (rows, dim) to train on.
        blocks: All rows, in order, checked.
        gpus: The first one is used.

    Returns:
        The index in its CPU form; not always the object that was given.
    Raises:
        RuntimeError: FAISS's reason.
    """
    first = replace(gpus, numbers=gpus.numbers[:1])
    inverted = faiss.try_extract_index_ivf(index)
    if unsuitable(index) is None:
        on_gpu = first.place(index)
        clustering = innermost(on_gpu).cp
        clustering.niter = inverted.cp.niter
        clustering.max_points_per_centroid = inverted.cp.max_points_per_centroid
        clustering.min_points_per_centroid = inverted.cp.min_points_per_centroid
        on_gpu.train(sample)
        index = first.fetch(on_gpu)
        inverted = faiss.try_extract_index_ivf(index)
    else:
        if inverted is not None:
            # FAISS holds a bare pointer: the name keeps the index alive.
            clusters = first.place(faiss.IndexFlatIP(inverted.d), half=False)
            inverted.clustering_index = clusters
        index.train(sample)
        if inverted is not None:
            inverted.clustering_index = None
    fill(index, blocks, first)
    return index


def fill(index: Any, blocks: Iterable[NDArray[np.float32]], gpus: Gpus) -> None:
    """Add rows to a trained index on the CPU; a GPU finds their lists where FAISS lets it."""
    if unsuitable(index) is not None:
        for block in blocks:
            index.add(block)
        return
    inverted = faiss.try_extract_index_ivf(index)
    gpus = replace(gpus, numbers=gpus.numbers[:1])
    quantizer = gpus.place(faiss.downcast_index(inverted.quantizer), half=False)
    for block in blocks:
        for first in range(0, len(block), ASSIGNED_ROWS):
            rows = _transformed(index, block[first : first + ASSIGNED_ROWS])
            lists = quantizer.search(rows, 1)[1][:, 0]
            ids = np.arange(index.ntotal, index.ntotal + len(rows))
            add_preassigned(inverted, rows, lists, ids)
            index.ntotal = inverted.ntotal


def _transformed(index: Any, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows as the innermost index sees them."""
    outer = faiss.downcast_index(index)
    while isinstance(outer, faiss.IndexPreTransform):
        for number in range(outer.chain.size()):
            rows = outer.chain.at(number).apply(rows)
        outer = faiss.downcast_index(outer.index)
    return rows


def build_cagra(factory: str, blocks: Iterable[NDArray[np.floating]], gpus: Gpus | None) -> Any:
    """Build `CAGRA` or `CAGRA32` over all rows, as the CPU form that any machine opens.

    Raises:
        IndexBuildError: There is no GPU, or it refuses.
    """
    if gpus is None:
        raise IndexBuildError(
            f"{factory} is built on a GPU, and none is in use here: "
            "try --device cuda, or --kind HNSW32,SQ8"
        )
    wanted = CAGRA.fullmatch(factory)
    neighbours = int((wanted and wanted[1]) or CAGRA_NEIGHBOURS)
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
            f"{free / 2**30:.1f} are free; try --kind auto, or fewer neighbours"
        )
    return gpus.build_graph(rows, neighbours)
