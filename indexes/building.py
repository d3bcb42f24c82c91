"""Builds and fills FAISS indexes: float16, plain float32, and any factory string."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.errors import IndexBuildError
from indexes.gpu_build import CAGRA, build_cagra, fill, train_and_fill
from indexes.gpus import Gpus, innermost_index
from indexes.vectors import check_rows

KMEANS_ITERATIONS, ROWS_PER_LIST = 10, 64
"""Limits of k-means; doubling either raises recall by less than 0.002 and doubles the time."""

OPQ_ROWS, OPQ_ITERATIONS = 16_384, 8
"""Limits of OPQ training; FAISS's 50 iterations over 65,536 rows take minutes on two cores."""

ROTATION = re.compile(r"OPQ|ITQ|PCA")
"""Transforms trained on rows. With fewer rows than dimensions, FAISS corrupts its memory."""

CRASHES_FAISS = re.compile(r"(?:HNSW|NSG)[01](?!\d)|IVF0(?!\d)")
"""Factory strings that FAISS accepts, but that abort the process or fail at the first search."""


def build_exact(blocks: Iterable[NDArray[np.floating]], dim: int, *, expected_rows: int = 0) -> Any:
    """Build a float16 FAISS index.

    Args:
        blocks: (rows, dim) float16 or float32 unit vectors, in row order.
        dim: Vector dimension.
        expected_rows: Approximate number of rows; a close upper bound saves memory.

    Raises:
        InvalidVectorError: A row is NaN, infinite or zero.
    """
    index = faiss.IndexScalarQuantizer(
        dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    # Reserve the memory at once: growth by doubling would briefly hold two copies.
    index.codes.resize(expected_rows * index.code_size)
    index.codes.resize(0)
    _fill(index, blocks)
    return index


def build_flat(blocks: Iterable[NDArray[np.floating]], dim: int) -> Any:
    """Build a plain float32 inner-product index that any program with FAISS can read.

    Args:
        blocks: (rows, dim) float16 or float32 unit vectors, in row order.
        dim: Vector dimension.

    Raises:
        InvalidVectorError: A row is NaN, infinite or zero.
    """
    index = faiss.IndexFlatIP(dim)
    _fill(index, blocks)
    return index


def build_approximate(
    factory: str,
    training: NDArray[np.floating],
    blocks: Iterable[NDArray[np.floating]],
    *,
    gpus: Gpus | None = None,
) -> Any:
    """Train and fill an inner-product index described by a FAISS factory string.

    Args:
        factory: FAISS factory string, for example `IVF1024,SQ8`; or `CAGRA`, which needs a GPU.
        training: (rows, dim) training sample.
        blocks: All rows, in order.
        gpus: GPUs for training and list assignment; None uses the CPU. The returned index always
            has its CPU form.

    Raises:
        IndexBuildError: FAISS rejects the string, or the sample is too small for it.
        InvalidVectorError: A row is NaN, infinite or zero.
    """
    sample = np.ascontiguousarray(training, np.float32)
    request = f"{factory!r} for {len(sample)} training rows of dimension {sample.shape[1]}"
    if CRASHES_FAISS.search(factory):
        raise IndexBuildError(f"FAISS cannot build {request}; use more lists or neighbours")
    if ROTATION.search(factory) and len(sample) < sample.shape[1]:
        raise IndexBuildError(
            f"FAISS cannot build {request}: a rotation needs at least as many rows as dimensions"
        )
    try:
        if CAGRA.fullmatch(factory):
            return build_cagra(factory, _checked(blocks), gpus)
        index = faiss.index_factory(sample.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        with _limited_training(index, factory):
            if gpus is not None:
                return train_and_fill(index, sample, _checked(blocks), gpus)
            index.train(sample)
        _fill(index, blocks)
    except (RuntimeError, MemoryError) as error:
        advice = "exact search" if gpus is None else "the CPU"
        raise IndexBuildError(
            f"FAISS refuses {request}: {faiss_reason(error)}; try {advice} or fewer lists"
        ) from error
    return index


def refill(index: Any, blocks: Iterable[NDArray[np.floating]], *, gpus: Gpus | None = None) -> Any:
    """Replace the rows of a trained index, which must not be mapped, without training it again.

    Raises:
        IndexBuildError: The index is a CAGRA graph and there is no GPU.
    """
    inner = innermost_index(index)
    if isinstance(inner, faiss.IndexHNSWCagra):
        return build_cagra(f"CAGRA{inner.hnsw.nb_neighbors(0)}", _checked(blocks), gpus)
    index.reset()
    if gpus is not None:
        fill(index, _checked(blocks), gpus)
    else:
        _fill(index, blocks)
    return index


@contextmanager
def _limited_training(index: Any, factory: str) -> Iterator[None]:
    """Limit the iterations and rows of k-means and OPQ, and train codes for distances only."""
    inner = innermost_index(index)
    if hasattr(inner, "do_polysemous_training"):
        # It sorts codes for Hamming filters, which no search here uses, and takes minutes.
        inner.do_polysemous_training = False
    if hasattr(inner, "pq"):
        inner.pq.cp.min_points_per_centroid = 1  # Otherwise FAISS prints a warning.
    ivf = faiss.try_extract_index_ivf(index)
    if ivf is not None:
        ivf.cp.min_points_per_centroid = 1
        ivf.cp.max_points_per_centroid = ROWS_PER_LIST
        ivf.cp.niter = KMEANS_ITERATIONS
    rotations = [step for step in _transforms(index) if isinstance(step, faiss.OPQMatrix)]
    quantizers = []  # FAISS stores bare pointers: this list keeps the objects alive.
    for rotation in rotations:
        rotation.max_train_points = OPQ_ROWS
        rotation.niter = rotation.niter_pq_0 = OPQ_ITERATIONS
        rotation.niter_pq = OPQ_ITERATIONS // 2
        if "x4" in factory:
            # By default FAISS optimises for 8-bit codes, which takes ten times as long.
            quantizers.append(faiss.ProductQuantizer(rotation.d_out, rotation.M, 4))
            quantizers[-1].cp.min_points_per_centroid = 1
            rotation.pq = quantizers[-1]
    try:
        yield
    finally:
        for rotation in rotations:
            rotation.pq = None


def _transforms(index: Any) -> list[Any]:
    """Return the transforms applied to vectors before the inner index."""
    outer = faiss.downcast_index(index)
    if not isinstance(outer, faiss.IndexPreTransform):
        return []
    return [
        faiss.downcast_VectorTransform(outer.chain.at(number))
        for number in range(outer.chain.size())
    ]


def _fill(index: Any, blocks: Iterable[NDArray[np.floating]]) -> None:
    for rows in _checked(blocks):
        index.add(rows)


def _checked(blocks: Iterable[NDArray[np.floating]]) -> Iterator[NDArray[np.float32]]:
    first = 0
    for block in blocks:
        rows = np.ascontiguousarray(block, np.float32)
        check_rows(rows, first)
        yield rows
        first += len(rows)


def faiss_reason(error: BaseException) -> str:
    """Return the message of a FAISS error on one line, without function names and paths."""
    text = " ".join(str(error).split())
    reason = re.sub(r"^.* at \S+?:\d+: (?:Error: )?", "", text)
    return re.sub(r"^'.*?' failed: (?=\S)", "", reason) or type(error).__name__
