"""Stores equal rows once in an index and returns them together.

Equal rows defeat graphs, whose links connect them only to each other: building NSG does not
terminate and HNSW misses a third of the rows. Compressed codes rank them randomly.
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
from indexes.vectors import check_search, no_answers, pad_answers


class RowDigests:
    """Collects a digest of 16 bytes for each streamed float16 row to find equal rows."""

    def __init__(self) -> None:
        self._digests: list[bytes] = []

    def collect(self, blocks: Iterable[NDArray[np.float16]]) -> Iterator[NDArray[np.float16]]:
        """Yield the blocks unchanged, (rows, dim) each, and collect their digests."""
        for block in blocks:
            rows = np.ascontiguousarray(block)
            self._digests.append(
                b"".join(hashlib.blake2b(row, digest_size=16).digest() for row in rows)
            )
            yield block

    def vector_numbers(self) -> Ids | None:
        """Return (rows,) the number of each row's vector by first appearance.

        Returns None if all rows differ.
        """
        if not any(self._digests):
            return None
        pairs = np.frombuffer(b"".join(self._digests), np.uint64).reshape(-1, 2)
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


def drop_equal_rows(exact: Any, vector_numbers: Ids) -> None:
    """Keep the first row of each vector in an exact part in memory.

    Args:
        exact: Built by `indexes.building.build_exact`.
        vector_numbers: Result of `RowDigests.vector_numbers` for its rows.
    """
    import faiss

    firsts = np.unique(vector_numbers, return_index=True)[1]
    codes = faiss.rev_swig_ptr(exact.codes.data(), exact.ntotal * exact.code_size)
    rows = codes.reshape(exact.ntotal, exact.code_size)
    for start in range(0, len(firsts), 4_096):
        block = firsts[start : start + 4_096]  # Rows only move towards the front.
        rows[start : start + len(block)] = rows[block]
    exact.codes.resize(len(firsts) * exact.code_size)
    exact.ntotal = len(firsts)


@dataclass(frozen=True, slots=True, eq=False)
class DeduplicatedSelection(Selection):
    """A selection of rows, and the selection of their vectors."""

    distinct: Selection | None = None

    @property
    def bytes(self) -> int:
        """Memory used."""
        distinct = 0 if self.distinct is None else self.distinct.bytes
        return int(self.mask.nbytes + self.bits.nbytes) + distinct


class DeduplicatedIndex:
    """An index of rows over an index of their distinct vectors; same interface as `FaissIndex`.

    Args:
        index: Each vector once, in the order of first appearance.
        vector_numbers: (rows,) the number of each row's vector.
    """

    def __init__(self, index: FaissIndex | DeviceIndex, vector_numbers: Ids) -> None:
        self.dim, self.rows, self.approximate = index.dim, len(vector_numbers), index.approximate
        self._index = index
        self._vector_numbers = vector_numbers
        self._rows = np.argsort(vector_numbers, kind="stable")
        self._starts = np.searchsorted(vector_numbers[self._rows], np.arange(index.rows + 1))

    def vectors(self, first: int, last: int) -> NDArray[np.float32]:
        """See `FaissIndex.vectors`."""
        return self._index.gather(self._vector_numbers[first:last])

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `FaissIndex.gather`."""
        return self._index.gather(self._vector_numbers[rows])

    def select(self, mask: NDArray[np.bool_]) -> Selection:
        """See `FaissIndex.select`."""
        check_search(1, mask, self.rows)
        rows = Selection.from_mask(mask)
        distinct = self._index.select(self._distinct_mask(mask))
        return DeduplicatedSelection(rows.mask, rows.count, rows.bits, distinct=distinct)

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
        distinct: NDArray[np.bool_] | Selection | None = None
        if isinstance(allowed, DeduplicatedSelection):
            distinct = allowed.distinct
        elif mask is not None:
            distinct = self._distinct_mask(mask)
        # k vectors suffice for k rows, since each vector has at least one.
        width = min(k, max(1, self._index.rows))
        scores, numbers = self._index.search(
            queries, width, allowed=distinct, exact=exact, visited_share=visited_share
        )
        answers = [self._expand(*line, k, mask) for line in zip(scores, numbers, strict=True)]
        if not answers:
            return no_answers(0, k)
        return np.stack([line[0] for line in answers]), np.stack([line[1] for line in answers])

    def _distinct_mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which vectors have an allowed row."""
        distinct = np.zeros(self._index.rows, np.bool_)
        distinct[self._vector_numbers[mask]] = True
        return distinct

    def _expand(
        self, scores: Scores, numbers: Ids, k: int, mask: NDArray[np.bool_] | None
    ) -> tuple[Scores, Ids]:
        """Return the k best rows of one query's vectors, by score, then by row; (k,) each."""
        real = numbers >= 0
        scores, starts = scores[real], self._starts[numbers[real]]
        counts = self._starts[numbers[real] + 1] - starts
        if mask is None:
            counts = np.minimum(counts, k)
        # 0, 1, 2 … within the rows of each vector
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = self._rows[np.repeat(starts, counts) + within]
        row_scores = np.repeat(scores, counts)
        if mask is not None:
            row_scores, rows = row_scores[mask[rows]], rows[mask[rows]]
        order = np.lexsort((rows, -row_scores))[:k]
        padded_scores, padded_ids = pad_answers(row_scores[order][None], rows[order][None], k)
        return padded_scores[0], padded_ids[0]
