"""Builds and serves with LanceDB, in an environment of its own, for `bench speed index`.

It imports nothing of this repository. To make the environment, and have the rows filled:

    python3.11 -m venv lancedb-env
    lancedb-env/bin/pip install lancedb numpy
    RETRIEVAL_LANCEDB_PYTHON=lancedb-env/bin/python retrieval bench speed index

`build FOLDER` writes a table of float16 rows and LanceDB's index by RaBitQ, with its own number of
lists. (Its usual one, IVF-PQ with a code for 16 numbers, found half of the texts' neighbours at 400
candidates.) `serve FOLDER` answers on one core, at the fastest of its settings that has the
recall on the tuning texts: candidates re-ranked with the exact rows, too.
"""

import json
import os
import sys
import time
from collections.abc import Iterator

if sys.argv[1] == "serve":  # before any thread of LanceDB's begins
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
"""Candidates are so many times the answers."""


def build(folder: str) -> None:
    """Write rows and index; print seconds and the index's own words."""
    rows = np.load(f"{folder}/rows/rows.npy", mmap_mode="r")
    vector = pa.list_(pa.float16(), rows.shape[1])
    schema = pa.schema({"id": pa.int64(), "vector": vector})

    def batches() -> Iterator[pa.RecordBatch]:
        for first in range(0, len(rows), BLOCK_ROWS):
            block = rows[first : first + BLOCK_ROWS]
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), block.shape[1])
            yield pa.record_batch([np.arange(first, first + len(block)), vectors], schema=schema)

    began = time.perf_counter()
    database = lancedb.connect(f"{folder}/lancedb")
    table = database.create_table("rows", batches(), schema=schema, mode="overwrite")
    table.create_index("vector", config=IvfRq(distance_type="dot"))
    _say({"seconds": time.perf_counter() - began})


def serve(folder: str) -> None:
    """Tune, report, and answer all queries once for each line read."""
    table = lancedb.connect(f"{folder}/lancedb").open_table("rows")

    def search(query: NDArray[np.float32], probes: int, factor: int) -> NDArray[np.int64]:
        asked = table.search(query).distance_type("dot").nprobes(probes).refine_factor(factor)
        found = asked.limit(NEIGHBOURS).select(["id", "_distance"]).to_arrow()
        ids: NDArray[np.int64] = found["id"].to_numpy()
        return ids

    def recall(name: str, probes: int, factor: int) -> float:
        wanted = np.load(f"{folder}/{name}-truth.npy")
        found = [search(query, probes, factor) for query in np.load(f"{folder}/{name}.npy")]
        shares = [np.isin(want, got).mean() for want, got in zip(wanted, found, strict=True)]
        return float(np.mean(shares))

    best: tuple[float, int, int] | None = None
    for factor in REFINE_FACTORS:
        for probes in PROBES:
            began = time.perf_counter()
            enough = recall("tune", probes, factor) >= RECALL
            took = time.perf_counter() - began
            if best is not None and took > best[0]:
                break
            if enough:
                best = took, probes, factor
                break
    probes, factor = best[1:] if best else (PROBES[-1], REFINE_FACTORS[-1])
    queries = np.load(f"{folder}/ask.npy")
    found = recall("ask", probes, factor)
    _say({"recall": found, "queries": len(queries), "setting": f"{probes} × {factor}"})
    for _ in sys.stdin:
        began = time.perf_counter()
        for query in queries:
            search(query, probes, factor)
        _say({"seconds": (time.perf_counter() - began) / len(queries)})


def _say(report: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    {"build": build, "serve": serve}[sys.argv[1]](sys.argv[2])
