"""Builds and serves an index with LanceDB in a separate environment, for the benchmark `index`.

The script imports nothing of this repository. Create the environment as follows:

    python3.11 -m venv lancedb-env
    lancedb-env/bin/pip install lancedb numpy
    RETRIEVAL_LANCEDB_PYTHON=lancedb-env/bin/python retrieval bench speed index

`build FOLDER` writes a table of float16 rows and LanceDB's RaBitQ index, with its own number of
lists. (The default, IVF-PQ with one code per 16 numbers, found half of the neighbours of texts at
400 re-ranked rows.) `serve FOLDER` runs queries on one core with the fastest setting that reaches
the recall on the tuning texts, and re-ranks with the exact rows.
"""

import json
import os
import sys
import time
from collections.abc import Iterator

if sys.argv[1] == "serve":  # before LanceDB starts threads
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import IvfRq
from numpy.typing import NDArray

NEIGHBOURS = 10
RECALL = 0.95
BLOCK_ROWS = 65_536
PROBES = (4, 8, 16, 32, 64, 128, 256)
REFINE_FACTORS = (10, 20, 40, 80, 160)
"""Number of re-ranked rows per answer."""


def build(folder: str) -> None:
    """Write rows and index; print the seconds."""
    rows = np.load(f"{folder}/rows/rows.npy", mmap_mode="r")
    vector = pa.list_(pa.float16(), rows.shape[1])
    schema = pa.schema({"id": pa.int64(), "vector": vector})

    def batches() -> Iterator[pa.RecordBatch]:
        for first in range(0, len(rows), BLOCK_ROWS):
            block = rows[first : first + BLOCK_ROWS]
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), block.shape[1])
            yield pa.record_batch([np.arange(first, first + len(block)), vectors], schema=schema)

    start = time.perf_counter()
    database = lancedb.connect(f"{folder}/lancedb")
    table = database.create_table("rows", batches(), schema=schema, mode="overwrite")
    table.create_index("vector", config=IvfRq(distance_type="dot"))
    _write_report({"seconds": time.perf_counter() - start})


def serve(folder: str) -> None:
    """Tune, report, and run all queries once for each line of standard input."""
    table = lancedb.connect(f"{folder}/lancedb").open_table("rows")

    def search(query: NDArray[np.float32], probes: int, factor: int) -> NDArray[np.int64]:
        request = table.search(query).distance_type("dot").nprobes(probes).refine_factor(factor)
        table_of_hits = request.limit(NEIGHBOURS).select(["id", "_distance"]).to_arrow()
        ids: NDArray[np.int64] = table_of_hits["id"].to_numpy()
        return ids

    def recall(name: str, probes: int, factor: int) -> float:
        truth = np.load(f"{folder}/{name}-truth.npy")
        answers = [search(query, probes, factor) for query in np.load(f"{folder}/{name}.npy")]
        shares = [
            np.isin(true_ids, ids).mean() for true_ids, ids in zip(truth, answers, strict=True)
        ]
        return float(np.mean(shares))

    best: tuple[float, int, int] | None = None
    for factor in REFINE_FACTORS:
        for probes in PROBES:
            start = time.perf_counter()
            is_enough = recall("tune", probes, factor) >= RECALL
            elapsed = time.perf_counter() - start
            if best is not None and elapsed > best[0]:
                break
            if is_enough:
                best = elapsed, probes, factor
                break
    probes, factor = best[1:] if best else (PROBES[-1], REFINE_FACTORS[-1])
    queries = np.load(f"{folder}/ask.npy")
    measured = recall("ask", probes, factor)
    _write_report({"recall": measured, "queries": len(queries), "setting": f"{probes} × {factor}"})
    for _ in sys.stdin:
        start = time.perf_counter()
        for query in queries:
            search(query, probes, factor)
        _write_report({"seconds": (time.perf_counter() - start) / len(queries)})


def _write_report(report: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    {"build": build, "serve": serve}[sys.argv[1]](sys.argv[2])
