"""The approximate part of `bench speed gpu`: CAGRA and IVF-PQ, built and searched on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.results.tables import Result
from benchmarks.speed import SUITE
from benchmarks.speed.harness import in_turns, row, timed
from indexes.building import build_approximate, build_exact
from indexes.candidates import list_count, training_rows
from indexes.effort import Effort
from indexes.faiss import FaissIndex
from indexes.gpu_approximate import GpuApproximateIndex
from indexes.gpus import Gpus
from indexes.protocol import Ids, VectorIndex

K, TARGET = 10, 0.95
REPEATS = 5

VISITED = (8, 16, 32, 64, 128, 256, 512)
"""Lists that IVF-PQ visits, tried one after the other until the recall is reached."""

CANDIDATES = 200
"""Rows that IVF-PQ hands to re-ranking."""

KEPT = (64, 128, 256, 512)
"""Rows that the graph keeps in view and hands to re-ranking, likewise."""


def approximate_results(
    rows: NDArray[np.float16],
    texts: NDArray[np.float32],
    say: Callable[[str], None],
    gpus: Gpus | None = None,
) -> list[Result]:
    """Build each index on a GPU and search it at the first setting that reaches the recall.

    Args:
        rows: (rows, dim) unit rows.
        texts: (texts, dim) queries, the batch that is timed.
        say: Told what begins.
        gpus: The first GPU by default.
    """
    gpus = gpus or Gpus((0,))
    exact = build_exact(_blocks(rows), rows.shape[1])
    truth = FaissIndex(exact).search(texts, K)[1]
    results = []
    for name, factory, by_cuvs in factories(len(rows)):
        say(f"building {factory} over {len(rows):,} rows ({name})")
        chosen = replace(gpus, cuvs=by_cuvs)
        sample = rows[:: max(1, len(rows) // training_rows(factory, len(rows)))]
        began = time.perf_counter()
        part = build_approximate(factory, sample, _blocks(rows), gpus=gpus)
        built = time.perf_counter() - began
        task = f"{name} {len(rows):,} × {rows.shape[1]}, texts"
        results.append(Result(SUITE, task, "seconds to build", built))
        results += _searched(task, exact, part, texts, truth, chosen)
    return results


def factories(rows: int) -> tuple[tuple[str, str, bool], ...]:
    """Name, factory string, and whether cuVS searches in place of FAISS's kernels."""
    lists = f"IVF{list_count(rows)},PQ64"
    return (("CAGRA", "CAGRA", False), ("IVF-PQ", lists, False), ("IVF-PQ by cuVS", lists, True))


def _blocks(rows: NDArray[np.float16], size: int = 1 << 17) -> Iterator[NDArray[np.float16]]:
    return (rows[first : first + size] for first in range(0, len(rows), size))


def _searched(
    task: str, exact: Any, part: Any, texts: NDArray[np.float32], truth: Ids, gpus: Gpus
) -> list[Result]:
    """Recall and speed at the first setting that reaches the recall, else at the last one."""
    for placed, setting in _settings(exact, part, gpus):  # noqa: B007 - the last one's is reported
        found = placed.search(texts, K)[1]
        recall = float(np.mean([np.isin(w, f).mean() for w, f in zip(truth, found, strict=True)]))
        if recall >= TARGET:
            break
    task = f"{task}, {setting}"
    taken = in_turns(
        {
            "many": timed(lambda: placed.search(texts, K)),
            "one": timed(lambda: placed.search(texts[:1], K)),
        },
        REPEATS,
        warm_ups=1,
    )
    return [
        Result(SUITE, task, "recall@10", recall, TARGET),
        row(task, f"queries/s, batch {len(texts):,}", taken["many"].per(len(texts))),
        row(task, "milliseconds, one query", taken["one"].times(1e3)),
    ]


def _settings(exact: Any, part: Any, gpus: Gpus) -> Iterator[tuple[VectorIndex, str]]:
    if not hasattr(part, "nlist"):
        for kept in KEPT:
            yield (
                GpuApproximateIndex(FaissIndex(exact, part, Effort(kept, kept)), gpus),
                f"{kept} kept",
            )
        return
    for visited in (count for count in VISITED if count <= part.nlist):
        index = FaissIndex(exact, part, Effort(visited, CANDIDATES))
        yield GpuApproximateIndex(index, gpus), f"{visited} of {part.nlist} lists"
