"""FAISS behind the `VectorIndex` protocol: an exact part, and an approximate part re-ranked by it.

The exact part is a float16 scalar quantizer, which FAISS scans faster than plain float32 rows and
which stays on disk, memory-mapped. The approximate part is any factory string; its candidates are
scored again with the exact part's vectors (IndexRefine).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.errors import IndexBuildError
from indexes.exact import exact_search
from indexes.protocol import Ids, Scores
from indexes.vectors import check_rows, check_search, padded, unit_queries

EXACT_SET_SHARE = 0.02
"""Where a mask leaves at most this share of the rows, they are gathered and scanned exactly."""

EXACT_SET_ROWS = 2_000
"""The same for at most so many rows, whatever their share."""

MAX_CANDIDATES = 4_096
"""Candidates that the approximate part hands to re-ranking at most."""


def build_exact(blocks: Iterable[NDArray[np.floating]], dim: int) -> Any:
    """Fill a float16 FAISS index.

    Args:
        blocks: (rows, dim) float16 or float32 unit vectors, in row order.
        dim: Their length.

    Raises:
        InvalidVectorError: A row is NaN, infinite or zero.
    """
    index = faiss.IndexScalarQuantizer(
        dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    _fill(index, blocks)
    return index


def build_approximate(
    factory: str,
    training: NDArray[np.floating],
    blocks: Iterable[NDArray[np.floating]],
    *,
    nprobe: int = 64,
) -> Any:
    """Build and fill any FAISS index for inner products.

    Args:
        factory: FAISS factory string, for example `IVF1024,SQ8`.
        training: (rows, dim) sample to train on.
        blocks: All rows, in order.
        nprobe: Lists to visit, where the index has lists.

    Raises:
        IndexBuildError: FAISS refuses the string, or the sample is too small for it.
    """
    sample = np.ascontiguousarray(training, np.float32)
    try:
        index = faiss.index_factory(sample.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        index.train(sample)
    except RuntimeError as error:
        raise IndexBuildError(
            f"FAISS refuses {factory!r} for {len(sample)} training rows of {sample.shape[1]} "
            f"numbers: {_reason(error)}; try --kind exact or fewer lists"
        ) from error
    _fill(index, blocks)
    inverted = faiss.try_extract_index_ivf(index)
    if inverted is not None:
        inverted.nprobe = min(nprobe, inverted.nlist)
    return index


def _fill(index: Any, blocks: Iterable[NDArray[np.floating]]) -> None:
    for block in blocks:
        rows = np.ascontiguousarray(block, np.float32)
        check_rows(rows, index.ntotal)
        index.add(rows)


def _reason(error: RuntimeError) -> str:
    """The sentence of a FAISS error, without the function names and paths around it."""
    text = " ".join(str(error).split())
    return text.rpartition("Error: ")[2] or text


class FaissIndex:
    """A `VectorIndex` over one exact and perhaps one approximate FAISS index.

    Args:
        exact: Made by `build_exact`.
        approximate: Made by `build_approximate` over the same rows, or None.
        rerank: Candidates per query that the approximate part proposes, as a multiple of k.
    """

    def __init__(self, exact: Any, approximate: Any | None = None, *, rerank: int = 20) -> None:
        self._exact = exact
        self._approximate = approximate
        self._rerank = rerank

    def with_approximate(self, approximate: Any) -> FaissIndex:
        """The same rows behind an approximate part."""
        return FaissIndex(self._exact, approximate, rerank=self._rerank)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._exact.d)

    @property
    def rows(self) -> int:
        """Number of vectors."""
        return int(self._exact.ntotal)

    def vectors(self, first: int, last: int) -> NDArray[np.float32]:
        """Rows first … last - 1 as the exact part holds them, (last - first, dim)."""
        if last <= first:
            return np.empty((0, self.dim), np.float32)
        found: NDArray[np.float32] = self._exact.reconstruct_n(first, last - first)
        return found

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Any rows, (n, dim) float32."""
        if not len(rows):
            return np.empty((0, self.dim), np.float32)
        found: NDArray[np.float32] = self._exact.reconstruct_batch(rows)
        return found

    def search(
        self,
        queries: NDArray[np.floating],
        k: int,
        *,
        allowed: NDArray[np.bool_] | None = None,
        exact: bool = False,
    ) -> tuple[Scores, Ids]:
        """See `VectorIndex.search`; `exact` leaves the approximate part aside."""
        check_search(k, allowed, self.rows)
        unit = unit_queries(queries, self.dim)
        wanted = min(k, self.rows)
        if wanted == 0:
            return padded(*_nothing(len(unit)), k)
        if allowed is not None:
            count = int(np.count_nonzero(allowed))
            if count <= max(EXACT_SET_ROWS, EXACT_SET_SHARE * self.rows):
                return self._search_few(unit, k, np.flatnonzero(allowed))
            wanted = min(wanted, count)
        if self._approximate is None or exact:
            scores, ids = _search(self._exact, unit, wanted, allowed)
        else:
            scores, ids = self._search_and_rerank(unit, wanted, allowed)
        return padded(scores, ids, k)

    def _search_few(
        self, unit: NDArray[np.float32], k: int, rows: NDArray[np.int64]
    ) -> tuple[Scores, Ids]:
        if not len(rows):
            return padded(*_nothing(len(unit)), k)
        scores, ids = exact_search(self.gather(rows), unit, min(k, len(rows)))
        return padded(scores, rows[ids], k)

    def _search_and_rerank(
        self, unit: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None
    ) -> tuple[Scores, Ids]:
        """Re-rank generously: compressed scores of text queries are noisy (docs/benchmarks.md)."""
        candidates = min(self.rows, max(k, min(MAX_CANDIDATES, max(200, k * self._rerank))))
        refined = faiss.IndexRefine(self._approximate, self._exact)
        refined.own_fields = False
        refined.own_refine_index = False
        parameters = faiss.IndexRefineSearchParameters(k_factor=candidates / k)
        selector = _selector(allowed)
        if selector is not None:
            parameters.base_index_params = self._parameters(selector)
        return _sorted(*refined.search(unit, k, params=parameters))

    def _parameters(self, selector: Any) -> Any:
        inverted = faiss.try_extract_index_ivf(self._approximate)
        if inverted is None:
            return faiss.SearchParameters(sel=selector)
        return faiss.SearchParametersIVF(sel=selector, nprobe=inverted.nprobe)


def _search(
    index: Any, unit: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None
) -> tuple[Scores, Ids]:
    selector = _selector(allowed)
    parameters = None if selector is None else faiss.SearchParameters(sel=selector)
    return _sorted(*index.search(unit, k, params=parameters))


def _selector(allowed: NDArray[np.bool_] | None) -> Any:
    return (
        None if allowed is None else faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
    )


def _sorted(scores: Scores, ids: Ids) -> tuple[Scores, Ids]:
    """Padding with -inf, and equal scores by row, so that every index orders ties alike."""
    scores = np.where(ids < 0, np.float32(-np.inf), scores)
    last = np.where(ids < 0, np.iinfo(np.int64).max, ids)
    order = np.lexsort((last, -scores), axis=1)
    return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)


def _nothing(queries: int) -> tuple[Scores, Ids]:
    return np.empty((queries, 0), np.float32), np.empty((queries, 0), np.int64)


def version() -> str:
    """FAISS's version."""
    return str(faiss.__version__)
