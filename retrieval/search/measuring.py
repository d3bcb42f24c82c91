"""What an index is measured on when it is built: its recall, and scores of unrelated queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from retrieval.search.calibration import Background, Calibration, QueryKind
from retrieval.search.index_files import RowTable
from retrieval.store.schema import MEDIUM_CODES
from retrieval.types import Medium

if TYPE_CHECKING:
    from indexes.faiss import FaissIndex

MEDIA_QUERIES = 100
"""Rows that serve as media queries: of the index for recall, of each medium for calibration."""

NEIGHBOURS = 64
"""Neighbours among which a media query looks for one of another item at first."""

SAME_SCORE = 1e-5
"""Equal vectors may differ so much in score, by the order of adding up."""


def sample_rows(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Some of the rows, always the same ones; ascending."""
    if len(rows) <= count:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, count, replace=False))


def measure_recall(index: FaissIndex, texts: NDArray[np.float32]) -> dict[QueryKind, float]:
    """Share of the ten exact neighbours that the index finds, by kind of query.

    Text queries are much harder than rows as queries, so that one figure would mislead.

    Args:
        index: With an approximate part.
        texts: (texts, dim) vectors of texts.

    Returns:
        Recall for texts, and for sampled rows, whose own row is left out.
    """
    chosen = sample_rows(np.arange(index.rows), MEDIA_QUERIES)
    return {
        QueryKind.TEXT: recall_at_10(index, texts, None),
        QueryKind.MEDIA: recall_at_10(index, index.gather(chosen), chosen),
    }


def recall_at_10(
    index: FaissIndex, queries: NDArray[np.float32], own_rows: NDArray[np.int64] | None
) -> float:
    """Recall of ten neighbours, by score: any of several equal vectors will do.

    Args:
        index: Searched twice, exactly and not.
        queries: (queries, dim).
        own_rows: (queries,) row that a query was taken from and that does not count, or None.

    Returns:
        0 … 1; 1 where nothing is to be found.
    """
    k = 10 if own_rows is None else 11
    wanted = _others(*index.search(queries, k, exact=True), own_rows)
    found = _others(*index.search(queries, k), own_rows)
    shares = []
    for want, got in zip(wanted, found, strict=True):
        best = want[:10][np.isfinite(want[:10])]
        if len(best):
            shares.append(min(1.0, (got[:10] >= best[-1] - SAME_SCORE).sum() / len(best)))
    return round(float(np.mean(shares)), 4) if shares else 1.0


def measure_calibration(
    exact: FaissIndex, rows: RowTable, texts: NDArray[np.float32]
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
    exact: FaissIndex, item_ids: NDArray[np.int64], of_medium: NDArray[np.bool_]
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


def _others(
    scores: NDArray[np.float32], ids: NDArray[np.int64], own_rows: NDArray[np.int64] | None
) -> list[NDArray[np.float32]]:
    """Scores of each query, best first, without its own row."""
    if own_rows is None:
        return list(scores)
    return [line[found != own] for line, found, own in zip(scores, ids, own_rows, strict=True)]
