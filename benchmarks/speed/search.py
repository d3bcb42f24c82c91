"""Times a whole search, metadata included, compared with FAISS on the same index."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path

import numpy as np

from benchmarks.results.outcome import Result
from benchmarks.speed import SUITE
from benchmarks.speed.harness import in_turns, one_thread, row, seconds
from benchmarks.speed.vectors import VectorEncoder, clustered, write_vectors
from indexes.saved import open_index
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.options import SearchOptions
from retrieval.search.searcher import Searcher
from retrieval.store.reader import Snapshot

logger = logging.getLogger(__name__)

ROWS, DIM, K = 100_000, 512, 10
QUERIES = 101


def run(*, folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure plain and filtered queries on an exact index, one after the other."""
    rows = max(1_000, round(ROWS * scale))
    root = folder / "vectors"
    logger.info("writing %d vectors and their index", rows)
    shutil.rmtree(root, ignore_errors=True)  # an earlier run may have used the folder
    write_vectors(root, items=rows, rows_each=1, dim=DIM)
    encoder = VectorEncoder(DIM)
    build_index(root, request=IndexRequest("exact"), encoders=lambda space: encoder)
    searcher = Searcher(Snapshot.open(root), lambda space: encoder)
    (path,) = root.glob("indexes/*/*/exact.faiss")
    index = open_index(path)
    queries = [clustered(1, DIM, number + 10**6) for number in range(QUERIES)]
    with one_thread():
        times = in_turns(
            {
                "raw": lambda turn: 1e3 * seconds(lambda: index.search(queries[turn], K)),
                "whole": lambda turn: _milliseconds(searcher, f"query {turn}", None),
                "filtered": lambda turn: _milliseconds(searcher, f"query {turn}", "year >= 2005"),
            },
            QUERIES,
        )
    whole, raw = times["whole"], times["raw"]
    task = f"search {rows:,} × {DIM}, k = {K}, without the encoder"
    slowest = float(np.percentile(whole.values, 99))
    return [
        row(task, "milliseconds over raw FAISS", whole - raw, 2.0),
        row(task, "milliseconds", whole, baseline=raw.median),
        row(task, "milliseconds, half filtered out", times["filtered"]),
        Result(SUITE, task, "milliseconds, 99th percentile", slowest),
    ]


def _milliseconds(searcher: Searcher, query: str, where: str | None) -> float:
    """Time a search without encoding the query: index, grouping and metadata."""
    start = time.perf_counter()
    result = searcher.search(query, SearchOptions(k=K, where=where))
    total_ms = (time.perf_counter() - start) * 1e3
    if len(result.hits) != K or not result.hits[0].metadata:
        raise RuntimeError(f"{query!r} returned {len(result.hits)} hits, expected {K}")
    return total_ms - result.took_ms.encode
