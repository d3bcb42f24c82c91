"""FAISS behind the `VectorIndex` protocol: an exact part, and an approximate part re-ranked by it.

The exact part is a float16 scalar quantizer, which FAISS scans faster than plain float32 rows and
which stays on disk, memory-mapped. The approximate part is any factory string; its candidates are
scored again with the exact part's vectors (IndexRefine).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.errors import IndexBuildError
from indexes.exact import exact_search
from indexes.protocol import Ids, Scores
from indexes.vectors import check_rows, check_search, padded, unit_queries

GATHERED_SHARE = 1 / 256
"""A mask that leaves at most this share of the rows has them copied out and scored in NumPy: below
it that takes less time than testing every row's bit (100,000 x 512: 0.02 ms against 0.28)."""

VISITED_SHARE = 1 / 8
"""Lists that an IVF index visits; text queries need this many for a recall@10 of 0.95."""

SCANNED_SHARE = VISITED_SHARE
"""A mask that leaves at most this share is scanned exactly, at about the cost of an IVF index's
visits; graphs also lose their way where most rows may not answer."""

LEAST_CANDIDATES, MAX_CANDIDATES = 200, 4_096
"""Candidates that the approximate part hands to re-ranking; longer answers are scanned exactly."""

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
    nprobe: int | None = None,
) -> Any:
    """Build and fill any FAISS index for inner products.

    Args:
        factory: FAISS factory string, for example `IVF1024,SQ8`.
        training: (rows, dim) sample to train on.
        blocks: All rows, in order.
        nprobe: Lists to visit, where the index has lists; an eighth of them by default. Saved with
            the index.

    Raises:
        IndexBuildError: FAISS refuses the string, or the sample is too small for it.
        InvalidVectorError: A row is NaN, infinite or zero.
    """
    sample = np.ascontiguousarray(training, np.float32)
    asked = f"{factory!r} for {len(sample)} training rows of {sample.shape[1]} numbers"
    if ENDS_THE_PROCESS.search(factory):
        raise IndexBuildError(f"FAISS cannot build {asked}; name more lists or neighbours")
    try:
        index = faiss.index_factory(sample.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        inverted = faiss.try_extract_index_ivf(index)
        if inverted is not None:
            inverted.cp.min_points_per_centroid = 1  # else FAISS prints a warning
            visited = nprobe or max(8, int(inverted.nlist * VISITED_SHARE))
            inverted.nprobe = min(visited, inverted.nlist)
        index.train(sample)
        _fill(index, blocks)
    except (RuntimeError, MemoryError) as error:
        raise IndexBuildError(
            f"FAISS refuses {asked}: {faiss_reason(error)}; try --kind exact or fewer lists"
        ) from error
    return index


def _fill(index: Any, blocks: Iterable[NDArray[np.floating]]) -> None:
    for block in blocks:
        rows = np.ascontiguousarray(block, np.float32)
        check_rows(rows, index.ntotal)
        index.add(rows)


def faiss_reason(error: BaseException) -> str:
    """The sentence of a FAISS error in one line, without function names and paths around it."""
    text = " ".join(str(error).split())
    said = re.sub(r"^.* at \S+?:\d+: (?:Error: )?", "", text)
    return re.sub(r"^'.*?' failed: (?=\S)", "", said) or type(error).__name__


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
        self._takes_selector = True
        if approximate is not None:
            self._refined = faiss.IndexRefine(approximate, exact)

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

    @property
    def approximates(self) -> bool:
        """Whether an approximate part stands before the exact one."""
        return self._approximate is not None

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
        visited_share: float | None = None,
    ) -> tuple[Scores, Ids]:
        """See `VectorIndex.search`; `exact` leaves the approximate part aside.

        `visited_share` is the share of an IVF index's lists to visit, instead of what it was saved
        with: rows very near to a query lie in few of them.

        An answer is never shorter than the rows allow: where the approximate part finds fewer than
        k, the exact part answers.
        """
        check_search(k, allowed, self.rows)
        unit = unit_queries(queries, self.dim)
        count = self.rows if allowed is None else int(np.count_nonzero(allowed))
        if count == self.rows:
            allowed = None
        wanted = min(k, count)
        if not wanted or not len(unit):
            scores, ids = np.empty((len(unit), 0), np.float32), np.empty((len(unit), 0), np.int64)
        elif allowed is not None and count <= GATHERED_SHARE * self.rows:
            scores, ids = self._search_gathered(unit, wanted, np.flatnonzero(allowed))
        elif exact or not self._approximates(wanted, count):
            scores, ids = _search(self._exact, unit, wanted, _selected(allowed))
        else:
            scores, ids = self._search_and_rerank(unit, wanted, allowed, visited_share)
        return padded(scores, ids, k)

    def _approximates(self, wanted: int, count: int) -> bool:
        """Whether the approximate part is worth asking for `wanted` of `count` allowed rows."""
        return (
            self._approximate is not None
            and wanted <= MAX_CANDIDATES
            and count > SCANNED_SHARE * self.rows
            and (count == self.rows or self._takes_selector)
        )

    def _search_gathered(
        self, unit: NDArray[np.float32], k: int, rows: NDArray[np.int64]
    ) -> tuple[Scores, Ids]:
        scores, ids = exact_search(self.gather(rows), unit, k)
        return scores, rows[ids]

    def _search_and_rerank(
        self,
        unit: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | None,
        visited_share: float | None,
    ) -> tuple[Scores, Ids]:
        """Re-rank generously: compressed scores of text queries are noisy."""
        candidates = max(k, min(MAX_CANDIDATES, max(LEAST_CANDIDATES, k * self._rerank)))
        parameters = faiss.IndexRefineSearchParameters(
            k_factor=min(self.rows, candidates) / k,
            base_index_params=self._selected_candidates(allowed, visited_share),
        )
        try:
            scores, ids = _search(self._refined, unit, k, parameters)
        except RuntimeError:
            if allowed is None:
                raise
            # Some indexes, PQ and NSG among them, take no selector: exact search does.
            self._takes_selector = False
            return _search(self._exact, unit, k, _selected(allowed))
        short = np.flatnonzero(ids[:, -1] < 0)
        if len(short):
            scores[short], ids[short] = _search(self._exact, unit[short], k, _selected(allowed))
        return scores, ids

    def _selected_candidates(
        self, allowed: NDArray[np.bool_] | None, visited_share: float | None
    ) -> Any:
        inverted = faiss.try_extract_index_ivf(self._approximate)
        if inverted is None or (allowed is None and visited_share is None):
            return _selected(allowed)
        visited = inverted.nprobe
        if visited_share is not None:
            visited = min(inverted.nlist, max(8, int(inverted.nlist * visited_share)))
        selector = None if allowed is None else _bitmap(allowed)
        return faiss.SearchParametersIVF(sel=selector, nprobe=visited)


def _search(index: Any, unit: NDArray[np.float32], k: int, parameters: Any) -> tuple[Scores, Ids]:
    """Padding with -inf, and equal scores by row, so that every index orders ties alike."""
    scores, ids = index.search(unit, k, params=parameters)
    missing = ids < 0
    scores = np.where(missing, np.float32(-np.inf), scores)
    order = np.lexsort((np.where(missing, np.iinfo(np.int64).max, ids), -scores), axis=1)
    return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)


def _selected(allowed: NDArray[np.bool_] | None) -> Any:
    return None if allowed is None else faiss.SearchParameters(sel=_bitmap(allowed))


def _bitmap(allowed: NDArray[np.bool_]) -> Any:
    return faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))


def version() -> str:
    """FAISS's version."""
    return str(faiss.__version__)
