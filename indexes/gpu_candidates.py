"""Approximate search on GPUs, re-ranked with the exact rows on the CPU."""

from __future__ import annotations

from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.faiss import FaissIndex
from indexes.gpus import MAX_SELECTED, Gpus
from indexes.protocol import Ids, Scores
from indexes.vectors import check_search, padded, unit_queries

MAX_CAGRA_SELECTED: Final = 512
"""Answers per query that CAGRA keeps in fast memory."""

MASKED_SHARE: Final = 1 / 4
"""A mask that leaves less than this share goes to the CPU: GPU indexes take no selector, so
candidates are asked for and dropped."""


class PlacedIndex:
    """A `VectorIndex` whose candidates come from GPUs and are re-ranked on the CPU.

    Args:
        cpu: The index in its CPU form, which also answers what the GPU cannot: small masks,
            answers too long, exact search.
        gpus: Where its approximate part goes.
        shard: Divide the rows between the GPUs.

    Raises:
        RuntimeError: FAISS cannot place it.
    """

    def __init__(self, cpu: FaissIndex, gpus: Gpus, *, shard: bool = False) -> None:
        self._cpu = cpu
        part = cpu.approximate_part
        self._graph = isinstance(faiss.downcast_index(part), faiss.IndexHNSWCagra)
        if cpu.lists:
            # GPU indexes behind transforms or in several copies take no search parameters.
            faiss.try_extract_index_ivf(part).nprobe = min(cpu.effort.visited, cpu.lists)
        self._placed = gpus.place(part, shard=shard)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._cpu.dim

    @property
    def rows(self) -> int:
        """Number of vectors."""
        return self._cpu.rows

    def search(
        self,
        queries: NDArray[np.floating],
        k: int,
        *,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[Scores, Ids]:
        """See `VectorIndex.search`."""
        check_search(k, allowed, self.rows)
        unit = unit_queries(queries, self.dim)
        share = 1.0 if allowed is None else np.count_nonzero(allowed) / max(1, self.rows)
        wanted = min(k, round(share * self.rows))
        asked = self._asked(wanted, share)
        if not len(unit) or wanted < 1 or share < MASKED_SHARE or asked < wanted:
            return self._cpu.search(unit, k, allowed=allowed)
        found = self._candidates(unit, asked)
        if allowed is not None:
            found = np.where((found >= 0) & allowed[found], found, -1)
        scores, ids = self._cpu.ranked(unit, found, wanted)
        short = np.flatnonzero(ids[:, -1] < 0)
        if len(short):
            scores[short], ids[short] = self._cpu.search(unit[short], wanted, allowed=allowed)
        return padded(scores, ids, k)

    def _asked(self, wanted: int, share: float) -> int:
        """Candidates to ask for, so that enough are left where a mask takes some out."""
        most = MAX_CAGRA_SELECTED if self._graph else MAX_SELECTED
        candidates = self._cpu.effort.candidates_for(max(1, wanted)) / max(share, MASKED_SHARE)
        return min(int(np.ceil(candidates)), most, self.rows)

    def _candidates(self, unit: NDArray[np.float32], count: int) -> Ids:
        if not self._graph:
            ids: Ids = self._placed.search(unit, count)[1]
            return ids
        # CAGRA keeps rows in view in multiples of 32.
        kept = min(MAX_CAGRA_SELECTED, max(count, self._cpu.effort.visited))
        parameters = faiss.SearchParametersCagra(itopk_size=-(-kept // 32) * 32)
        ids = self._placed.search(unit, count, params=parameters, numeric_type=faiss.Float16)[1]
        return ids
