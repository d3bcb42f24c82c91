"""Fills FAISS indexes: the exact one, and any that a factory string names."""

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
from indexes.gpus import Gpus, innermost
from indexes.vectors import check_rows

KMEANS_ITERATIONS, ROWS_PER_LIST = 10, 64
"""Of training the lists: more of either moves recall by less than 0.002 and takes twice as long."""

OPQ_ROWS, OPQ_ITERATIONS = 16_384, 8
"""Of training a rotation: FAISS's own 50 rounds over 65,536 rows take minutes on two cores."""

ROTATION = re.compile(r"OPQ|ITQ|PCA")
"""What is trained on the rows before their index; of fewer rows than numbers FAISS's memory is
damaged."""

ENDS_THE_PROCESS = re.compile(r"(?:HNSW|NSG)[01](?!\d)|IVF0(?!\d)")
"""Factory strings at which FAISS aborts, or fails at the first search, instead of refusing."""


def build_exact(blocks: Iterable[NDArray[np.floating]], dim: int, *, expected_rows: int = 0) -> Any:
    """Fill a float16 FAISS index.

    Args:
        blocks: (rows, dim) float16 or float32 unit vectors, in row order.
        dim: Their length.
        expected_rows: About as many will come; a close upper bound saves memory.

    Raises:
        InvalidVectorError: A row is NaN, infinite or zero.
    """
    index = faiss.IndexScalarQuantizer(
        dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    # Takes the memory once: growing by doubling would hold the vectors twice for a moment.
    index.codes.resize(expected_rows * index.code_size)
    index.codes.resize(0)
    _fill(index, blocks)
    return index


def build_flat(blocks: Iterable[NDArray[np.floating]], dim: int) -> Any:
    """Fill a plain float32 index of inner products, which every program with FAISS reads.

    Args:
        blocks: (rows, dim) float16 or float32 unit vectors, in row order.
        dim: Their length.

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
    """Build and fill any FAISS index for inner products.

    Args:
        factory: FAISS factory string, for example `IVF1024,SQ8`; or `CAGRA`, which needs a GPU.
        training: (rows, dim) sample to train on.
        blocks: All rows, in order.
        gpus: Where to train and to find the rows' lists; the CPU where it is None. The index has
            its CPU form either way.

    Raises:
        IndexBuildError: FAISS refuses the string, or the sample is too small for it.
        InvalidVectorError: A row is NaN, infinite or zero.
    """
    sample = np.ascontiguousarray(training, np.float32)
    asked = f"{factory!r} for {len(sample)} training rows of {sample.shape[1]} numbers"
    if ENDS_THE_PROCESS.search(factory):
        raise IndexBuildError(f"FAISS cannot build {asked}; name more lists or neighbours")
    if ROTATION.search(factory) and len(sample) < sample.shape[1]:
        raise IndexBuildError(f"FAISS cannot build {asked}: a rotation needs a row for each number")
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
        advice = "--kind exact or fewer lists" if gpus is None else "--device cpu or fewer lists"
        raise IndexBuildError(
            f"FAISS refuses {asked}: {faiss_reason(error)}; try {advice}"
        ) from error
    return index


def refill(index: Any, blocks: Iterable[NDArray[np.floating]], *, gpus: Gpus | None = None) -> Any:
    """Fill an index, which must not be mapped, with other rows; what it was trained to stays.

    Raises:
        IndexBuildError: A graph of CAGRA's, and no GPU.
    """
    inner = innermost(index)
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
    """Keep k-means and rotations within what two cores do while people wait."""
    inverted = faiss.try_extract_index_ivf(index)
    if inverted is not None:
        inverted.cp.min_points_per_centroid = 1  # else FAISS prints a warning
        inverted.cp.max_points_per_centroid = ROWS_PER_LIST
        inverted.cp.niter = KMEANS_ITERATIONS
        lists = faiss.downcast_index(inverted)
        if hasattr(lists, "pq"):
            lists.pq.cp.min_points_per_centroid = 1
    rotations = [one for one in _transforms(index) if isinstance(one, faiss.OPQMatrix)]
    codes = []  # FAISS keeps no reference of its own
    for rotation in rotations:
        rotation.max_train_points = OPQ_ROWS
        rotation.niter = rotation.niter_pq_0 = OPQ_ITERATIONS
        rotation.niter_pq = OPQ_ITERATIONS // 2
        if "x4" in factory:
            # It would fit the rotation to codes of eight bits, in ten times the time.
            codes.append(faiss.ProductQuantizer(rotation.d_out, rotation.M, 4))
            codes[-1].cp.min_points_per_centroid = 1
            rotation.pq = codes[-1]
    try:
        yield
    finally:
        for rotation in rotations:
            rotation.pq = None


def _transforms(index: Any) -> list[Any]:
    """What is done to vectors before they come to an index."""
    whole = faiss.downcast_index(index)
    if not isinstance(whole, faiss.IndexPreTransform):
        return []
    return [
        faiss.downcast_VectorTransform(whole.chain.at(number))
        for number in range(whole.chain.size())
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
    """The sentence of a FAISS error in one line, without function names and paths around it."""
    text = " ".join(str(error).split())
    said = re.sub(r"^.* at \S+?:\d+: (?:Error: )?", "", text)
    return re.sub(r"^'.*?' failed: (?=\S)", "", said) or type(error).__name__
