"""A `VectorIndex` over FAISS: exact float16 rows and an optional approximate part.

FAISS scans float16 rows faster than float32 ones; they stay on disk, memory-mapped. The approximate
part may be any FAISS index. It proposes rows, which are re-ranked with the exact part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.effort import MAX_CANDIDATES, Effort
from indexes.exact import exact_search, search_all_rows
from indexes.protocol import Ids, Scores
from indexes.routing import MANY_QUERIES, ListRouting, search_lists
from indexes.scoring import best_columns, exact_scores_by_id, rerank_exactly
from indexes.selection import (
    SCANNED_SHARE,
    Selection,
    copy_rows,
    list_factor,
    lists_with_mask,
    select,
)
from indexes.vectors import check_search, no_answers, pad_answers, unit_queries


def default_effort(approximate: Any) -> Effort:
    """Return the effort of an index that was not tuned: 1/8 of its lists, 200 candidates."""
    ivf = faiss.try_extract_index_ivf(approximate)
    return Effort(200 if ivf is None else max(8, ivf.nlist // 8), 200)


class FaissIndex:
    """A `VectorIndex` over one exact and an optional approximate FAISS index.

    Args:
        exact: Built by `build_exact`.
        approximate: Built by `build_approximate` over the same rows, or None.
        effort: Search effort of the approximate part; None for `default_effort`.
        routing: Chooses the lists that each query visits; None visits those of the nearest
            centroids.

    Attributes:
        dim: Vector dimension.
        rows: Number of vectors.
        exact_part: The exact part, a float16 scalar quantizer.
        approximate_part: The approximate part, or None.
        lists: Number of IVF lists of the approximate part; 0 if it has none.
        routing: See above.
    """

    def __init__(
        self,
        exact: Any,
        approximate: Any | None = None,
        effort: Effort | None = None,
        routing: ListRouting | None = None,
    ) -> None:
        self.dim: int = exact.d
        self.rows: int = exact.ntotal
        self.exact_part = exact
        self.approximate_part = approximate
        self.routing = routing
        self.lists = 0
        self._takes_selector = True
        if approximate is not None:
            self.effort = effort or default_effort(approximate)
            ivf = faiss.try_extract_index_ivf(approximate)
            self.lists = ivf.nlist if ivf else 0

    def with_approximate(
        self,
        approximate: Any,
        effort: Effort | None = None,
        routing: ListRouting | None = None,
    ) -> FaissIndex:
        """Return an index of the same rows with another approximate part."""
        return FaissIndex(self.exact_part, approximate, effort, routing)

    def with_effort(self, effort: Effort) -> FaissIndex:
        """Return an index of the same parts with another effort."""
        return FaissIndex(self.exact_part, self.approximate_part, effort, self.routing)

    @property
    def approximate(self) -> bool:
        """Whether there is an approximate part."""
        return self.approximate_part is not None

    def vectors(self, first: int, last: int) -> NDArray[np.float32]:
        """Return rows first … last - 1 of the exact part, (last - first, dim)."""
        if last <= first:
            return np.empty((0, self.dim), np.float32)
        vectors: NDArray[np.float32] = self.exact_part.reconstruct_n(first, last - first)
        return vectors

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the given rows of the exact part, (n, dim) float32."""
        if not len(rows):
            return np.empty((0, self.dim), np.float32)
        vectors: NDArray[np.float32] = self.exact_part.reconstruct_batch(rows)
        return vectors

    def score(self, unit: NDArray[np.float32], ids: Ids) -> Scores:
        """Score unit queries (n, dim) against rows (n, count) in float32; -inf for an id of -1."""
        scores = np.full(ids.shape, -np.inf, np.float32)
        for number, columns, found in self._scan_proposed(unit, ids, ids.shape[1]):
            scores[number, columns] = found
        return scores

    def rerank(self, unit: NDArray[np.float32], ids: Ids, k: int) -> tuple[Scores, Ids]:
        """Return the k best of the given rows (n, count) of each unit query; -1 marks no row."""
        rows = float16_rows(self)

        def rank_all(queries: NDArray[np.int64]) -> tuple[Scores, Ids]:
            proposed = ids[queries]
            return best_columns(exact_scores_by_id(unit[queries], rows, proposed), proposed, k)

        best_by_float32 = partial(self._best_proposed, unit, ids)
        return rerank_exactly(rows, unit, k, ids.shape[1], best_by_float32, rank_all)

    def _best_proposed(self, unit: NDArray[np.float32], ids: Ids, count: int) -> tuple[Scores, Ids]:
        """Return the best of the given rows (n, any) by float32 scores, (n, count), best first."""
        scores = np.full((len(unit), count), -np.inf, np.float32)
        best = np.full((len(unit), count), -1, np.int64)
        for number, columns, found in self._scan_proposed(unit, ids, count):
            width = len(columns)
            scores[number, :width], best[number, :width] = found, ids[number, columns]
        return scores, best

    def _scan_proposed(
        self, unit: NDArray[np.float32], ids: Ids, count: int
    ) -> Iterator[tuple[int, Ids, Scores]]:
        """Yield each query's number, with the columns of its best rows and their float32 scores."""
        for number, (query, proposed) in enumerate(zip(unit[:, None], ids, strict=True)):
            columns = np.flatnonzero(proposed >= 0)
            if len(columns):
                rows = copy_rows(self.exact_part, proposed[columns])
                found, positions = rows.search(query, min(count, len(columns)))
                yield number, columns[positions[0]], found[0]

    def select(self, mask: NDArray[np.bool_]) -> Selection:
        """Prepare a mask, (rows,) bool, for many searches; it must not change afterwards."""
        check_search(1, mask, self.rows)
        return select(self.exact_part, mask)

    def search(
        self,
        queries: NDArray[np.floating],
        k: int,
        *,
        allowed: NDArray[np.bool_] | Selection | None = None,
        exact: bool = False,
        visited_share: float | None = None,
    ) -> tuple[Scores, Ids]:
        """See `VectorIndex.search`.

        If the approximate part returns fewer than k rows, the exact part answers.

        Args:
            queries: (queries, dim).
            k: Rows per query.
            allowed: A mask, or a `Selection` made by `select`, which is faster for repeated use.
            exact: Do not use the approximate part.
            visited_share: Share of the IVF lists to visit instead of the effort's number. Rows
                very near to a query are in few lists.
        """
        check_search(k, allowed.mask if isinstance(allowed, Selection) else allowed, self.rows)
        unit = unit_queries(queries, self.dim)
        if isinstance(allowed, np.ndarray):
            allowed = select(self.exact_part, allowed, single_use=True)
        count = self.rows if allowed is None else allowed.count
        if count == self.rows:
            allowed = None
        width = min(k, count)
        if not width or not len(unit):
            return no_answers(len(unit), k)
        if allowed is not None and allowed.ids is not None:
            scores, positions = _scan(allowed.vectors, unit, width)
            ids = allowed.ids[positions]
        elif exact or not self._uses_approximate(width, allowed):
            scores, ids = self._search_exactly(unit, width, allowed)
        else:
            scores, ids = self._search_and_rerank(unit, width, allowed, visited_share)
        return pad_answers(scores, ids, k)

    def _uses_approximate(self, k: int, allowed: Selection | None) -> bool:
        """Whether the approximate part is faster than an exact scan."""
        if self.approximate_part is None or k > MAX_CANDIDATES:
            return False
        if allowed is None:
            return True
        if self.lists:
            faster = lists_with_mask(self.effort.visited, allowed.share) < self.lists
        else:
            faster = allowed.share > SCANNED_SHARE
        return faster and self._takes_selector

    def _search_exactly(
        self, unit: NDArray[np.float32], k: int, allowed: Selection | None
    ) -> tuple[Scores, Ids]:
        """Scan the rows for each query, or use matrix products for many queries."""
        if len(unit) < MANY_QUERIES:
            return _scan(self.exact_part, unit, k, allowed)
        mask = None if allowed is None else allowed.mask
        return exact_search(float16_rows(self), unit, k, allowed=mask)

    def propose(
        self,
        unit: NDArray[np.float32],
        count: int,
        effort: Effort,
        allowed: Selection | None = None,
        *,
        scale: float = 1.0,
    ) -> Ids:
        """Search the approximate part without re-ranking; (queries, count), best first, -1 padded.

        Args:
            unit: (queries, dim) of unit length.
            count: Rows per query.
            effort: Which lists to visit; its candidates do not count.
            allowed: Rows that may be answers; None allows all.
            scale: Multiplies the number of routed lists.
        """
        part = self.approximate_part
        assert part is not None
        if self.routing is not None and effort.margin is not None:
            selector = None
            if allowed is not None:
                selector, scale = allowed.selector(), scale * list_factor(allowed.share)
            lists = self.routing.lists(unit, effort.margin, factor=scale)
            return search_lists(part, unit, count, lists, selector)
        parameters = _parameters(part, max(effort.visited, 1), allowed)
        ids: Ids = part.search(unit, count, params=parameters)[1]
        return ids

    def _search_and_rerank(
        self,
        unit: NDArray[np.float32],
        k: int,
        allowed: Selection | None,
        visited_share: float | None,
    ) -> tuple[Scores, Ids]:
        effort, candidates = self.effort, min(self.rows, self.effort.candidates_for(k))
        if visited_share is not None and self.lists:
            effort = Effort(max(8, int(self.lists * visited_share)), candidates)

        try:
            with _threads_for(len(unit)):
                proposed = self.propose(
                    unit, candidates, effort, allowed, scale=effort.scale_for(k)
                )
                scores, ids = self.rerank(unit, proposed, k)
        except RuntimeError:
            if allowed is None:
                raise
            # Some indexes, such as plain PQ and NSG, do not support selectors.
            self._takes_selector = False
            return self._search_exactly(unit, k, allowed)
        short = np.flatnonzero(ids[:, -1] < 0)
        if len(short):
            scores[short], ids[short] = self._search_exactly(unit[short], k, allowed)
        return scores, ids


