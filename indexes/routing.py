"""Chooses the lists of an inverted file that a query visits, by an estimate of their best scores.

FAISS visits the lists with the nearest centroids, the same number for every query. A text is near
none of them, and its neighbours are rather in large, loose lists than in small, dense ones. The
estimate takes that into account: it is the product of the query and the mean of the list's rows,
plus the difference between the best and the mean score of its rows, which is measured with queries
of the tuning sample.

The number of lists depends on the query, too. Lists are visited in the order of their estimates as
long as gap · √rank is at most a margin, where the gap is the difference to the highest estimate. A
fixed rank and a fixed gap visited more rows at equal recall (docs/explanation/indexing.md).

Source of the idea: Bruch, Krishnan, Nardini, "Optimistic Query Routing in Clustering-based
Approximate Maximum Inner Product Search", 2405.12207. It derives the difference from a covariance
of each list; here it is measured.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.errors import IndexFileError
from indexes.gpus import innermost_index
from indexes.protocol import Ids, Scores

MEASURED_QUERIES = 128
"""Number of queries with which lists are measured."""

OPTIMISM = 1.2
"""Factor of the measured differences. The lists that hold a query's neighbours exceed their mean by
more than they do for other queries; 1 to 1.4 visit about as few rows."""

MANY_QUERIES = 20
"""From this batch size on, matrix products are faster than FAISS's loop over float32 or float16
rows. FAISS switches at the same size for float32 rows."""

MEASURED_NUMBERS = 1 << 24
"""Maximum number of estimates from which a margin is derived: 64 MiB."""


class ListRouting:
    """Estimates the best score of each inverted list.

    Args:
        table: (lists, dim + 1) float32: the mean of a list's rows, and the number added to its
            product with a query; -inf for an empty list.
    """

    def __init__(self, table: NDArray[np.float32]) -> None:
        self.table = table
        self._root_ranks = np.sqrt(np.arange(1, len(table) + 1, dtype=np.float32))

    @classmethod
    def measure(
        cls, approximate: Any, rows: NDArray[np.floating], queries: NDArray[np.float32]
    ) -> ListRouting | None:
        """Measure the lists of an index.

        Args:
            approximate: An index of FAISS, filled.
            rows: (rows, dim) all of its rows.
            queries: (n, dim) of unit length, of the type that is more difficult.

        Returns:
            None if the index has no lists, or if they have no centroids to score rows against.
        """
        ivf = routable(approximate)
        if ivf is None:
            return None
        directions = queries[:MEASURED_QUERIES].T
        table = np.zeros((ivf.nlist, rows.shape[1] + 1), np.float32)
        table[:, -1] = -np.inf
        for number in range(ivf.nlist):
            size = ivf.invlists.list_size(number)
            if size:
                ids = faiss.rev_swig_ptr(ivf.invlists.get_ids(number), size)
                members = rows[ids].astype(np.float32)
                scores = members @ directions
                table[number, :-1] = members.mean(axis=0)
                table[number, -1] = OPTIMISM * (scores.max(axis=0) - scores.mean(axis=0)).mean()
        return cls(table)

    @classmethod
    def open(cls, path: Path, approximate: Any) -> ListRouting:
        """Map a file written by `write`.

        Raises:
            IndexFileError: The file is missing, damaged, or of another index.
        """
        ivf = routable(approximate)
        try:
            table = np.load(path, mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            reason = " ".join(str(error).split())
            raise IndexFileError(
                f"{path} cannot be read ({reason}); build the index again"
            ) from error
        expected = None if ivf is None else (ivf.nlist, approximate.d + 1)
        if table.dtype != np.float32 or table.shape != expected or np.isnan(table).any():
            raise IndexFileError(
                f"{path} is damaged ({table.dtype} of shape {table.shape}, expected float32 of "
                f"shape {expected} without NaN); build the index again"
            )
        return cls(table)

    def write(self, path: Path) -> None:
        """Write the table."""
        np.save(path, self.table)

    def estimates(self, unit: NDArray[np.float32]) -> Scores:
        """Estimate the best score of each list, (queries, lists).

        Args:
            unit: (queries, dim) of unit length.
        """
        extended = np.ones((len(unit), self.table.shape[1]), np.float32)
        extended[:, :-1] = unit
        if len(unit) >= MANY_QUERIES:
            products: Scores = extended @ self.table.T
            return products
        # The threads of BLAS would wait for each other longer than this takes.
        scores: Scores = faiss.pairwise_distances(extended, self.table, faiss.METRIC_INNER_PRODUCT)
        return scores

    def margins(self, unit: NDArray[np.float32], visited: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the margins at which queries visit numbers of lists on average.

        Args:
            unit: (queries, dim) of unit length; of many lists, only the first ones count.
            visited: Mean numbers of lists per query.
        """
        lists = len(self.table)
        estimates = self.estimates(unit[: max(1, MEASURED_NUMBERS // lists)])
        gaps = np.sort(_gaps(estimates), axis=1)
        products = np.sort((gaps * self._root_ranks).ravel())
        places = np.minimum(np.asarray(visited) * len(estimates), len(products)) - 1
        margins: NDArray[np.float32] = np.minimum(products[places], np.finfo(np.float32).max)
        return margins

    def lists(self, unit: NDArray[np.float32], margin: float, *, factor: float = 1.0) -> Ids:
        """Return the lists to visit, (queries, most lists of a query), padded with -1.

        Args:
            unit: (queries, dim) of unit length.
            margin: Highest product of gap and root of the rank.
            factor: Multiplies the number of lists of each query.
        """
        chosen = [self._chosen(gaps, margin, factor) for gaps in _gaps(self.estimates(unit))]
        if len(chosen) == 1:
            return chosen[0][None]
        lists = np.full((len(chosen), max(map(len, chosen))), -1, np.int64)
        for row, numbers in zip(lists, chosen, strict=True):
            row[: len(numbers)] = numbers
        return lists

    def _chosen(self, gaps: NDArray[np.float32], margin: float, factor: float) -> Ids:
        """Return the lists of one query, the best first."""
        ordered = np.sort(gaps)
        count = int(np.count_nonzero(ordered * self._root_ranks <= margin))
        if factor != 1:
            count = min(math.ceil(factor * count), len(gaps))
        # Sorting only the numbers of the lists to visit takes a third of sorting all.
        chosen = np.flatnonzero(gaps <= ordered[count - 1])
        return chosen[gaps[chosen].argsort(kind="stable")]


def _gaps(estimates: Scores) -> Scores:
    """Return the differences to the highest estimate of each query."""
    gaps: Scores = estimates.max(axis=1, keepdims=True) - estimates
    return gaps


def routable(approximate: Any) -> Any | None:
    """Return the inverted file of an index if its centroids are compared exactly; else None."""
    inner = innermost_index(approximate)
    if not isinstance(inner, faiss.IndexIVF):
        return None
    return inner if isinstance(faiss.downcast_index(inner.quantizer), faiss.IndexFlat) else None


def search_lists(
    approximate: Any, unit: NDArray[np.float32], k: int, lists: Ids, selector: Any = None
) -> Ids:
    """Search given lists; (queries, k) ids by approximate scores, best first, padded with -1.

    Args:
        approximate: An index whose inverted file is `routable`, possibly behind transforms.
        unit: (queries, dim).
        k: Rows per query.
        lists: (queries, count) numbers of lists, -1 for none.
        selector: FAISS selector of allowed rows; None allows all.
    """
    queries, index = unit, faiss.downcast_index(approximate)
    while isinstance(index, faiss.IndexPreTransform):
        for number in range(index.chain.size()):
            queries = faiss.downcast_VectorTransform(index.chain.at(number)).apply(queries)
        index = faiss.downcast_index(index.index)
    lists = np.ascontiguousarray(lists)
    (count, width), pointer = lists.shape, faiss.swig_ptr
    # Codes of residuals need the product of query and centroid.
    products = np.empty(lists.shape, np.float32)
    faiss.downcast_index(index.quantizer).compute_distance_subset(
        count, pointer(queries), width, pointer(products), pointer(lists)
    )
    scores, ids = np.empty((count, k), np.float32), np.empty((count, k), np.int64)
    parameters = faiss.SearchParametersIVF(nprobe=width)
    if selector is not None:
        parameters.sel = selector
    # FAISS's Python method takes the number of lists from the index, which threads share.
    index.search_preassigned_c(
        count, pointer(queries), k, pointer(lists), pointer(products), pointer(scores),
        pointer(ids), False, parameters,
    )  # fmt: skip
    return ids
