"""The cells of the index benchmark: each builds or serves one index in a separate process.

`python -m benchmarks.speed.index_cells CELL FOLDER [ARGUMENT...]` runs one of the `CELLS` on the
output of `write_corpus`, and reports JSON lines. Memory is relative to the process with its
libraries loaded and a small collection searched.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.memory import MIB, resident_bytes
from benchmarks.speed.vectors import TextVectors, TuningTexts
from indexes.candidates import training_rows
from retrieval.search.calibration import QueryType
from retrieval.search.index_files import EXACT
from retrieval.search.indexing.build import build_index
from retrieval.search.indexing.request import IndexRequest
from retrieval.search.open_space import OpenedSpace, Part
from retrieval.search.options import SearchOptions
from retrieval.search.searcher import Searcher, SearchResult
from retrieval.store.reader import Snapshot

K = 10
RECALL = 0.95
BLOCK_ROWS = 65_536
SETTINGS = [round(2 ** (step / 2)) for step in range(29)]
"""Values of nprobe and efSearch for plain FAISS, up to 16,384."""

Search = Callable[[NDArray[np.float32]], NDArray[np.int64]]
"""Returns the ids of the K best rows of one query, (1, dim)."""

Report = dict[str, Any]


def recall(search: Search, folder: Path, queries: str) -> float:
    """Compute recall@K over the queries of a file."""
    truth = np.load(folder / f"{queries}-truth.npy")
    answers = [search(query[None]) for query in np.load(folder / f"{queries}.npy")]
    shares = [np.isin(true_ids, ids).mean() for true_ids, ids in zip(truth, answers, strict=True)]
    return float(np.mean(shares))


def build_raw(folder: Path, factory: str) -> Report:
    """Build with plain FAISS: read the float16 rows, train on as many as the engine, add, write."""
    start = time.perf_counter()
    rows = np.load(folder / "rows" / "rows.npy", mmap_mode="r")
    index = faiss.index_factory(rows.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    if not index.is_trained:
        count = training_rows(factory, len(rows))
        chosen = np.sort(np.random.default_rng(0).choice(len(rows), count, replace=False))
        faiss.extract_index_ivf(index).cp.min_points_per_centroid = 1
        index.train(rows[chosen].astype(np.float32))
    for first in range(0, len(rows), BLOCK_ROWS):
        index.add(rows[first : first + BLOCK_ROWS].astype(np.float32))
    path = folder / f"{factory}.faiss"
    faiss.write_index(index, str(path))
    return {"seconds": time.perf_counter() - start, "bytes": path.stat().st_size}


def build_engine(folder: Path, root: str, kind: str = "auto", share: str = str(RECALL)) -> Report:
    """Build with the engine in the collection `root`: a kind, or `auto` for a recall."""
    texts = TuningTexts(np.load(folder / "captions.npy"))
    start = time.perf_counter()
    request = IndexRequest(kind, recall=float(share))
    (card,) = build_index(Path(root), request=request, encoders=lambda space: texts)
    seconds = time.perf_counter() - start
    (index,) = Snapshot.open(Path(root)).index_folders(card.space)
    size = sum(path.stat().st_size for path in index.glob("part-*.faiss"))
    rows = (index / EXACT).stat().st_size
    return {
        "seconds": seconds,
        "factory": card.factory,
        "bytes": size,
        "bytes_with_rows": size + rows,
    }


def serve_raw(folder: Path, factory: str) -> None:
    """Serve plain FAISS with the smallest setting that reaches the recall on the tuning texts."""
    before = _resident()
    index = faiss.read_index(str(folder / f"{factory}.faiss"))

    def search(query: NDArray[np.float32]) -> NDArray[np.int64]:
        ids: NDArray[np.int64] = index.search(query, K)[1][0]
        return ids

    inverted = faiss.try_extract_index_ivf(index)
    for setting in SETTINGS:
        if inverted is None:
            index.hnsw.efSearch = setting
        else:
            inverted.nprobe = min(setting, inverted.nlist)
        if recall(search, folder, "tune") >= RECALL:
            break
    _serve(search, folder, before, {"setting": setting})


def serve_engine(folder: Path, root: str) -> None:
    """Serve the index that the engine built and tuned."""
    _open(folder / "small", folder)
    before = _resident()
    part = _part(Path(root))
    _serve(lambda query: part.search(query, K, None, QueryType.TEXT)[1], folder, before, {})


def _serve(search: Search, folder: Path, before: tuple[int, int], report: Report) -> None:
    """Report recall and memory; then run all queries once for each line of standard input."""
    queries = np.load(folder / "ask.npy")
    report |= {"recall": recall(search, folder, "ask"), "queries": len(queries)}
    _write_report(report | _memory(before))
    for _ in sys.stdin:
        start = time.perf_counter()
        for query in queries:
            search(query[None])
        _write_report({"seconds": (time.perf_counter() - start) / len(queries)})


def open_and_search(folder: Path, root: str) -> Report:
    """Open a collection and search it; then time queries end to end and in the index alone."""
    _open(folder / "small", folder)
    before = _resident()
    start = time.perf_counter()
    searcher = _open(Path(root), folder)
    first = (time.perf_counter() - start) * 1e3
    memory = _memory(before)
    part = _part(Path(root))
    texts = TextVectors(np.load(folder / "ask.npy"))
    whole_ms, index_ms = [], []
    for number in range(101):
        query = texts.encode_text([f"query {number}"])
        start = time.perf_counter()
        part.search(query, K, None, QueryType.TEXT)
        index_ms.append((time.perf_counter() - start) * 1e3)
        start = time.perf_counter()
        result = searcher.search(f"query {number}", SearchOptions(k=K))
        whole_ms.append((time.perf_counter() - start) * 1e3 - _checked(result).took_ms.encode)
    return memory | {
        "first_ms": first,
        "whole_ms": statistics.median(whole_ms),
        "faiss_ms": statistics.median(index_ms),
    }


def _part(root: Path) -> Part:
    """Open the index of a collection without its tables."""
    snapshot = Snapshot.open(root)
    (part,) = OpenedSpace(snapshot, snapshot.spaces[0]).parts
    return part


def _open(root: Path, folder: Path) -> Searcher:
    """Open a searcher without a model, and run one query."""
    texts = TextVectors(np.load(folder / "ask.npy"))
    searcher = Searcher(Snapshot.open(root), lambda space: texts)
    _checked(searcher.search("query", SearchOptions(k=K)))
    return searcher


def _checked(result: SearchResult) -> SearchResult:
    if len(result.hits) != K or not all(hit.metadata for hit in result.hits):
        raise RuntimeError(f"{result.query!r} returned {len(result.hits)} hits, expected {K}")
    return result


def _resident() -> tuple[int, int]:
    gc.collect()
    return resident_bytes(), resident_bytes(kind="RssFile")


def _memory(before: tuple[int, int]) -> Report:
    anonymous, mapped = ((now - then) / MIB for now, then in zip(_resident(), before, strict=True))
    return {"anonymous_mib": anonymous, "mapped_mib": mapped}


def _write_report(report: Report) -> None:
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


CELLS: dict[str, Callable[..., Report | None]] = {
    "build-raw": build_raw,
    "build-engine": build_engine,
    "serve-raw": serve_raw,
    "serve-engine": serve_engine,
    "open": open_and_search,
}


def main(cell: str, folder: str, *arguments: str) -> None:
    """Run one cell. Builds use all available cores, other cells one thread on one core."""
    if not cell.startswith("build"):
        faiss.omp_set_num_threads(1)
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    report = CELLS[cell](Path(folder), *arguments)
    if report is not None:
        _write_report(report)


if __name__ == "__main__":
    main(*sys.argv[1:])
