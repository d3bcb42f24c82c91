"""TREC runs and relevance judgements (qrels), scored by trec_eval through ir-measures.

The rank column is not read. trec_eval sorts items by score in single precision, and equal scores by
item name in descending order. Means are over the queries that both files have.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ir_measures import AP, RR, NumQ, NumRel, NumRet, R, Success, nDCG
from ir_measures.providers import registry

from benchmarks.score.lines import read_lines
from retrieval.errors import SourceError

logger = logging.getLogger(__name__)

DEPTHS: Final = (1, 5, 10, 100)
COUNTS: Final = {"num_q": NumQ, "num_ret": NumRet, "num_rel": NumRel, "num_rel_ret": NumRet(rel=1)}
MEANS: Final = {
    "map": AP,
    "recip_rank": RR,
    **{f"recall_{k}": R @ k for k in DEPTHS},
    "ndcg": nDCG,
    **{f"ndcg_cut_{k}": nDCG @ k for k in DEPTHS},
    **{f"map_cut_{k}": AP @ k for k in DEPTHS},
    **{f"success_{k}": Success @ k for k in DEPTHS},
}
"""Measures by their name in trec_eval, in its order."""

MAX_RELEVANCE: Final = 1_000_000
"""trec_eval allocates an array of the size of the largest relevance."""


def score(predictions: Path, truth: Path) -> dict[str, Any]:
    """Compute the measures of trec_eval, rounded to four decimals.

    Args:
        predictions: Lines of `query Q0 item rank score tag`.
        truth: Lines of `query 0 item relevance`. A relevance above 0 is relevant, and is the gain
            of nDCG.

    Raises:
        SourceError: A line is malformed, an item occurs twice for a query, or no query is in both
            files.
    """
    tag, run = _read_run(predictions)
    qrels = _read_qrels(truth)
    common = [query for query in run if query in qrels]
    if not common:
        raise SourceError(f"{predictions} and {truth} have no query in common")
    for queries, others, path in ((qrels, run, predictions), (run, qrels, truth)):
        missing = sum(query not in others for query in queries)
        if missing:
            logger.warning(
                "%s lacks %d of %d queries: they are left out of all means, as in trec_eval "
                "without -c",
                path,
                missing,
                len(queries),
            )
    values = registry["pytrec_eval"].calc_aggregate(
        [*COUNTS.values(), *MEANS.values()],
        {query: qrels[query] for query in common},
        {query: run[query] for query in common},
    )
    return {
        "runid": tag,
        **{name: int(values[measure]) for name, measure in COUNTS.items()},
        **{name: float(f"{values[measure]:.4f}") for name, measure in MEANS.items()},
    }


def _read_run(path: Path) -> tuple[str, dict[str, dict[str, float]]]:
    """Read the tag of the last line, and scores by query and item."""
    run: dict[str, dict[str, float]] = {}
    tag = ""
    for line, columns in _columns(path):
        if len(columns) < 6:
            raise SourceError(
                f"{line}: {len(columns)} columns, expected `query Q0 item rank score tag`"
            )
        query, _, item, _, value, tag = columns[:6]
        _check_new(item, query, run, line)
        run.setdefault(query, {})[item] = _number(value, line)
    return tag, run


def _read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Read relevances by query and item."""
    qrels: dict[str, dict[str, int]] = {}
    for line, columns in _columns(path):
        if len(columns) != 4:
            raise SourceError(f"{line}: {len(columns)} columns, expected `query 0 item relevance`")
        query, _, item, value = columns
        relevance = _number(value, line)
        if relevance != int(relevance) or abs(relevance) > MAX_RELEVANCE:
            raise SourceError(
                f"{line}: the relevance {value!r} is not a whole number up to {MAX_RELEVANCE:,}"
            )
        _check_new(item, query, qrels, line)
        # Negative relevances are not relevant. The code of trec_eval reads outside its arrays if
        # all relevances of a query are negative.
        qrels.setdefault(query, {})[item] = max(0, int(relevance))
    return qrels


def _columns(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the location and the columns of each line that is not blank.

    Only ASCII whitespace separates columns, as in trec_eval.
    """
    is_empty = True
    for number, text in read_lines(path):
        columns = [column.decode() for column in text.encode().split()]
        if "\0" in text:
            raise SourceError(f"{path}, line {number}: holds a null character")
        if columns:
            is_empty = False
            yield f"{path}, line {number}", columns
    if is_empty:
        raise SourceError(f"{path}: is empty")


def _number(text: str, line: str) -> float:
    try:
        # Python reads 1_000 as a number; trec_eval reads 1.
        value = math.nan if "_" in text else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SourceError(f"{line}: {text!r} is not a finite number")
    return value


def _check_new(item: str, query: str, values: dict[str, dict[str, Any]], line: str) -> None:
    if item in values.get(query, ()):
        raise SourceError(f"{line}: item {item!r} occurs twice for query {query!r}")
