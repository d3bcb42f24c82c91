"""Approximate search on GPUs, re-ranked with the exact rows on the CPU."""

from __future__ import annotations

from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.faiss import FaissIndex
from indexes.gpus import MAX_SELECTED, Gpus
from indexes.protocol import Ids, Scores
from indexes.vectors import check_search, pad_answers, unit_queries

MAX_CAGRA_SELECTED: Final = 512
"""Maximum number of answers per query that CAGRA keeps in fast memory."""

MASKED_SHARE: Final = 1 / 4
"""Masks that allow a smaller share of the rows use the CPU: GPU indexes take no selector, so
excluded rows are dropped from a longer answer."""


class GpuApproximateIndex:
    """A `VectorIndex` that searches its approximate part on GPUs and re-ranks on the CPU.

    Args:
        cpu: The index in its CPU form. It also answers searches that the GPU does not support:
            small masks, long answers, exact search.
        gpus: The GPUs to copy the approximate part to.
        shard: Divide the rows among the GPUs.

    Raises:
        RuntimeError: FAISS cannot copy the index.
    """

    def __init__(self, cpu: FaissIndex, gpus: Gpus, *, shard: bool = False) -> None:
        self._cpu = cpu
        self.dim, self.rows = cpu.dim, cpu.rows
        part = cpu.approximate_part
        self._graph = isinstance(faiss.downcast_index(part), faiss.IndexHNSWCagra)
        if cpu.lists:
            # GPU indexes behind transforms or in several copies take no search parameters.
            faiss.try_extract_index_ivf(part).nprobe = min(cpu.effort.fixed_visited, cpu.lists)
        self._gpu_index = gpus.to_gpu(part, shard=shard)

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
        width = min(k, round(share * self.rows))
        count = self._candidate_count(width, share)
        if not len(unit) or width < 1 or share < MASKED_SHARE or count < width:
            return self._cpu.search(unit, k, allowed=allowed)
        candidates = self._search_gpu(unit, count)
        if allowed is not None:
            candidates = np.where((candidates >= 0) & allowed[candidates], candidates, -1)
        scores, ids = self._cpu.rerank(unit, candidates, width)
        short = np.flatnonzero(ids[:, -1] < 0)
        if len(short):
            scores[short], ids[short] = self._cpu.search(unit[short], width, allowed=allowed)
        return pad_answers(scores, ids, k)

    def _candidate_count(self, width: int, share: float) -> int:
        """Return the number of rows to request so that enough remain after masking."""
        limit = MAX_CAGRA_SELECTED if self._graph else MAX_SELECTED
        candidates = self._cpu.effort.candidates_for(max(1, width)) / max(share, MASKED_SHARE)
        return min(int(np.ceil(candidates)), limit, self.rows)

    def _search_gpu(self, unit: NDArray[np.float32], count: int) -> Ids:
        if not self._graph:
            ids: Ids = self._gpu_index.search(unit, count)[1]
            return ids
        queue = min(MAX_CAGRA_SELECTED, max(count, self._cpu.effort.visited))
        # The size of CAGRA's queue must be a multiple of 32.
        parameters = faiss.SearchParametersCagra(itopk_size=-(-queue // 32) * 32)
        ids = self._gpu_index.search(unit, count, params=parameters, numeric_type=faiss.Float16)[1]
        return ids
