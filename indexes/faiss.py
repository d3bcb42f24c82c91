"""FAISS behind the `VectorIndex` protocol: an exact part, and an approximate part re-ranked by it.

The exact part is a float16 scalar quantizer, which FAISS scans faster than plain float32 rows and
which stays on disk, memory-mapped. The approximate part is any factory string; its candidates are
scored again with the exact part's vectors (IndexRefine).
"""

from __future__ import annotations

import math
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.effort import MAX_CANDIDATES, Effort
from indexes.exact import exact_in_full, exact_search
from indexes.protocol import Ids, Scores
from indexes.scoring import best_columns, near, scores_of_each, settled
from indexes.selection import SCANNED_SHARE, Selection, grown, select
from indexes.vectors import check_search, padded, unit_queries

MANY_QUERIES = 20
"""From so many on, widening blocks of rows for a matrix product is faster than a scan for each
query; FAISS changes over at as many where rows are float32."""

SCORED_QUERIES = 16
"""Queries whose candidates' vectors are read at once: 1,600 candidates of 512 take 52 MiB."""


def usual_effort(approximate: Any) -> Effort:
    """What an index is given that was not tuned: an eighth of its lists, 200 candidates."""
    inverted = faiss.try_extract_index_ivf(approximate)
    return Effort(200 if inverted is None else max(8, inverted.nlist // 8), 200)


class FaissIndex:
    """A `VectorIndex` over one exact and perhaps one approximate FAISS index.

    Args:
        exact: Made by `build_exact`.
        approximate: Made by `build_approximate` over the same rows, or None.
        effort: How hard the approximate part looks; None: as usual.
    """

    def __init__(
        self, exact: Any, approximate: Any | None = None, effort: Effort | None = None
    ) -> None:
        self._exact = exact
        self._approximate = approximate
        self._takes_selector = True
        if approximate is not None:
            self.effort = effort or usual_effort(approximate)
            self._refined = faiss.IndexRefine(approximate, exact)

    def with_approximate(self, approximate: Any, effort: Effort | None = None) -> FaissIndex:
        """The same rows behind an approximate part."""
        return FaissIndex(self._exact, approximate, effort)

    def with_effort(self, effort: Effort) -> FaissIndex:
        """The same parts, searched more or less hard."""
        return FaissIndex(self._exact, self._approximate, effort)

    @property
    def exact_part(self) -> Any:
        """The exact part, a float16 scalar quantizer."""
        return self._exact

    @property
    def approximate_part(self) -> Any | None:
        """The approximate part."""
        return self._approximate

    @property
    def approximate(self) -> bool:
        """Whether there is an approximate part."""
        return self._approximate is not None

    @property
    def lists(self) -> int:
        """Lists of the approximate part; 0 where it has none."""
        inverted = self._approximate and faiss.try_extract_index_ivf(self._approximate)
        return int(inverted.nlist) if inverted else 0

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

    def score(self, unit: NDArray[np.float32], ids: Ids) -> Scores:
        """Rough scores of unit queries (n, dim) and rows (n, count); -inf for an id of -1."""
        scores = np.full(ids.shape, -np.inf, np.float32)
        for first in range(0, len(unit) if self.rows else 0, SCORED_QUERIES):
            block = slice(first, first + SCORED_QUERIES)
            rows = self.gather(ids[block].clip(0).ravel()).reshape(*ids[block].shape, -1)
            scores[block] = np.einsum("nkd,nd->nk", rows, unit[block])
        scores[ids < 0] = -np.inf
        return scores

    def ranked(self, unit: NDArray[np.float32], ids: Ids, k: int) -> tuple[Scores, Ids]:
        """The k best of some rows of each unit query, (n, count), -1 for none."""
        best = best_columns(self.score(unit, ids), ids, min(ids.shape[1], near(k)))[1]
        return best_columns(scores_of_each(unit, half_rows(self), best), best, k)

    def select(self, mask: NDArray[np.bool_]) -> Selection:
        """Prepare a mask, (rows,) bool, for many searches; it must not change afterwards."""
        check_search(1, mask, self.rows)
        return select(self._exact, mask)

    def search(
        self,
        queries: NDArray[np.floating],
        k: int,
        *,
        allowed: NDArray[np.bool_] | Selection | None = None,
        exact: bool = False,
        visited_share: float | None = None,
    ) -> tuple[Scores, Ids]:
        """See `VectorIndex.search`; `exact` leaves the approximate part aside.

        `visited_share` is the share of an IVF index's lists to visit, instead of its effort's: rows
        very near to a query lie in few of them.

        A mask that is used more than once should be made a `Selection` by `select`. An answer is
        never shorter than the rows allow: where the approximate part finds fewer than k, the exact
        part answers.
        """
        check_search(k, allowed.mask if isinstance(allowed, Selection) else allowed, self.rows)
        unit = unit_queries(queries, self.dim)
        if isinstance(allowed, np.ndarray):
            allowed = select(self._exact, allowed, once=True)
        count = self.rows if allowed is None else allowed.count
        if count == self.rows:
            allowed = None
        wanted = min(k, count)
        if not wanted or not len(unit):
            scores, ids = np.empty((len(unit), 0), np.float32), np.empty((len(unit), 0), np.int64)
        elif allowed is not None and allowed.ids is not None:
            scores, places = _scanned(allowed.vectors, unit, wanted)
            ids = allowed.ids[places]
        elif exact or not self._approximates(wanted, allowed):
            scores, ids = self._scan(unit, wanted, allowed)
        else:
            scores, ids = self._search_and_rerank(unit, wanted, allowed, visited_share)
        return padded(scores, ids, k)

    def _approximates(self, wanted: int, allowed: Selection | None) -> bool:
        """Whether the approximate part is worth asking for `wanted` of the allowed rows."""
        if self._approximate is None or wanted > MAX_CANDIDATES:
            return False
        if allowed is None:
            return True
        if self.lists:
            few = grown(self.effort.visited, allowed.share) < self.lists
        else:
            few = allowed.share > SCANNED_SHARE
        return few and self._takes_selector

    def _scan(
        self, unit: NDArray[np.float32], k: int, allowed: Selection | None
    ) -> tuple[Scores, Ids]:
        """Exact search: query by query, or by matrix products where there are many queries."""
        if len(unit) < MANY_QUERIES:
            return _scanned(self._exact, unit, k, allowed)
        mask = None if allowed is None else allowed.mask
        return exact_search(half_rows(self), unit, k, allowed=mask)

    def propose(self, unit: NDArray[np.float32], count: int, visited: int) -> Ids:
        """What the approximate part alone proposes, (queries, count), best first, -1 for none."""
        parameters = _parameters(self._approximate, max(visited, 1), None)
        ids: Ids = self._approximate.search(unit, count, params=parameters)[1]  # type: ignore[union-attr]
        return ids

    def _search_and_rerank(
        self,
        unit: NDArray[np.float32],
        k: int,
        allowed: Selection | None,
        visited_share: float | None,
    ) -> tuple[Scores, Ids]:
        """Re-rank generously: compressed scores of text queries are noisy."""
        visited = self.effort.visited
        if visited_share is not None and self.lists:
            visited = max(8, int(self.lists * visited_share))
        candidates = min(self.rows, self.effort.candidates_for(k))
        base = _parameters(self._approximate, visited, allowed)

        def find(asking: NDArray[np.float32], count: int) -> tuple[Scores, Ids]:
            parameters = faiss.IndexRefineSearchParameters(
                k_factor=candidates / count, base_index_params=base
            )
            return _search(self._refined, asking, count, parameters)

        try:
            scores, ids = settled(half_rows(self), unit, k, candidates, find)
        except RuntimeError:
            if allowed is None:
                raise
            # Some indexes, plain PQ and NSG among them, take no selector: exact search does.
            self._takes_selector = False
            return self._scan(unit, k, allowed)
        short = np.flatnonzero(ids[:, -1] < 0)
        if len(short):
            scores[short], ids[short] = self._scan(unit[short], k, allowed)
        return scores, ids


def _parameters(index: Any, visited: int, allowed: Selection | None) -> Any:
    """FAISS's search parameters for any kind of index; None where it takes none."""
    whole = faiss.downcast_index(index)
    if isinstance(whole, faiss.IndexPreTransform):
        inner = _parameters(whole.index, visited, allowed)
        return inner and faiss.SearchParametersPreTransform(index_params=inner)
    share, chosen = 1.0, {}
    if allowed is not None:
        share, chosen = allowed.share, {"sel": allowed.selector()}
    if isinstance(whole, faiss.IndexIVF):
        lists = min(grown(visited, share), whole.nlist)
        return faiss.SearchParametersIVF(nprobe=lists, **chosen)
    if isinstance(whole, faiss.IndexHNSW):
        # Rows that may not answer lead on to others, but fill the view as much.
        return faiss.SearchParametersHNSW(efSearch=math.ceil(visited / share), **chosen)
    return faiss.SearchParameters(**chosen) if chosen else None


def _search(index: Any, unit: NDArray[np.float32], k: int, parameters: Any) -> tuple[Scores, Ids]:
    """Rough scores, best first, padded with -inf and -1."""
    scores, ids = index.search(unit, k, params=parameters)
    return np.where(ids < 0, np.float32(-np.inf), scores), ids


def _scanned(
    index: Any, unit: NDArray[np.float32], k: int, allowed: Selection | None = None
) -> tuple[Scores, Ids]:
    """Exact search by FAISS's scan of float16 rows."""
    count, parameters = index.ntotal, None
    if allowed is not None:
        count = allowed.count
        parameters = faiss.SearchParameters(sel=allowed.selector())
    among = None if allowed is None else np.flatnonzero(allowed.mask)
    rows = _codes(index)
    return settled(
        rows,
        unit,
        k,
        count,
        lambda asking, wanted: _search(index, asking, wanted, parameters),
        lambda asking: exact_in_full(rows, asking, k, among),
    )


def half_rows(index: FaissIndex) -> NDArray[np.float16]:
    """The exact part's rows over its own memory, (rows, dim), valid as long as the index."""
    return _codes(index.exact_part)


def _codes(exact: Any) -> NDArray[np.float16]:
    codes = faiss.rev_swig_ptr(exact.codes.data(), exact.ntotal * exact.code_size)
    rows: NDArray[np.float16] = codes.view(np.float16).reshape(exact.ntotal, exact.d)
    return rows


def version() -> str:
    """FAISS's version."""
    return str(faiss.__version__)