@contextmanager
def _threads_for(queries: int) -> Iterator[None]:
    """Use one thread of FAISS for one query.

    The parts of a single search take 0.1 ms each. Waiting for a second thread takes several
    milliseconds if another library occupies its core, as OpenBLAS does for a while after each use.
    """
    threads = faiss.omp_get_max_threads()  # a setting of each Python thread
    if queries == 1:
        faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def _parameters(index: Any, visited: int, allowed: Selection | None) -> Any:
    """Return FAISS's search parameters for an index; None if it takes none."""
    outer = faiss.downcast_index(index)
    if isinstance(outer, faiss.IndexPreTransform):
        inner = _parameters(outer.index, visited, allowed)
        return inner and faiss.SearchParametersPreTransform(index_params=inner)
    share, selector = 1.0, {}
    if allowed is not None:
        share, selector = allowed.share, {"sel": allowed.selector()}
    if isinstance(outer, faiss.IndexIVF):
        lists = min(lists_with_mask(visited, share), outer.nlist)
        return faiss.SearchParametersIVF(nprobe=lists, **selector)
    if isinstance(outer, faiss.IndexHNSW):
        # Excluded rows are traversed as well and take up space in the search queue.
        return faiss.SearchParametersHNSW(efSearch=math.ceil(visited / share), **selector)
    return faiss.SearchParameters(**selector) if selector else None


