"""Equal rows lie in an index once, and are returned together.

Graphs lose their way among equal rows: links lead from twin to twin, so that building NSG does not
end and HNSW misses a third of the rows. Lists of codes rank them by chance. So an index holds each
vector once, whatever its kind, and what it finds stands for all rows of that vector.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.faiss import FaissIndex
from indexes.gpu import DeviceIndex
from indexes.protocol import Ids, Scores
from indexes.selection import Selection
from indexes.vectors import check_search, padded


class Digests:
    """Finds equal rows of float16 as they stream by: 16 bytes are kept of each."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def of(self, blocks: Iterable[NDArray[np.float16]]) -> Iterator[NDArray[np.float16]]:
        """Hand blocks on, (rows, dim) each."""
        for block in blocks:
            rows = np.ascontiguousarray(block)
            self._parts.append(
                b"".join(hashlib.blake2b(row, digest_size=16).digest() for row in rows)
            )
            yield block

    def places(self) -> Ids | None:
        """(rows,) the number of each row's vector, by first appearance; None where all differ."""
        if not any(self._parts):
            return None
        pairs = np.frombuffer(b"".join(self._parts), np.uint64).reshape(-1, 2)
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        new = np.ones(len(pairs), np.bool_)
        new[1:] = (pairs[order[1:]] != pairs[order[:-1]]).any(axis=1)
        if new.all():
            return None
        # The sort is stable, so the first of equal rows is the one that appeared first.
        firsts = order[new][np.cumsum(new) - 1]
        first_of = np.empty(len(pairs), np.int64)
        first_of[order] = firsts
        return np.unique(first_of, return_inverse=True)[1].astype(np.int64)


def drop_twins(exact: Any, places: Ids) -> None:
    """Keep the first row of each vector in an exact part in memory.

    Args:
        exact: Made by `indexes.building.build_exact`.
        places: Made by `Digests.places` of its rows.
    """
    import faiss

    firsts = np.unique(places, return_index=True)[1]
    codes = faiss.rev_swig_ptr(exact.codes.data(), exact.ntotal * exact.code_size)
    rows = codes.reshape(exact.ntotal, exact.code_size)
    for start in range(0, len(firsts), 4_096):
        some = firsts[start : start + 4_096]  # each lies where it goes to, or behind
        rows[start : start + len(some)] = rows[some]
    exact.codes.resize(len(firsts) * exact.code_size)
    exact.ntotal = len(firsts)


@dataclass(frozen=True, slots=True, eq=False)
class TwinSelection(Selection):
    """Rows that may answer, and the vectors of these rows."""

    distinct: Selection | None = None

    @property
    def bytes(self) -> int:
        """Memory that it holds."""
        held = 0 if self.distinct is None else self.distinct.bytes
        return int(self.mask.nbytes + self.bits.nbytes) + held


class TwinIndex:
    """Rows some of which are equal, over an index of their vectors; as `FaissIndex`.

    Args:
        index: Each vector once, in the order of first appearance.
        places: (rows,) the number of each row's vector.
    """

    def __init__(self, index: FaissIndex | DeviceIndex, places: Ids) -> None:
        self._index = index
        self._places = places
        self._rows = np.argsort(places, kind="stable")
        self._starts = np.searchsorted(places[self._rows], np.arange(index.rows + 1))

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._index.dim

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self._places)

    @property
    def approximate(self) -> bool:
        """See `FaissIndex.approximate`."""
        return self._index.approximate

    def vectors(self, first: int, last: int) -> NDArray[np.float32]:
        """See `FaissIndex.vectors`."""
        return self._index.gather(self._places[first:last])

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `FaissIndex.gather`."""
        return self._index.gather(self._places[rows])

    def select(self, mask: NDArray[np.bool_]) -> Selection:
        """See `FaissIndex.select`."""
        check_search(1, mask, self.rows)
        plain = Selection.plain(mask)
        distinct = self._index.select(self._distinct(mask))
        return TwinSelection(plain.mask, plain.count, plain.bits, distinct=distinct)

    def search(
        self,
        queries: NDArray[np.floating],
        k: int,
        *,
        allowed: NDArray[np.bool_] | Selection | None = None,
        exact: bool = False,
        visited_share: float | None = None,
    ) -> tuple[Scores, Ids]:
        """See `FaissIndex.search`."""
        mask = allowed.mask if isinstance(allowed, Selection) else allowed
        check_search(k, mask, self.rows)
        chosen: NDArray[np.bool_] | Selection | None = None
        if isinstance(allowed, TwinSelection):
            chosen = allowed.distinct
        elif mask is not None:
            chosen = self._distinct(mask)
        # As many vectors as rows are wanted: those left out come after the ones that are found.
        wanted = min(k, max(1, self._index.rows))
        scores, places = self._index.search(
            queries, wanted, allowed=chosen, exact=exact, visited_share=visited_share
        )
        found = [self._all(*line, k, mask) for line in zip(scores, places, strict=True)]
        if not found:
            return padded(scores[:, :0], places[:, :0], k)
        return np.stack([line[0] for line in found]), np.stack([line[1] for line in found])

    def _distinct(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which vectors have a row that may answer."""
        chosen = np.zeros(self._index.rows, np.bool_)
        chosen[self._places[mask]] = True
        return chosen

    def _all(
        self, scores: Scores, places: Ids, k: int, mask: NDArray[np.bool_] | None
    ) -> tuple[Scores, Ids]:
        """The k best rows of one query's vectors, by score, then by row, both (k,)."""
        real = places >= 0
        scores, starts = scores[real], self._starts[places[real]]
        counts = self._starts[places[real] + 1] - starts
        if mask is None:
            counts = np.minimum(counts, k)
        # 0, 1, 2 … within each vector's rows
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = self._rows[np.repeat(starts, counts) + within]
        each = np.repeat(scores, counts)
        if mask is not None:
            each, rows = each[mask[rows]], rows[mask[rows]]
        order = np.lexsort((rows, -each))[:k]
        both = padded(each[order][None], rows[order][None], k)
        return both[0][0], both[1][0]
