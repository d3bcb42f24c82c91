"""What an index is measured on when it is built: its recall, and scores of unrelated queries."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrieval.search.calibration import Background, Calibration, QueryKind
from retrieval.search.index_files import RowTable
from retrieval.search.indexing.card import Measured
from retrieval.search.indexing.choice import sample_rows
from retrieval.search.indexing.tuning_queries import TEXTS
from retrieval.store.schema import MEDIUM_CODES
from retrieval.types import Medium

if TYPE_CHECKING:
    from indexes.equal_rows import DeduplicatedIndex
    from indexes.faiss import FaissIndex
    from indexes.tuning import QuerySample

MEDIA_QUERIES = 100
"""Rows of each medium that serve as media queries for calibration."""

NEIGHBOURS = 64
"""Neighbours among which a media query looks for one of another item at first."""

TIMED_TEXTS = 300
"""Texts at most whose search is timed: exact search of many rows takes seconds for each."""

AT_ONCE = (1, 32)
"""Queries of one search whose time is told."""


def samples_of(index: FaissIndex, texts: NDArray[np.float32]) -> dict[str, QuerySample]:
    """Texts, and as many rows of the index as media queries, with their exact answers.

    Args:
        index: What they are asked of.
        texts: (texts, dim) vectors of texts; none: there are media queries alone.
    """
    from indexes.tuning import QuerySample

    chosen = sample_rows(np.arange(index.rows), len(texts) or TEXTS)
    media = QuerySample.measure(index, index.gather(chosen), chosen)
    if not len(texts):
        return {QueryKind.MEDIA: media}
    return {QueryKind.TEXT: QuerySample.measure(index, texts), QueryKind.MEDIA: media}


def measure_index(
    indexes: Mapping[str, FaissIndex], samples: Mapping[str, QuerySample], held_bytes: int
) -> Measured:
    """Recall by kind of query and depth, and how long a search takes.

    Args:
        indexes: As it will be searched, by kind of query.
        samples: Queries by kind.
        held_bytes: Of the approximate part.
    """
    from indexes.tuning import NEIGHBOURS, latencies, recall

    kind = QueryKind.TEXT if QueryKind.TEXT in samples else QueryKind.MEDIA
    index, queries = indexes[kind], samples[kind].vectors[:TIMED_TEXTS]
    together = [count for count in AT_ONCE if count <= len(queries)]
    return Measured(
        recall={
            QueryKind(kind): {k: round(recall(indexes[kind], sample, k), 4) for k in NEIGHBOURS}
            for kind, sample in samples.items()
        },
        latency_ms={
            count: tuple(round(ms, 3) for ms in latencies(index, queries, count))  # type: ignore[misc]
            for count in together
        },
        bytes_per_row=round(held_bytes / max(1, index.rows), 1),
        peak_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )


def measure_calibration(
    exact: FaissIndex | DeduplicatedIndex, rows: RowTable, texts: NDArray[np.float32]
) -> Calibration:
    """Measure unrelated texts, and rows against rows of other items, medium by medium."""
    backgrounds: dict[tuple[QueryKind, Medium], Background] = {}
    for code, medium in enumerate(MEDIUM_CODES):
        of_medium = np.asarray(rows.media == code)
        if not of_medium.any():
            continue
        best = {
            QueryKind.TEXT: exact.search(texts, 1, allowed=of_medium)[0][:, 0],
            QueryKind.MEDIA: _best_of_other_items(exact, rows.item_ids, of_medium),
        }
        for kind, scores in best.items():
            background = Background.of(scores, kind)
            if background is not None:
                backgrounds[kind, medium] = background
    return Calibration(backgrounds)


def _best_of_other_items(
    exact: FaissIndex | DeduplicatedIndex, item_ids: NDArray[np.int64], of_medium: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Best score of sampled rows against other items' rows of the same medium; -inf for none."""
    chosen = sample_rows(np.flatnonzero(of_medium), MEDIA_QUERIES)
    queries = exact.gather(chosen)
    scores, ids = exact.search(queries, NEIGHBOURS, allowed=of_medium)
    other = (ids >= 0) & (item_ids[ids] != item_ids[chosen][:, None])
    best: NDArray[np.float32] = np.where(other, scores, np.float32(-np.inf)).max(axis=1)
    # A long recording may fill all neighbours by itself: ask again without its rows.
    for query in np.flatnonzero(np.isneginf(best) & (ids[:, -1] >= 0)):
        allowed = of_medium & (item_ids != item_ids[chosen[query]])
        best[query] = exact.search(queries[query : query + 1], 1, allowed=allowed)[0][0, 0]
    return best
