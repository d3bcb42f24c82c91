"""`bench speed search`: a whole search, metadata included, against FAISS on the same index."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.results.tables import Result
from benchmarks.speed import SUITE
from benchmarks.speed.harness import in_turns, one_thread, row, seconds
from benchmarks.speed.vectors import VectorEncoder, clustered, write_vectors
from indexes.saved import open_index
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.options import SearchOptions
from retrieval.search.searcher import Searcher
from retrieval.store.reader import Snapshot

ROWS, DIM, K = 100_000, 512, 10
QUERIES = 101


def run(*, say: Callable[[str], None], folder: Path, scale: float = 1.0) -> list[Result]:
    """Measure plain and filtered queries on an exact index, one after the other."""
    rows = max(1_000, round(ROWS * scale))
    root = folder / "vectors"
    say(f"writing {rows:,} vectors and their index")
    shutil.rmtree(root, ignore_errors=True)  # of an earlier run with the same --folder
    write_vectors(root, items=rows, rows_each=1, dim=DIM)
    encoder = VectorEncoder(DIM)
    build_index(root, request=IndexRequest("exact"), encoders=lambda space: encoder)
    searcher = Searcher(Snapshot.open(root), lambda space: encoder)
    (path,) = root.glob("indexes/*/*/exact.faiss")
    index = open_index(path)
    queries = [clustered(1, DIM, number + 10**6) for number in range(QUERIES)]
    with one_thread():
        taken = in_turns(
            {
                "raw": lambda turn: 1e3 * seconds(lambda: index.search(queries[turn], K)),
                "whole": lambda turn: _milliseconds(searcher, f"query {turn}", None),
                "filtered": lambda turn: _milliseconds(searcher, f"query {turn}", "year >= 2005"),
            },
            QUERIES,
        )
    whole, raw = taken["whole"], taken["raw"]
    task = f"search {rows:,} × {DIM}, k = {K}, without the encoder"
    slowest = float(np.percentile(whole.values, 99))
    return [
        row(task, "milliseconds over raw FAISS", whole - raw, 2.0),
        row(task, "milliseconds", whole, baseline=raw.median),
        row(task, "milliseconds, half filtered out", taken["filtered"]),
        Result(SUITE, task, "milliseconds, 99th percentile", slowest),
    ]


def _milliseconds(searcher: Searcher, query: str, where: str | None) -> float:
    """Everything but embedding the query: index, grouping, metadata."""
    began = time.perf_counter()
    result = searcher.search(query, SearchOptions(k=K, where=where))
    whole = (time.perf_counter() - began) * 1e3
    if len(result.hits) != K or not result.hits[0].metadata:
        raise RuntimeError(f"{query!r} brought {len(result.hits)} hits instead of {K}")
    return whole - result.took_ms.encode
