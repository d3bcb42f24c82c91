"""Measures an index when it is built: recall, latency, and scores of unrelated queries."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrieval.search.calibration import QueryType, ScoreStatistics
from retrieval.search.index_files import RowTable
from retrieval.search.indexing.card import Measurements
from retrieval.search.indexing.tuning_queries import main_type, sample_rows
from retrieval.search.media_samples import MEDIA_QUERIES, MediaSamples, best_of_other_items
from retrieval.store.schema import MEDIUM_CODES

if TYPE_CHECKING:
    from indexes.equal_rows import DeduplicatedIndex
    from indexes.faiss import FaissIndex
    from indexes.tuning import QuerySample

TIMED_TEXTS = 300
"""Maximum number of timed queries: exact search of many rows takes seconds for each."""

BATCH_SIZES = (1, 32)
"""Numbers of queries per timed search."""


def measure_index(
    indexes: Mapping[str, FaissIndex],
    samples: Mapping[str, QuerySample],
    approximate_bytes: int,
) -> Measurements:
    """Measure recall by query type and depth, latency, and memory.

    Args:
        indexes: The index by query type, each with its effort.
        samples: Queries by type.
        approximate_bytes: Size of the approximate index.
    """
    from indexes.tuning import NEIGHBOURS, latencies, recall

    timed_type = main_type(samples)
    index, queries = indexes[timed_type], samples[timed_type].vectors[:TIMED_TEXTS]
    latency_ms = {}
    for size in BATCH_SIZES:
        if size <= len(queries):
            median, p99 = latencies(index, queries, size)
            latency_ms[size] = (round(median, 3), round(p99, 3))
    return Measurements(
        recall={
            QueryType(name): {k: round(recall(indexes[name], sample, k), 4) for k in NEIGHBOURS}
            for name, sample in samples.items()
        },
        latency_ms=latency_ms,
        bytes_per_row=round(approximate_bytes / max(1, index.rows), 1),
        peak_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )


def measure_calibration(
    exact: FaissIndex | DeduplicatedIndex, rows: RowTable, texts: NDArray[np.float32]
) -> tuple[ScoreStatistics, ...]:
    """Measure best scores of unrelated texts, and of rows against other items, by medium.

    Args:
        exact: The exact index.
        rows: Its rows.
        texts: (n, dim) vectors of unrelated texts.
    """
    statistics = []
    for code, medium in enumerate(MEDIUM_CODES):
        of_medium = np.asarray(rows.media == code)
        if not of_medium.any():
            continue
        best = {
            QueryType.TEXT: exact.search(texts, 1, allowed=of_medium)[0][:, 0],
            QueryType.MEDIA: _best_of_others(exact, rows.item_ids, of_medium),
        }
        for query_type, scores in best.items():
            entry = ScoreStatistics.of(scores, query_type, medium)
            if entry is not None:
                statistics.append(entry)
    return tuple(statistics)


def _best_of_others(
    exact: FaissIndex | DeduplicatedIndex, item_ids: NDArray[np.int64], of_medium: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return best scores of sampled rows against other items of the medium; -inf without any."""
    chosen = sample_rows(np.flatnonzero(of_medium), MEDIA_QUERIES)
    samples = MediaSamples(item_ids[chosen], exact.gather(chosen))

    def search(
        queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return exact.search(queries, k, allowed=allowed)

    return best_of_other_items(search, item_ids, of_medium, samples)
