"""Times CAGRA and IVF-PQ, built and searched on a GPU."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.results.outcome import Result
from benchmarks.speed import SUITE
from benchmarks.speed.harness import in_turns, row, timed
from indexes.building import build_approximate, build_exact
from indexes.candidates import list_count, training_rows
from indexes.effort import Effort
from indexes.faiss import FaissIndex
from indexes.gpu_approximate import GpuApproximateIndex
from indexes.gpus import Gpus
from indexes.protocol import Ids, VectorIndex

logger = logging.getLogger(__name__)

K, TARGET = 10, 0.95
REPEATS = 5

VISITED = (8, 16, 32, 64, 128, 256, 512)
"""Numbers of lists that IVF-PQ visits; the first that reaches the recall is used."""

CANDIDATES = 200
"""Number of rows that IVF-PQ re-ranks."""

QUEUE_SIZES = (64, 128, 256, 512)
"""Numbers of rows that the graph search keeps and re-ranks, likewise."""


def approximate_results(
    rows: NDArray[np.float16],
    texts: NDArray[np.float32],
    gpus: Gpus | None = None,
) -> list[Result]:
    """Build each index on a GPU, and search with the first setting that reaches the recall.

    Args:
        rows: (rows, dim) unit rows.
        texts: (texts, dim) queries, the timed batch.
        gpus: The first GPU by default.
    """
    gpus = gpus or Gpus((0,))
    exact = build_exact(_blocks(rows), rows.shape[1])
    truth = FaissIndex(exact).search(texts, K)[1]
    results = []
    for name, factory, by_cuvs in factories(len(rows)):
        logger.info("building %s over %d rows (%s)", factory, len(rows), name)
        chosen = replace(gpus, cuvs=by_cuvs)
        sample = rows[:: max(1, len(rows) // training_rows(factory, len(rows)))]
        start = time.perf_counter()
        part = build_approximate(factory, sample, _blocks(rows), gpus=gpus)
        built = time.perf_counter() - start
        task = f"{name} {len(rows):,} × {rows.shape[1]}, texts"
        results.append(Result(SUITE, task, "seconds to build", built))
        results += _searched(task, exact, part, texts, truth, chosen)
    return results


def factories(rows: int) -> tuple[tuple[str, str, bool], ...]:
    """Return names, factory strings, and whether cuVS searches instead of FAISS kernels."""
    lists = f"IVF{list_count(rows)},PQ64"
    return (("CAGRA", "CAGRA", False), ("IVF-PQ", lists, False), ("IVF-PQ by cuVS", lists, True))


def _blocks(rows: NDArray[np.float16], size: int = 1 << 17) -> Iterator[NDArray[np.float16]]:
    return (rows[first : first + size] for first in range(0, len(rows), size))


def _searched(
    task: str, exact: Any, part: Any, texts: NDArray[np.float32], truth: Ids, gpus: Gpus
) -> list[Result]:
    """Measure recall and speed at the first setting that reaches the recall, or the last one."""
    for placed, setting in _settings(exact, part, gpus):  # noqa: B007 - the last value is used
        ids = placed.search(texts, K)[1]
        recall = float(np.mean([np.isin(w, f).mean() for w, f in zip(truth, ids, strict=True)]))
        if recall >= TARGET:
            break
    task = f"{task}, {setting}"
    times = in_turns(
        {
            "many": timed(lambda: placed.search(texts, K)),
            "one": timed(lambda: placed.search(texts[:1], K)),
        },
        REPEATS,
        warm_ups=1,
    )
    return [
        Result(SUITE, task, "recall@10", recall, TARGET),
        row(task, f"queries/s, batch {len(texts):,}", times["many"].per(len(texts))),
        row(task, "milliseconds, one query", times["one"].times(1e3)),
    ]


def _settings(exact: Any, part: Any, gpus: Gpus) -> Iterator[tuple[VectorIndex, str]]:
    if not hasattr(part, "nlist"):
        for size in QUEUE_SIZES:
            index = FaissIndex(exact, part, Effort(size, size))
            yield GpuApproximateIndex(index, gpus), f"{size} kept"
        return
    for visited in (count for count in VISITED if count <= part.nlist):
        index = FaissIndex(exact, part, Effort(visited, CANDIDATES))
        yield GpuApproximateIndex(index, gpus), f"{visited} of {part.nlist} lists"
