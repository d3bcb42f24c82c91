r"""Builds and serves an index with another program in its environment, for the benchmark `index`.

The script imports nothing of this repository. Create the environments as follows. hnswlib is
compiled, which needs a C++ compiler:

    python3.11 -m venv peers-env
    peers-env/bin/pip install lancedb hnswlib usearch numpy
    RETRIEVAL_LANCEDB_PYTHON=peers-env/bin/python RETRIEVAL_HNSWLIB_PYTHON=peers-env/bin/python \
    RETRIEVAL_USEARCH_PYTHON=peers-env/bin/python retrieval bench speed index

`PROGRAM build FOLDER` writes an index of the float16 rows with all cores. `PROGRAM serve FOLDER`
runs queries one at a time on one core with the setting that is the fastest of those with the recall
on the tuning texts. Memory is relative to the process with its libraries and the queries loaded.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

if __name__ == "__main__" and sys.argv[2:3] == ["serve"]:  # before libraries start threads
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 10
RECALL = 0.95
BLOCK_ROWS = 65_536
EFFORTS = [round(2 ** (step / 2)) for step in range(7, 29)]
"""Lengths of the candidate list of a graph, from 11 up to 16,384."""

PROBES = (4, 8, 16, 32, 64, 128, 256)
REFINE_FACTORS = (10, 20, 40, 80, 160)
"""Number of re-ranked rows per answer of LanceDB."""

Rows = NDArray[np.float16]
Ids = NDArray[np.int64]
Recall = Callable[[Any], float]
"""Computes the recall on the tuning texts with a setting."""


class Program(Protocol):
    """An index of one program."""

    def build(self, folder: Path, rows: Rows) -> Path:
        """Write the index of (rows, dim) unit rows; return its file or folder."""

    def open(self, folder: Path, dim: int) -> None:
        """Open the index."""

    def search(self, query: NDArray[np.float32], setting: Any) -> Ids:
        """Return the ids of the best rows of a query, (dim,)."""

    def tune(self, recall: Recall) -> Any:
        """Choose the fastest setting with enough recall, or the one with the most effort."""


class LanceDB:
    """LanceDB's RaBitQ index with its own number of lists; re-ranks with the exact rows.

    The default, IVF-PQ with one code per 16 numbers, found half of the neighbours of texts at 400
    re-ranked rows. A setting is a number of lists and a refine factor.
    """

    def __init__(self) -> None:
        import lancedb

        self._lancedb = lancedb

    def build(self, folder: Path, rows: Rows) -> Path:
        """Write a table of float16 rows and its index."""
        import pyarrow as pa
        from lancedb.index import IvfRq

        vector = pa.list_(pa.float16(), rows.shape[1])
        schema = pa.schema({"id": pa.int64(), "vector": vector})

        def batches() -> Iterator[pa.RecordBatch]:
            for first, block in _blocks(rows):
                vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), block.shape[1])
                ids = np.arange(first, first + len(block))
                yield pa.record_batch([ids, vectors], schema=schema)

        path = folder / "lancedb"
        database = self._lancedb.connect(str(path))
        table = database.create_table("rows", batches(), schema=schema, mode="overwrite")
        table.create_index("vector", config=IvfRq(distance_type="dot"))
        return path

    def open(self, folder: Path, dim: int) -> None:
        """Open the table."""
        self._table = self._lancedb.connect(str(folder / "lancedb")).open_table("rows")

    def search(self, query: NDArray[np.float32], setting: tuple[int, int]) -> Ids:
        """Search and re-rank."""
        probes, factor = setting
        request = self._table.search(query).distance_type("dot")
        request = request.nprobes(probes).refine_factor(factor).limit(NEIGHBOURS)
        ids: Ids = request.select(["id", "_distance"]).to_arrow()["id"].to_numpy()
        return ids

    def tune(self, recall: Recall) -> tuple[int, int]:
        """Time all pairs that can be the fastest."""
        best: tuple[float, tuple[int, int]] | None = None
        for factor in REFINE_FACTORS:
            for probes in PROBES:
                start = time.perf_counter()
                is_enough = recall((probes, factor)) >= RECALL
                elapsed = time.perf_counter() - start
                if best is not None and elapsed > best[0]:
                    break
                if is_enough:
                    best = elapsed, (probes, factor)
                    break
        return best[1] if best else (PROBES[-1], REFINE_FACTORS[-1])


class Graph:
    """Common part of graphs, whose setting is the length of the candidate list."""

    def tune(self, recall: Recall) -> int:
        """Take the shortest list with enough recall."""
        return next((effort for effort in EFFORTS if recall(effort) >= RECALL), EFFORTS[-1])


class Hnswlib(Graph):
    """hnswlib with M = 16, ef_construction = 200, float32 rows and inner products."""

    def __init__(self) -> None:
        import hnswlib

        self._hnswlib = hnswlib

    def build(self, folder: Path, rows: Rows) -> Path:
        """Write the graph with its rows."""
        index = self._hnswlib.Index(space="ip", dim=rows.shape[1])
        index.init_index(max_elements=len(rows), M=16, ef_construction=200, random_seed=0)
        for first, block in _blocks(rows):
            index.add_items(block.astype(np.float32), np.arange(first, first + len(block)))
        path = folder / "hnswlib.index"
        index.save_index(str(path))
        return path

    def open(self, folder: Path, dim: int) -> None:
        """Read the graph into memory; the library cannot map it."""
        self._index = self._hnswlib.Index(space="ip", dim=dim)
        self._index.load_index(str(folder / "hnswlib.index"))

    def search(self, query: NDArray[np.float32], setting: int) -> Ids:
        """Search with a list of `setting` candidates."""
        self._index.set_ef(setting)
        labels, _ = self._index.knn_query(query, NEIGHBOURS, num_threads=1)
        ids: Ids = labels[0].astype(np.int64)
        return ids


class Usearch(Graph):
    """usearch with its default connectivity, float16 rows and inner products."""

    def __init__(self) -> None:
        from usearch.index import Index

        self._class = Index

    def build(self, folder: Path, rows: Rows) -> Path:
        """Write the graph with its rows."""
        index = self._class(ndim=rows.shape[1], metric="ip", dtype="f16")
        for first, block in _blocks(rows):
            index.add(np.arange(first, first + len(block)), block)
        path = folder / "usearch.index"
        index.save(str(path))
        return path

    def open(self, folder: Path, dim: int) -> None:
        """Map the file into memory, which is as fast as reading it."""
        self._index = self._class.restore(str(folder / "usearch.index"), view=True)

    def search(self, query: NDArray[np.float32], setting: int) -> Ids:
        """Search with a list of `setting` candidates."""
        self._index.expansion_search = setting
        ids: Ids = self._index.search(query, NEIGHBOURS, threads=1).keys.astype(np.int64)
        return ids


PROGRAMS: dict[str, Callable[[], Program]] = {
    "lancedb": LanceDB,
    "hnswlib": Hnswlib,
    "usearch": Usearch,
}
"""By the name of the package."""


def build(name: str, folder: Path) -> None:
    """Write an index; report seconds, bytes and the version of the program."""
    program = PROGRAMS[name]()
    rows = np.load(folder / "rows" / "rows.npy", mmap_mode="r")
    start = time.perf_counter()
    path = program.build(folder, rows)
    seconds = time.perf_counter() - start
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    size = sum(file.stat().st_size for file in files)
    _write_report({"seconds": seconds, "bytes": size, "version": version(name)})


def serve(name: str, folder: Path) -> None:
    """Tune, report, and run all queries once for each line of standard input."""
    program = PROGRAMS[name]()
    texts = {each: np.load(folder / f"{each}.npy") for each in ("tune", "ask")}
    truths = {each: np.load(folder / f"{each}-truth.npy") for each in texts}
    before = _resident_mib()
    program.open(folder, texts["ask"].shape[1])

    def recall(which: str, setting: Any) -> float:
        answers = [program.search(query, setting) for query in texts[which]]
        pairs = zip(truths[which], answers, strict=True)
        return float(np.mean([np.isin(true_ids, ids).mean() for true_ids, ids in pairs]))

    setting = program.tune(lambda each: recall("tune", each))
    measured = recall("ask", setting)
    shown = " × ".join(map(str, setting)) if isinstance(setting, tuple) else setting
    anonymous, mapped = (now - then for now, then in zip(_resident_mib(), before, strict=True))
    queries = texts["ask"]
    _write_report(
        {
            "recall": measured,
            "queries": len(queries),
            "setting": shown,
            "anonymous_mib": anonymous,
            "mapped_mib": mapped,
        }
    )
    for _ in sys.stdin:
        start = time.perf_counter()
        for query in queries:
            program.search(query, setting)
        _write_report({"seconds": (time.perf_counter() - start) / len(queries)})


def _blocks(rows: Rows) -> Iterator[tuple[int, Rows]]:
    for first in range(0, len(rows), BLOCK_ROWS):
        yield first, rows[first : first + BLOCK_ROWS]


def _resident_mib() -> tuple[float, float]:
    """Read the anonymous and the mapped memory of this process."""
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    anonymous, mapped = (int(status[key].split()[0]) / 1024 for key in ("RssAnon", "RssFile"))
    return anonymous, mapped


def _write_report(report: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    {"build": build, "serve": serve}[sys.argv[2]](sys.argv[1], Path(sys.argv[3]))
