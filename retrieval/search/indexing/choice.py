"""Chooses the kind of index by trial: kinds that fit are built over a sample and measured.

The speed of a search depends on the machine, and the recall of an index on the corpus, so both are
measured. Each kind is built over some of the rows, tuned to the target recall, and timed. At a
given recall of text queries the time of graphs grows with the rows at most as fast as that of lists
(docs/indexing.md), so the kind that is fastest in the trial is built in full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexes.candidates import (
    EXACT_BELOW_ROWS,
    GPU_EXACT_BELOW_ROWS,
    Candidate,
    candidates,
    fit_memory,
    gpu_candidates,
)
from retrieval.progress import Progress, no_progress
from retrieval.search.indexing.deadline import Deadline
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.indexing.trials import Samples, Trial, TrialRunner
from retrieval.search.indexing.tuning_queries import sample_rows

if TYPE_CHECKING:
    from indexes.faiss import FaissIndex
    from indexes.gpus import Gpus

TIMED_ROWS = 100

NEARLY_FASTEST = 0.75
"""A smaller index with this share of the highest speed is preferred. The rows of a trial fit into
the processor's cache, which favours larger codes."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Kinds to build.

    Attributes:
        factories: FAISS factory strings, the preferred one first; None is exact search.
        reason: Reason for the preferred one.
        trials: Trials of all tested kinds.
    """

    factories: tuple[str | None, ...]
    reason: str
    trials: tuple[Trial, ...] = ()


def choose(
    exact: FaissIndex,
    request: IndexRequest,
    sample_queries: Callable[[FaissIndex], Samples],
    gpus: Gpus | None = None,
    *,
    deadline: Deadline | None = None,
    progress: Progress = no_progress,
) -> Choice:
    """Choose a kind of index for rows.

    Args:
        exact: All rows.
        request: The requirements; its kind is `auto`.
        sample_queries: Samples queries and computes their results in an index.
        gpus: GPUs that searches will use; None: the CPU.
        deadline: End of the trials. One kind is tested in any case.
        progress: Receives the number of the current trial.

    Raises:
        IndexBuildError: No index fits the memory.
    """
    rows, memory = exact.rows, request.memory
    if gpus is not None:
        available = sum(gpus.usable_bytes())
        if rows < GPU_EXACT_BELOW_ROWS and 2 * rows * exact.dim <= available:
            return Choice((None,), f"a GPU searches {rows:,} rows exactly in milliseconds")
        memory = available if memory is None else min(available, memory)
        kinds = fit_memory(gpu_candidates(exact.dim), max(1, rows), memory)
    else:
        if rows < EXACT_BELOW_ROWS and request.latency_ms is None:
            return Choice((None,), f"exact search is fast enough below {EXACT_BELOW_ROWS:,} rows")
        kinds = fit_memory(candidates(exact.dim), max(1, rows), memory)
        if request.latency_ms is not None and not kinds[0].template:
            # Exact search takes the same time for every query, so rows can be the queries.
            queries = exact.gather(sample_rows(np.arange(rows), TIMED_ROWS))
            if _median_ms(exact, queries) <= request.latency_ms:
                return Choice((None,), f"exact search answers within {request.latency_ms:g} ms")
    runner = TrialRunner(
        exact, request.recall, sample_queries, gpus, deadline or Deadline(), progress
    )
    return _best(list(runner.run(kinds)), rows)


def _best(results: Sequence[tuple[Candidate, Trial]], rows: int) -> Choice:
    """Prefer the smallest of those that are nearly as fast as the fastest."""
    trials = tuple(trial for _, trial in results)
    reached = sorted(
        (result for result in results if result[1].reached),
        key=lambda result: -result[1].queries_per_second,
    )
    if not reached:
        best, _ = max(results, key=lambda result: min(result[1].recall.values()))
        return Choice((best.factory(rows),), "no kind reached the target in its trial", trials)
    min_speed = NEARLY_FASTEST * reached[0][1].queries_per_second
    fast = [result for result in reached if result[1].queries_per_second >= min_speed]
    first = min(fast, key=lambda result: result[0].bytes(rows))
    reason = (
        "the fastest in its trial"
        if first is reached[0]
        else f"the smallest of those with {NEARLY_FASTEST:.0%} of the highest speed in their trials"
    )
    order = [first, *(result for result in reached if result is not first)]
    return Choice(tuple(kind.factory(rows) for kind, _ in order), reason, trials)


def exact_search_reason(
    exact: FaissIndex, approximate: FaissIndex, queries: NDArray[np.float32]
) -> str | None:
    """Compare the speed of both over all rows, since trials use only some of them.

    Args:
        exact: All rows.
        approximate: Tuned index over the same rows.
        queries: (n, dim); the first ones are timed.

    Returns:
        The reason to prefer exact search; None if it is slower.
    """
    timed = queries[: TIMED_ROWS // 5]
    exact_ms, approximate_ms = _median_ms(exact, timed), _median_ms(approximate, timed)
    if exact_ms > approximate_ms:
        return None
    return (
        f"exact search takes {exact_ms:.1f} ms for all rows, "
        f"the fastest other kind {approximate_ms:.1f} ms"
    )


def _median_ms(index: FaissIndex, queries: NDArray[np.float32]) -> float:
    from indexes.tuning import latencies

    return latencies(index, queries, 1)[0]
