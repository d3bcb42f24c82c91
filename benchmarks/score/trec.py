"""Rankings as trec_eval scores them: a TREC run and its relevance judgements (qrels).

The rank column is not read: items are ordered by score in single precision, equal scores by the
item's name, the last in the alphabet first. Means are over the queries that both files have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.score.lines import read_lines
from retrieval.errors import SourceError
from retrieval.evaluation.ranking import (
    average_precision_at_k,
    ndcg_at_k,
    recall_at_k,
    reciprocal_ranks,
)

DEPTHS: Final = (1, 5, 10, 100)
EVERYTHING: Final = 2**62
"""A depth beyond every ranking."""

Numbers = dict[bytes, dict[bytes, float]]
"""By query and item. Names are bytes: trec_eval compares them so, and knows ASCII spaces only."""


@dataclass(frozen=True, slots=True)
class JudgedRanking:
    """Where the relevant items of a query stand.

    Attributes:
        retrieved: How many items were ranked.
        ranks: (relevant,) ascending, infinity where an item was not retrieved.
        gains: (relevant,) above 0.
    """

    retrieved: int
    ranks: NDArray[np.float64]
    gains: NDArray[np.float64]


def score(predictions: Path, truth: Path, note: Callable[[str], None]) -> dict[str, Any]:
    """Measures of trec_eval by its names, in its order, with four decimals.

    Args:
        predictions: Lines of `query Q0 item rank score tag`.
        truth: Lines of `query 0 item relevance`; above 0 is relevant, and the gain of nDCG.
        note: Takes lines about queries that are in one file only.

    Raises:
        SourceError: A line cannot be used, an item stands twice for a query, or no query is in
            both files.
    """
    tag, run = _read_run(predictions)
    judged = _read_qrels(truth)
    both = [query for query in run if query in judged]
    if not both:
        raise SourceError(f"{predictions} and {truth} have no query in common")
    for mine, other, where in ((judged, run, predictions), (run, judged, truth)):
        lacking = sum(query not in other for query in mine)
        if lacking:
            note(f"{where} lacks {lacking} of {len(mine)} queries: they are left out of all means, "
                 "as trec_eval does without -c")  # fmt: skip
    rankings = [_judged(run[query], judged[query]) for query in both]
    counts = {
        "num_q": len(rankings),
        "num_ret": sum(one.retrieved for one in rankings),
        "num_rel": sum(len(one.ranks) for one in rankings),
        "num_rel_ret": sum(int(np.isfinite(one.ranks).sum()) for one in rankings),
    }
    # A query without a relevant item scores 0 by every measure.
    totals = _totals([one for one in rankings if len(one.ranks)])
    means = {name: float(f"{total / len(rankings):.4f}") for name, total in totals.items()}
    return {"runid": tag, **counts, **means}


def _totals(rankings: list[JudgedRanking]) -> dict[str, float]:
    """Sums over queries, by trec_eval's names."""
    counts = np.array([len(one.ranks) for one in rankings], np.int64)
    shape = (len(rankings), counts.max(initial=1))
    ranks, gains = np.full(shape, np.inf), np.zeros(shape)
    for row, one in enumerate(rankings):
        ranks[row, : len(one.ranks)] = one.ranks
        gains[row, : len(one.ranks)] = one.gains
    values = {
        "map": average_precision_at_k(ranks, counts, EVERYTHING),
        "recip_rank": reciprocal_ranks(ranks),
        **{f"recall_{k}": recall_at_k(ranks, counts, k) for k in DEPTHS},
        "ndcg": ndcg_at_k(ranks, counts, EVERYTHING, gains),
        **{f"ndcg_cut_{k}": ndcg_at_k(ranks, counts, k, gains) for k in DEPTHS},
        **{f"map_cut_{k}": average_precision_at_k(ranks, counts, k) for k in DEPTHS},
        **{f"success_{k}": ranks[:, 0] <= k for k in DEPTHS},
    }
    return {name: float(np.sum(value)) for name, value in values.items()}


def _judged(scores: Mapping[bytes, float], relevance: Mapping[bytes, float]) -> JudgedRanking:
    with np.errstate(over="ignore"):
        single = np.array(list(scores.values())).astype(np.float32).tolist()
    ranked = [item for _, item in sorted(zip(single, scores, strict=True), reverse=True)]
    rank = {item: float(place) for place, item in enumerate(ranked, 1)}
    found = sorted((rank.get(item, math.inf), gain) for item, gain in relevance.items() if gain > 0)
    ranks, gains = np.array(found).reshape(-1, 2).T
    return JudgedRanking(len(scores), ranks, gains)


# ---------------------------------------------------------------- files


def _read_run(path: Path) -> tuple[str, Numbers]:
    """The last line's tag, and scores."""
    run: Numbers = {}
    tag = b""
    for where, columns in _columns(path):
        if len(columns) < 6:
            raise SourceError(
                f"{where}: {len(columns)} columns, expected `query Q0 item rank score tag`"
            )
        query, _, item, _, value, tag = columns[:6]
        _add(run, query, item, _number(value, where), where)
    return tag.decode(), run


def _read_qrels(path: Path) -> Numbers:
    judged: Numbers = {}
    for where, columns in _columns(path):
        if len(columns) != 4:
            raise SourceError(f"{where}: {len(columns)} columns, expected `query 0 item relevance`")
        query, _, item, value = columns
        relevance = _number(value, where)
        if relevance != int(relevance):
            raise SourceError(f"{where}: the relevance {value.decode()!r} is no whole number")
        _add(judged, query, item, relevance, where)
    return judged


def _columns(path: Path) -> Iterator[tuple[str, list[bytes]]]:
    """Where every line stands, and its columns; blank lines are passed over, as trec_eval does."""
    empty = True
    for number, text in read_lines(path):
        columns = text.encode().split()
        if columns:
            empty = False
            yield f"{path}, line {number}", columns
    if empty:
        raise SourceError(f"{path}: is empty")


def _number(text: bytes, where: str) -> float:
    try:
        # Python reads 1_000 as a number, trec_eval reads a 1.
        value = math.nan if b"_" in text else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SourceError(f"{where}: {text.decode()!r} is no finite number")
    return value


def _add(numbers: Numbers, query: bytes, item: bytes, value: float, where: str) -> None:
    items = numbers.setdefault(query, {})
    if item in items:
        raise SourceError(
            f"{where}: item {item.decode()!r} stands twice for query {query.decode()!r}"
        )
    items[item] = value