def _search(index: Any, unit: NDArray[np.float32], k: int, parameters: Any) -> tuple[Scores, Ids]:
    """Search a FAISS index; approximate scores, best first, padded with -inf and -1."""
    scores, ids = index.search(unit, k, params=parameters)
    return np.where(ids < 0, np.float32(-np.inf), scores), ids


def _scan(
    exact: Any, unit: NDArray[np.float32], k: int, allowed: Selection | None = None
) -> tuple[Scores, Ids]:
    """Search exactly with FAISS's scan of float16 rows."""
    count, parameters, row_ids = exact.ntotal, None, None
    if allowed is not None:
        count = allowed.count
        parameters = faiss.SearchParameters(sel=allowed.selector())
        row_ids = np.flatnonzero(allowed.mask)
    rows = _float16_codes(exact)
    return rerank_exactly(
        rows,
        unit,
        k,
        count,
        lambda width: _search(exact, unit, width, parameters),
        lambda queries: search_all_rows(rows, unit[queries], k, row_ids),
    )


def float16_rows(index: FaissIndex) -> NDArray[np.float16]:
    """Return a view of the exact part's rows, (rows, dim), valid as long as the index."""
    return _float16_codes(index.exact_part)


def _float16_codes(exact: Any) -> NDArray[np.float16]:
    codes = faiss.rev_swig_ptr(exact.codes.data(), exact.ntotal * exact.code_size)
    rows: NDArray[np.float16] = codes.view(np.float16).reshape(exact.ntotal, exact.d)
    return rows


def version() -> str:
    """Return the version of FAISS."""
    return str(faiss.__version__)
